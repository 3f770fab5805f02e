// A mixed integer program and its solution, as plain values: stated by whoever has one (plan),
// solved by whoever may (solve/integer_solver.h).
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

namespace medley {

inline constexpr double kUnlimited = std::numeric_limits<double>::infinity();

//     minimise Σ cost·x    subject to    row_least ≤ Σ amount·x ≤ row_most of every row,
//                                        least ≤ x ≤ most of every column, x whole where it says so
//
// Columns are stored one after the other: entries of column c are those from start[c] to
// start[c + 1]; a row occurs once in a column. -kUnlimited and kUnlimited are no limit.
struct IntegerProgram {
  struct Column {
    double cost = 0;
    double least = 0;
    double most = kUnlimited;
    bool whole = false;
  };

  std::vector<double> row_least, row_most;  // by row
  std::vector<Column> column;
  std::vector<int> start = {0};  // one more than columns
  std::vector<int> row;          // by entry
  std::vector<double> amount;    // by entry

  std::size_t rows() const { return row_least.size(); }
  std::size_t columns() const { return column.size(); }
  // Both answer the new one's index.
  int add_row(double least, double most) {
    row_least.push_back(least);
    row_most.push_back(most);
    return static_cast<int>(row_least.size()) - 1;
  }
  // A column is begun with its cost and limits; what follows by add_entry() is its own.
  int add_column(const Column& a_column) {
    column.push_back(a_column);
    start.push_back(static_cast<int>(row.size()));
    return static_cast<int>(column.size()) - 1;
  }
  void add_entry(int a_row, double an_amount) {
    row.push_back(a_row);
    amount.push_back(an_amount);
    start.back() = static_cast<int>(row.size());
  }
};

struct IntegerOptions {
  double time_limit_s = 60;     // of the wall
  double gap = 1e-7;            // done when value − bound ≤ gap × |value|
  std::vector<double> x_start;  // by column: a solution to begin from; empty: none
  // Makes a whole x of a fractional one where the caller knows how; what it answers is checked.
  std::function<std::vector<double>(const std::vector<double>&)> whole_from;
};

struct IntegerSolution {
  enum class Status {
    kOptimal,     // to within the gap asked for
    kFeasible,    // a limit was reached; `bound` says how far x may be from the best
    kInfeasible,  // no x keeps to the rows
    kUnknown,     // a limit was reached before any x was found
  };
  Status status = Status::kUnknown;
  std::vector<double> x;       // by column; whole where asked, exactly; empty without one
  double value = kUnlimited;   // Σ cost·x
  double bound = -kUnlimited;  // no x costs less
  // What a second method says that nothing here has proved, and whether it came to the same end.
  double claimed_bound = -kUnlimited;
  bool confirmed = false;
};

}  // namespace medley
