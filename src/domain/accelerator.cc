#include "domain/accelerator.h"

#include <array>

namespace medley {
namespace {

constexpr std::array<std::string_view, 8> kKinds = {"gpu",      "lpu",    "npu",   "tpu",
                                                    "dataflow", "custom", "wafer", "cpu"};
constexpr std::array<std::string_view, 7> kPrecisions = {"fp32", "bf16", "fp16", "fp8",
                                                         "int8", "fp4",  "int4"};
constexpr std::array<double, 7> kBytes = {4, 2, 2, 1, 1, 0.5, 0.5};

template <typename Enum, std::size_t N>
std::optional<Enum> named(const std::array<std::string_view, N>& names, std::string_view name) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name)
      return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name_of(AcceleratorKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::optional<AcceleratorKind> accelerator_kind_named(std::string_view name) {
  return named<AcceleratorKind>(kKinds, name);
}
std::string_view name_of(Precision precision) {
  return kPrecisions[static_cast<std::size_t>(precision)];
}
std::optional<Precision> precision_named(std::string_view name) {
  return named<Precision>(kPrecisions, name);
}
double bytes_per_number(Precision precision) { return kBytes[static_cast<std::size_t>(precision)]; }

}  // namespace medley
