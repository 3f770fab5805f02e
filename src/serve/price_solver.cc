#include "serve/price_solver.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "solve/linear_solver.h"

namespace medley::serve {
namespace {

std::vector<double> duals_of(solve::LinearSolver& solver, const LinearProgram& program) {
  Result<LinearSolution> solution = solver.solve(program);
  return solution.ok() ? std::move(solution->dual) : std::vector<double>();
}

class ThreadedPriceSolver final : public PriceSolver {
 public:
  explicit ThreadedPriceSolver(engine::Loop& loop)
      : loop_(loop), thread_([this](const std::stop_token& stop) { work(stop); }) {}

  void solve(LinearProgram program, Done done) override {
    if (in_work_)
      return;
    in_work_ = true;
    done_ = std::move(done);
    {
      const std::lock_guard guard(lock_);
      program_ = std::move(program);
    }
    changed_.notify_one();
  }

 private:
  void work(const std::stop_token& stop) {
    const auto solver = solve::make_linear_solver();
    for (;;) {
      std::optional<LinearProgram> program;
      {
        std::unique_lock guard(lock_);
        if (!changed_.wait(guard, stop, [this] { return program_.has_value(); }))
          return;
        program.swap(program_);
      }
      std::vector<double> duals = duals_of(*solver, *program);
      loop_.post([alive = std::weak_ptr(alive_), duals = std::move(duals)]() mutable {
        if (const auto self = alive.lock())
          (*self)->answer(std::move(duals));
      });
    }
  }
  void answer(std::vector<double> duals) {
    in_work_ = false;
    done_(std::move(duals));
  }

  engine::Loop& loop_;
  // Of the loop's thread. `alive_` ends with the solver: a post that comes later finds nobody.
  std::shared_ptr<ThreadedPriceSolver*> alive_ = std::make_shared<ThreadedPriceSolver*>(this);
  bool in_work_ = false;
  Done done_;
  // Between the two threads.
  std::mutex lock_;
  std::condition_variable_any changed_;
  std::optional<LinearProgram> program_;
  std::jthread thread_;  // last: it uses all of the above
};

class DelayedPriceSolver final : public PriceSolver {
 public:
  DelayedPriceSolver(engine::Loop& loop, Duration takes) : loop_(loop), takes_(takes) {}
  ~DelayedPriceSolver() override {
    if (timer_)
      loop_.cancel(*timer_);
  }

  void solve(LinearProgram program, Done done) override {
    if (timer_)
      return;
    timer_ = loop_.call_at(loop_.now() + takes_, replica::Phase::kPrices, 0,
                           [this, done = std::move(done), duals = duals_of(*solver_, program)] {
                             timer_.reset();
                             done(duals);
                           });
  }

 private:
  engine::Loop& loop_;
  const Duration takes_;
  const std::unique_ptr<solve::LinearSolver> solver_ = solve::make_linear_solver();
  std::optional<engine::TimerId> timer_;
};

}  // namespace

std::unique_ptr<PriceSolver> make_threaded_price_solver(engine::Loop& loop) {
  return std::make_unique<ThreadedPriceSolver>(loop);
}
std::unique_ptr<PriceSolver> make_delayed_price_solver(engine::Loop& loop, Duration takes) {
  return std::make_unique<DelayedPriceSolver>(loop, takes);
}

}  // namespace medley::serve
