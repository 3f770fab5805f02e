#include "solve/cbc/cbc_solver.h"

#include <coin/Cbc_C_Interface.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <mutex>
#include <numeric>

#include "solve/integer_check.h"

namespace medley::solve {
namespace {

struct Cbc {
  decltype(&Cbc_newModel) new_model = nullptr;
  decltype(&Cbc_deleteModel) delete_model = nullptr;
  decltype(&Cbc_loadProblem) load = nullptr;
  decltype(&Cbc_setInteger) set_whole = nullptr;
  decltype(&Cbc_setParameter) set_parameter = nullptr;
  decltype(&Cbc_setMIPStartI) set_start = nullptr;
  decltype(&Cbc_solve) solve = nullptr;
  decltype(&Cbc_bestSolution) best = nullptr;
  decltype(&Cbc_getBestPossibleObjValue) bound = nullptr;
  decltype(&Cbc_isProvenInfeasible) is_infeasible = nullptr;
  decltype(&Cbc_isContinuousUnbounded) is_unbounded = nullptr;
};

// Empty where this machine has no CBC. Never unloaded.
const Cbc* cbc() {
  static const Cbc* const loaded = []() -> const Cbc* {
    void* library = dlopen("libCbcSolver.so.3", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
      return nullptr;
    static Cbc functions;
    bool all = true;
    const auto find = [&](auto& function, const char* name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      all = all && function != nullptr;
    };
    find(functions.new_model, "Cbc_newModel");
    find(functions.delete_model, "Cbc_deleteModel");
    find(functions.load, "Cbc_loadProblem");
    find(functions.set_whole, "Cbc_setInteger");
    find(functions.set_parameter, "Cbc_setParameter");
    find(functions.set_start, "Cbc_setMIPStartI");
    find(functions.solve, "Cbc_solve");
    find(functions.best, "Cbc_bestSolution");
    find(functions.bound, "Cbc_getBestPossibleObjValue");
    find(functions.is_infeasible, "Cbc_isProvenInfeasible");
    find(functions.is_unbounded, "Cbc_isContinuousUnbounded");
    return all ? &functions : nullptr;
  }();
  return loaded;
}

// CBC's command line, which its C interface runs through, keeps state between calls and takes over
// the interrupt signal.
class Turn {
 public:
  Turn() : lock_(mutex()) { sigaction(SIGINT, nullptr, &interrupt_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { sigaction(SIGINT, &interrupt_, nullptr); }

 private:
  static std::mutex& mutex() {
    static std::mutex the_one;
    return the_one;
  }
  std::lock_guard<std::mutex> lock_;
  struct sigaction interrupt_ = {};
};

// CBC drops nodes that are less than 1e-5 better than what it has, whatever the unit of money is:
// costs are scaled by a power of two, which changes no digit, so that the largest is about this.
constexpr double kLargestCost = 4096;

double cost_scale(const IntegerProgram& program) {
  double most = 0;
  for (const IntegerProgram::Column& column : program.column)
    most = std::max(most, std::abs(column.cost));
  return most > 0 ? std::exp2(std::floor(std::log2(kLargestCost / most))) : 1;
}

}  // namespace

Result<IntegerSolution> CbcSolver::solve(const IntegerProgram& program,
                                         const IntegerOptions& options) {
  MEDLEY_TRY_STATUS(check_program(program));
  const auto wrong = [](std::string_view what) {
    return Error{
        ErrorCode::kInternal, fmt::format("the integer solver's answer is wrong: {}", what), {}};
  };
  IntegerSolution solution;
  const auto take = [&](std::vector<double> x) {
    solution.value = value_of(program, x);
    solution.x = std::move(x);
  };
  if (!options.x_start.empty() && broken_limit(program, options.x_start).empty())
    take(options.x_start);
  if (program.columns() == 0) {
    const std::string broken = broken_limit(program, {});
    solution.status =
        broken.empty() ? IntegerSolution::Status::kOptimal : IntegerSolution::Status::kInfeasible;
    solution.value = solution.bound = broken.empty() ? 0 : kUnlimited;
    return solution;
  }

  const Cbc* const functions = cbc();
  if (functions == nullptr)
    return Error{ErrorCode::kUnavailable, "CBC (libCbcSolver.so.3) is not on this machine", {}};
  const Turn turn;
  const double scale = cost_scale(program);
  // One column more, whole and for nothing: without any, CBC prints to standard output.
  std::vector<double> cost, least, most;
  std::vector<int> start = program.start;
  start.push_back(start.back());
  for (const IntegerProgram::Column& column : program.column) {
    cost.push_back(column.cost * scale);
    least.push_back(column.least);
    most.push_back(column.most);
  }
  const int columns = static_cast<int>(program.columns());
  cost.push_back(0);
  least.push_back(0);
  most.push_back(1);
  try {
    const std::unique_ptr<Cbc_Model, decltype(functions->delete_model)> model(
        functions->new_model(), functions->delete_model);
    functions->load(model.get(), columns + 1, static_cast<int>(program.rows()), start.data(),
                    program.row.data(), program.amount.data(), least.data(), most.data(),
                    cost.data(), program.row_least.data(), program.row_most.data());
    for (int c = 0; c <= columns; ++c) {
      if (c == columns || program.column[static_cast<std::size_t>(c)].whole)
        functions->set_whole(model.get(), c);
    }
    const auto set = [&](const char* name, const std::string& value) {
      functions->set_parameter(model.get(), name, value.c_str());
    };
    set("log", "0");
    set("timeMode", "elapsed");
    set("sec", fmt::format("{}", std::max(0.0, options.time_limit_s)));
    set("ratio", fmt::format("{}", options.gap));
    // Where time ends within its preprocessing, CBC 2.10.8 undoes what it has not done and dies.
    set("preprocess", "off");
    if (!solution.x.empty()) {
      std::vector<int> all(program.columns());
      std::iota(all.begin(), all.end(), 0);
      functions->set_start(model.get(), static_cast<int>(all.size()), all.data(),
                           solution.x.data());
    }
    functions->solve(model.get());

    if (functions->is_unbounded(model.get()) != 0)
      return wrong("it costs less without end");
    if (functions->is_infeasible(model.get()) != 0) {
      if (!solution.x.empty())
        return wrong("there is an x where it found none");
      solution.status = IntegerSolution::Status::kInfeasible;
      solution.bound = kUnlimited;
      return solution;
    }
    solution.bound = functions->bound(model.get()) / scale;
    if (const double* const best = functions->best(model.get()); best != nullptr) {
      std::vector<double> x(best, best + columns);
      for (std::size_t c = 0; c < x.size(); ++c) {
        if (program.column[c].whole)
          x[c] = std::round(x[c]);
        x[c] = std::clamp(x[c], program.column[c].least, program.column[c].most);
      }
      if (const std::string broken = broken_limit(program, x); !broken.empty())
        return wrong(broken);
      if (value_of(program, x) < solution.value)
        take(std::move(x));
    }
  } catch (...) {  // CoinError: a class of a library that is not linked
    return Error{ErrorCode::kInternal, "CBC gave up", {}};
  }
  if (solution.x.empty())
    return solution;
  const double allowed = std::max(options.gap, 1e-9) * std::max(1e-9, std::abs(solution.value));
  solution.bound = std::min(solution.bound, solution.value);
  solution.status = solution.value - solution.bound <= allowed ? IntegerSolution::Status::kOptimal
                                                               : IntegerSolution::Status::kFeasible;
  return solution;
}

}  // namespace medley::solve
