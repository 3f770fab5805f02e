#include "solve/clp/clp_solver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "solve/clp/clp_library.h"

namespace medley::solve {
namespace {

// Of the sums that the check compares, relative to the largest of their kind.
constexpr double kTolerance = 1e-6;

bool about_at_most(double a, double b, double scale) { return a <= b + kTolerance * scale; }

double largest(const std::vector<double>& numbers) {
  double most = 0;
  for (const double number : numbers)
    most = std::max(most, std::abs(number));
  return most;
}

// Weak duality proves an answer: no x is worth more than Σ limit·dual when the duals are feasible.
Status check(const LinearProgram& program, const LinearSolution& solution) {
  const auto wrong = [](std::string_view what) {
    return Error{ErrorCode::kInternal,
                 fmt::format("the linear solver's answer is wrong: {}", what)};
  };
  std::vector<double> used(program.rows(), 0);
  double value = 0, bound = 0;
  const double gains = largest(program.gain), limits = largest(program.limit);
  for (std::size_t c = 0; c < program.columns(); ++c) {
    double price = 0;
    for (int e = program.start[c]; e < program.start[c + 1]; ++e) {
      const auto row = static_cast<std::size_t>(program.row[static_cast<std::size_t>(e)]);
      const double amount = program.amount[static_cast<std::size_t>(e)];
      used[row] += amount * solution.x[c];
      price += amount * solution.dual[row];
    }
    value += program.gain[c] * solution.x[c];
    if (!about_at_most(program.gain[c], price, gains))
      return wrong("a column is worth more than its prices");
  }
  for (std::size_t r = 0; r < program.rows(); ++r) {
    if (!about_at_most(used[r], program.limit[r], limits))
      return wrong("a limit is exceeded");
    bound += program.limit[r] * solution.dual[r];
  }
  if (!about_at_most(bound, value, std::max(bound, value)))
    return wrong("its prices are worth more than its columns");
  return Done{};
}

}  // namespace

Result<LinearSolution> ClpSolver::solve(const LinearProgram& program) {
  LinearSolution solution;
  solution.x.assign(program.columns(), 0);
  solution.dual.assign(program.rows(), 0);
  if (program.columns() == 0)
    return solution;
  const ClpLibrary* const functions = clp_library();
  if (functions == nullptr)
    return Error{ErrorCode::kUnavailable, "CLP (libClp.so.1) is not on this machine"};

  constexpr double kInfinity = std::numeric_limits<double>::max();  // CLP's own
  const std::vector<double> lower(program.rows(), -kInfinity), least(program.columns(), 0),
      most(program.columns(), kInfinity);
  std::vector<double> cost(program.columns());
  std::transform(program.gain.begin(), program.gain.end(), cost.begin(), std::negate<>());
  const std::unique_ptr<Clp_Simplex, decltype(functions->delete_model)> model(
      functions->new_model(), functions->delete_model);
  functions->set_log_level(model.get(), 0);
  functions->load(model.get(), static_cast<int>(program.columns()),
                  static_cast<int>(program.rows()), program.start.data(), program.row.data(),
                  program.amount.data(), least.data(), most.data(), cost.data(), lower.data(),
                  program.limit.data());
  if (rows_ == program.rows() && columns_ == program.columns())
    functions->copy_in_basis(model.get(), basis_.data());
  functions->dual_simplex(model.get(), 0);

  const double* const columns = functions->columns(model.get());
  const double* const duals = functions->duals(model.get());
  for (std::size_t c = 0; c < program.columns(); ++c) {
    solution.x[c] = std::max(0.0, columns[c]);
    solution.value += program.gain[c] * solution.x[c];
  }
  for (std::size_t r = 0; r < program.rows(); ++r)
    solution.dual[r] = std::max(0.0, -duals[r]);
  const Status checked = check(program, solution);
  if (!checked.ok()) {
    rows_ = columns_ = 0;
    return checked.error();
  }
  rows_ = program.rows();
  columns_ = program.columns();
  const unsigned char* const basis = functions->basis(model.get());
  basis_.assign(basis, basis + rows_ + columns_);
  return solution;
}

}  // namespace medley::solve
