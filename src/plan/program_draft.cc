#include "plan/program_draft.h"

namespace medley::plan {

int Draft::row(double least, double most) {
  row_least.push_back(least);
  row_most.push_back(most);
  return static_cast<int>(row_least.size()) - 1;
}

int Draft::column(const IntegerProgram::Column& column) {
  columns.push_back({column, {}});
  return static_cast<int>(columns.size()) - 1;
}

void Draft::entry(int column, int row, double amount) {
  if (amount != 0)
    columns[static_cast<std::size_t>(column)].entries.emplace_back(row, amount);
}

void Draft::draw(const Terms& terms, int column, const std::string& zone, double watts,
                 std::optional<std::size_t> shift) {
  const auto rows = power.find(zone);
  for (std::size_t s = 0; rows != power.end() && s < terms.shifts.size(); ++s) {
    if (!shift || s == *shift)
      entry(column, rows->second[s], watts * terms.requirements.pue(zone) / 1000);
  }
}

IntegerProgram Draft::assemble() const {
  IntegerProgram program;
  for (std::size_t i = 0; i < row_least.size(); ++i)
    program.add_row(row_least[i], row_most[i]);
  for (const Column& each : columns) {
    program.add_column(each.column);
    // A row occurs once in a column.
    std::map<int, double> amounts;
    for (const auto& [at, amount] : each.entries)
      amounts[at] += amount;
    for (const auto& [at, amount] : amounts)
      program.add_entry(at, amount);
  }
  return program;
}

}  // namespace medley::plan
