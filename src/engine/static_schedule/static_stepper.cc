#include "engine/static_schedule/static_stepper.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lpu/cpu/machine.h"

namespace medley::engine::static_schedule {
namespace {

using lpu::cpu::Machine;

class StaticStepper final : public Stepper {
 public:
  explicit StaticStepper(std::unique_ptr<Machine> machine, int layers, int kv_heads)
      : machine_(std::move(machine)),
        layers_(layers),
        kv_heads_(kv_heads),
        logits_(static_cast<std::size_t>(machine_->vocabulary())) {}

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

  Result<KvState> export_kv() override {
    KvState state{.layers = layers_, .positions = position_, .row = row()};
    const auto size = static_cast<std::size_t>(layers_) * static_cast<std::size_t>(position_) *
                      static_cast<std::size_t>(row());
    state.keys.resize(size);
    state.values.resize(size);
    each_head(state, [&](int layer, int head, int position, std::size_t at) {
      machine_->read_kv(0, layer, head, position, &state.keys[at], &state.values[at]);
    });
    return state;
  }
  Status import_kv(const KvState& state) override {
    if (state.layers != layers_ || state.row != row() || state.positions > machine_->context()) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("a cache of {} layers, {} numbers, {} positions does not fit one of "
                               "{} layers, {} numbers, {} positions",
                               state.layers, state.row, state.positions, layers_, row(),
                               machine_->context()),
                   {}};
    }
    each_head(state, [&](int layer, int head, int position, std::size_t at) {
      machine_->write_kv(0, layer, head, position, &state.keys[at], &state.values[at]);
    });
    position_ = state.positions;
    return Done{};
  }

 private:
  int row() const { return kv_heads_ * machine_->program().head_size; }
  template <typename F>
  void each_head(const KvState& state, F&& f) const {
    std::size_t at = 0;
    for (int layer = 0; layer < state.layers; ++layer) {
      for (int position = 0; position < state.positions; ++position) {
        for (int head = 0; head < kv_heads_; ++head) {
          f(layer, head, position, at);
          at += static_cast<std::size_t>(machine_->program().head_size);
        }
      }
    }
  }

  const std::unique_ptr<Machine> machine_;
  const int layers_, kv_heads_;
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
  return std::unique_ptr<Stepper>(
      std::make_unique<StaticStepper>(std::move(machine), graph.layers, graph.kv_heads));
}

}  // namespace medley::engine::static_schedule
