// Targets of the compiler for chips: what is read is compiled for, and what is compiled is
// verified.
#include "base/check.h"
#include "fuzz.h"
#include "lpu/chip/compile.h"
#include "lpu/verify/verify.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley::lpu;
  const auto target = chip::parse_target(medley::text_of(data, size), "t.yaml");
  if (!target.ok())
    return 0;
  chip::Shape shape{.name = "small",
                    .layers = 2,
                    .width = 48,
                    .heads = 4,
                    .kv_heads = 2,
                    .head_size = 8,
                    .inner = 60,
                    .vocabulary = 40};
  shape.kinds = {{}};
  shape.kind_of_layer = {0, 0};
  const auto compiled = chip::compile(shape, *target, {.context = 20, .group = 1});
  if (compiled.ok())
    MEDLEY_CHECK(verify::verify(compiled->schedule, *target, shape).valid());
  return 0;
}
