#include "solve/integer_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace medley::solve {
namespace {

bool within(double value, double least, double most, double slack) {
  return value >= least - slack && value <= most + slack;
}

}  // namespace

Status check_program(const IntegerProgram& program) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message), {}};
  };
  // NaN compares as false.
  for (std::size_t r = 0; r < program.rows(); ++r) {
    if (!(program.row_least[r] <= program.row_most[r]) || program.row_least[r] == kUnlimited ||
        program.row_most[r] == -kUnlimited)
      return invalid(fmt::format("row {} of the program has limits {} to {}", r,
                                 program.row_least[r], program.row_most[r]));
  }
  for (std::size_t c = 0; c < program.columns(); ++c) {
    const IntegerProgram::Column& column = program.column[c];
    if (!(column.least <= column.most) || column.least == kUnlimited ||
        column.most == -kUnlimited || !std::isfinite(column.cost))
      return invalid(fmt::format("column {} of the program costs {}, with limits {} to {}", c,
                                 column.cost, column.least, column.most));
  }
  const auto finite = [](double amount) { return std::isfinite(amount); };
  if (!std::all_of(program.amount.begin(), program.amount.end(), finite))
    return invalid("an amount of the program is not finite");
  return Done{};
}

double value_of(const IntegerProgram& program, const std::vector<double>& x) {
  double value = 0;
  for (std::size_t c = 0; c < program.columns(); ++c)
    value += program.column[c].cost * x[c];
  return value;
}

double gap_allowed(const IntegerProgram& program, const IntegerOptions& options, double value) {
  double largest_cost = 0;
  for (const IntegerProgram::Column& column : program.column)
    largest_cost = std::max(largest_cost, std::abs(column.cost));
  // Sums of costs are not more exact than this.
  return std::max(options.gap * std::abs(value), 1e-12 * largest_cost);
}

std::string broken_limit(const IntegerProgram& program, const std::vector<double>& x) {
  if (x.size() != program.columns())
    return fmt::format("{} columns in place of {}", x.size(), program.columns());
  std::vector<double> sum(program.rows(), 0), scale(program.rows(), 1);
  std::vector<char> whole(program.rows(), true);
  for (std::size_t c = 0; c < program.columns(); ++c) {
    const IntegerProgram::Column& column = program.column[c];
    if (!std::isfinite(x[c]))
      return fmt::format("column {} is {}", c, x[c]);
    if (column.whole && x[c] != std::round(x[c]))
      return fmt::format("column {} is {}, not whole", c, x[c]);
    if (!within(x[c], column.least, column.most, kRowTolerance * std::max(1.0, std::abs(x[c]))))
      return fmt::format("column {} is {}, not from {} to {}", c, x[c], column.least, column.most);
    for (int e = program.start[c]; e < program.start[c + 1]; ++e) {
      const auto r = static_cast<std::size_t>(program.row[static_cast<std::size_t>(e)]);
      const double term = program.amount[static_cast<std::size_t>(e)] * x[c];
      sum[r] += term;
      scale[r] = std::max(scale[r], std::abs(term));
      whole[r] = whole[r] && column.whole;
    }
  }
  for (std::size_t r = 0; r < program.rows(); ++r) {
    if (!within(sum[r], program.row_least[r], program.row_most[r],
                scale[r] * (whole[r] ? kWholeRowTolerance : kRowTolerance)))
      return fmt::format("row {} is {}, not from {} to {}", r, sum[r], program.row_least[r],
                         program.row_most[r]);
  }
  return {};
}

}  // namespace medley::solve
