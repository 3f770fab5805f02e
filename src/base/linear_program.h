// A linear program and its solution, as plain values: stated by whoever has one (sched/market.h),
// solved by whoever may (solve/linear_solver.h).
#pragma once

#include <cstddef>
#include <vector>

namespace medley {

//     maximise Σ gain·x    subject to    Σ amount·x ≤ limit of every row,  x ≥ 0
//
// Columns are stored one after the other: entries of column c are those from start[c] to
// start[c + 1]. Limits are not negative, so x = 0 is always allowed.
struct LinearProgram {
  std::vector<double> limit;     // by row
  std::vector<double> gain;      // by column
  std::vector<int> start = {0};  // one more than columns
  std::vector<int> row;          // by entry
  std::vector<double> amount;    // by entry

  std::size_t rows() const { return limit.size(); }
  std::size_t columns() const { return gain.size(); }
  int add_row(double a_limit) {
    limit.push_back(a_limit);
    return static_cast<int>(limit.size()) - 1;
  }
  // A column is begun with its gain; what follows by add_entry() is its own.
  void add_column(double a_gain) {
    gain.push_back(a_gain);
    start.push_back(static_cast<int>(row.size()));
  }
  void add_entry(int a_row, double an_amount) {
    row.push_back(a_row);
    amount.push_back(an_amount);
    start.back() = static_cast<int>(row.size());
  }
};

struct LinearSolution {
  double value = 0;
  std::vector<double> x;     // by column
  std::vector<double> dual;  // by row: what one more of its limit would add to the value; >= 0
};

}  // namespace medley
