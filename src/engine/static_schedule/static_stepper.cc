#include "engine/static_schedule/static_stepper.h"

#include <algorithm>
#include <utility>

#include "engine/static_schedule/kv_copy.h"
#include "lpu/cpu/machine.h"

namespace medley::engine::static_schedule {
namespace {

using lpu::cpu::Machine;

class StaticStepper final : public Stepper {
 public:
  explicit StaticStepper(std::unique_ptr<Machine> machine)
      : machine_(std::move(machine)), logits_(static_cast<std::size_t>(machine_->vocabulary())) {}

  Status step(int token) override {
    if (position_ >= machine_->context())
      return Error{ErrorCode::kInvalid, "the context is full", {}};
    machine_->run(0, token, position_++);
    return Done{};
  }
  Status read(std::span<const int> tokens) override {
    if (tokens.size() > static_cast<std::size_t>(machine_->context() - position_))
      return Error{ErrorCode::kInvalid, "the context is full", {}};
    while (!tokens.empty()) {
      const std::size_t count = std::min(tokens.size(), std::size_t{Machine::kMostTogether});
      machine_->read(0, tokens.first(count), position_, count == tokens.size());
      position_ += static_cast<int>(count);
      tokens = tokens.subspan(count);
    }
    return Done{};
  }
  std::span<const float> logits() override {
    machine_->copy_logits(logits_);
    return logits_;
  }
  int choice() override { return machine_->choice(); }
  void reset() override { position_ = 0; }
  int vocabulary() const override { return machine_->vocabulary(); }

  Result<KvState> export_kv() override { return read_kv(*machine_, 0, position_); }
  Status import_kv(const KvState& state) override {
    MEDLEY_TRY_STATUS(fits(state, *machine_));
    write_kv(*machine_, 0, state, 0, state.positions);
    position_ = state.positions;
    return Done{};
  }

 private:
  const std::unique_ptr<Machine> machine_;
  std::vector<float> logits_;
  int position_ = 0;
};

}  // namespace

Result<std::unique_ptr<Stepper>> make_static_stepper(const StepperOptions& options) {
  MEDLEY_TRY(const lpu::ModelFile file, lpu::ModelFile::open(options.model_path));
  MEDLEY_TRY(const lpu::Graph graph, lpu::build_graph(file));
  lpu::cpu::Isa isa = lpu::cpu::best_isa();
  if (options.narrow && isa == lpu::cpu::Isa::kAvx512)
    isa = lpu::cpu::Isa::kAvx2;
  MEDLEY_TRY(const lpu::Program program,
             lpu::compile_cpu(graph, {.units = options.threads,
                                      .context = options.context,
                                      .layout = lpu::cpu::layout_of(isa, options.half_kv)}));
  MEDLEY_TRY(auto machine, Machine::make(graph, program, {.isa = isa}));
  return std::unique_ptr<Stepper>(std::make_unique<StaticStepper>(std::move(machine)));
}

}  // namespace medley::engine::static_schedule
