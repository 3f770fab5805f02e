#include "lpu/cpu/kernels.h"

#include "base/check.h"

namespace medley::lpu::cpu {

namespace portable {
extern const Kernels kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

bool can_run(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && can_run(Isa::kAvx2);
  }
  if (isa == Isa::kAvx2) {
    // Every processor with AVX2 has F16C, for which clang 14 (make fuzz) cannot ask.
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
#if !defined(__clang__)
           && __builtin_cpu_supports("f16c")
#endif
        ;
  }
#endif
  return isa == Isa::kPortable;
}

Isa best_isa() {
  return can_run(Isa::kAvx512) ? Isa::kAvx512 : can_run(Isa::kAvx2) ? Isa::kAvx2 : Isa::kPortable;
}

int likeliest(const float* numbers, int size) {
  static const Kernels& best = kernels(best_isa());
  Choice choice{};
  Step step;
  step.inputs = &numbers;
  step.output = reinterpret_cast<float*>(&choice);
  step.size = size;
  best.choose(step, {});
  return choice.index;
}

const Kernels& kernels(Isa isa) {
  MEDLEY_CHECK(can_run(isa));
#if defined(__x86_64__)
  if (isa == Isa::kAvx512)
    return avx512::kKernels;
  if (isa == Isa::kAvx2)
    return avx2::kKernels;
#endif
  return portable::kKernels;
}

}  // namespace medley::lpu::cpu
