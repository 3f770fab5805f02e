// One sequence of one model, token by token: what benchmarks and comparisons of engines drive,
// without scheduling, sampling and text.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "domain/fleet.h"
#include "engine/kv_state.h"

namespace medley::engine {

class Stepper {
 public:
  virtual ~Stepper() = default;
  // Takes the next token of the sequence. Preconditions: it is one of the vocabulary, and the
  // context is not full.
  virtual Status step(int token) = 0;
  // The same for several, up to 64, the way the engine reads prompts.
  virtual Status read(std::span<const int> tokens) = 0;
  // What follows the last step, until the next one.
  virtual std::span<const float> logits() = 0;
  virtual int choice() = 0;  // the likeliest token, the lowest of equals
  virtual void reset() = 0;  // to an empty sequence
  virtual int vocabulary() const = 0;
  // The sequence's cache, and going on from one; empty error where the engine cannot.
  virtual Result<KvState> export_kv() = 0;
  virtual Status import_kv(const KvState& state) = 0;
};

struct StepperOptions {
  EngineType engine = EngineType::kStaticSchedule;
  std::string model_path;
  int threads = 1;
  int context = 512;
  bool half_kv = false;          // KV cache in F16, else F32
  bool flash_attention = false;  // llama_embedded
  bool narrow = false;           // no AVX-512, where the machine has it
};

// kInvalid for engines that cannot be stepped (emulated, openai_http). In one process all steppers
// must agree about `narrow`.
Result<std::unique_ptr<Stepper>> make_stepper(const StepperOptions& options);

}  // namespace medley::engine
