#include "cli/model.h"

#include <fmt/format.h>

#include <vector>

#include "cli/table.h"
#include "lpu/synth.h"

namespace medley::cli {
namespace {

Result<lpu::SynthShape> shape_of(const ModelSynthOptions& options) {
  MEDLEY_TRY(lpu::SynthShape shape, lpu::synth_shape(options.shape));
  std::vector<std::string> names;
  bool known = false;
  for (std::uint32_t type = 0; type < 64; ++type) {
    const auto format = lpu::tensor_format(type);
    if (!format)
      continue;
    names.emplace_back(name_of(*format));
    if (names.back() == options.format) {
      shape.format = *format;
      known = true;
    }
  }
  if (!known) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("--format '{}': expected one of {}", printable(options.format),
                             fmt::join(names, ", ")),
                 {}};
  }
  if (!options.family.empty())
    shape.family = options.family;
  const auto take = [](const std::optional<int>& from, int& to) { to = from.value_or(to); };
  take(options.layers, shape.layers);
  take(options.width, shape.width);
  take(options.heads, shape.heads);
  take(options.kv_heads, shape.kv_heads);
  take(options.head_size, shape.head_size);
  take(options.inner, shape.inner);
  take(options.vocabulary, shape.vocabulary);
  take(options.context, shape.context);
  shape.experts = options.experts;
  shape.experts_per_token = options.experts_per_token;
  shape.seed = options.seed;
  return shape;
}

}  // namespace

int run_model_synth(const ModelSynthOptions& options, std::FILE* out, std::FILE* err) {
  const Result<lpu::SynthShape> shape = shape_of(options);
  if (!shape.ok()) {
    fmt::print(err, "medley: {}\n", shape.error().message);
    return 2;
  }
  const Status written = lpu::synthesise(*shape, options.out);
  if (!written.ok()) {
    fmt::print(err, "medley: {}\n", written.error().message);
    return written.error().code == ErrorCode::kInvalid ? 2 : 1;
  }
  fmt::print(out, "{}: {} layers, width {}, {} heads over {} KV heads, {}, random weights\n",
             options.out, shape->layers, shape->width, shape->heads, shape->kv_heads,
             name_of(shape->format));
  return 0;
}

}  // namespace medley::cli
