// Model files: read, made a graph of, compiled for this processor and packed.
#include <vector>

#include "base/check.h"
#include "fuzz.h"
#include "lpu/compile_cpu.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  const auto file = lpu::ModelFile::parse(text_of(data, size), "m.gguf");
  if (!file.ok())
    return 0;
  const auto graph = lpu::build_graph(*file);
  if (!graph.ok())
    return 0;
  for (const int units : {1, 2}) {
    const auto program = lpu::compile_cpu(*graph, {.units = units, .context = 64});
    if (!program.ok())
      continue;
    for (const lpu::UnitProgram& unit : program->units) {
      // Padding to 16 rows and 64 columns: no more than that, whatever the file says.
      MEDLEY_CHECK(unit.weight_bytes < static_cast<std::int64_t>(size + 4096) * 1024);
      std::vector<std::uint8_t> weights(static_cast<std::size_t>(unit.weight_bytes));
      for (const lpu::Instruction& instruction : unit.instructions) {
        if (!instruction.pieces.empty()) {
          lpu::pack(instruction, program->layout, weights.data() + instruction.weights.offset,
                    reinterpret_cast<float*>(weights.data() + instruction.bias.offset));
        }
      }
    }
  }
  return 0;
}
