#include "solve/clp/clp_relaxation.h"

#include <malloc.h>

#include <limits>

namespace medley::solve {
namespace {

// CLP takes its working arrays anew at each solve and gives them back: half of a branch and bound
// over small programs was page faults of the heap's end until that was kept
// (bench/fleet_mix_bench).
void keep_freed_memory() {
  static const bool once = [] {
    constexpr int kMebibyte = 1 << 20;
    mallopt(M_MMAP_THRESHOLD, 32 * kMebibyte);
    mallopt(M_TRIM_THRESHOLD, 64 * kMebibyte);
    mallopt(M_TOP_PAD, 4 * kMebibyte);
    return true;
  }();
  (void)once;
}

}  // namespace

ClpRelaxation::ClpRelaxation(const ClpLibrary& clp, const IntegerProgram& program)
    : clp_(clp), model_(clp.new_model()), rows_(program.rows()), columns_(program.columns()) {
  keep_freed_memory();
  clp_.set_log_level(model_, 0);
  std::vector<double> cost, least, most;
  for (const IntegerProgram::Column& column : program.column) {
    cost.push_back(column.cost);
    least.push_back(column.least);
    most.push_back(column.most);
  }
  // CLP takes any limit beyond 1e27 as none.
  clp_.load(model_, static_cast<int>(columns_), static_cast<int>(rows_), program.start.data(),
            program.row.data(), program.amount.data(), least.data(), most.data(), cost.data(),
            program.row_least.data(), program.row_most.data());
}

ClpRelaxation::~ClpRelaxation() { clp_.delete_model(model_); }

void ClpRelaxation::set_limits(std::size_t column, double least, double most) {
  clp_.least(model_)[column] = least;
  clp_.most(model_)[column] = most;
}

Relaxation::Outcome ClpRelaxation::solve(double cutoff) {
  constexpr int kSolved = 0, kInfeasible = 1, kUnbounded = 2;  // CLP's own
  clp_.set_cutoff(model_, cutoff < kUnlimited ? cutoff : std::numeric_limits<double>::max());
  clp_.dual_simplex(model_, 0);
  switch (clp_.status(model_)) {
    case kSolved:
      return Outcome::kSolved;
    case kInfeasible:
      return Outcome::kCutOff;
    case kUnbounded:
      return Outcome::kUnbounded;
    default:
      return Outcome::kGaveUp;
  }
}

void ClpRelaxation::read_x(std::vector<double>& x) const {
  const double* const columns = clp_.columns(model_);
  x.assign(columns, columns + columns_);
}

void ClpRelaxation::read_prices(std::vector<double>& prices) const {
  const double* const duals = clp_.duals(model_);
  prices.assign(duals, duals + rows_);
}

}  // namespace medley::solve
