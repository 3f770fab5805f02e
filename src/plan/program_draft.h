// The program as it grows: rows, columns, and those of them that several rooms add to.
//
// Rows are few, so a column's entries are gathered before they are put in order. Indices are those
// of the finished program; -1 is none. Nothing here fails.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/integer_program.h"
#include "plan/program_terms.h"

namespace medley::plan {

struct Draft {
  struct Column {
    IntegerProgram::Column column;
    std::vector<std::pair<int, double>> entries;
  };
  std::vector<double> row_least, row_most;
  std::vector<Column> columns;

  std::vector<std::vector<int>> capacity;         // rows: by type and period
  std::map<std::string, int> racks;               // rows: by zone with a limit
  std::map<std::string, std::vector<int>> power;  // rows: by zone with a limit, and shift; kW
  std::vector<int> replicas, nodes;               // columns: by type, by place
  std::vector<std::vector<std::vector<int>>> x;   // columns: by demand, type and period; in units

  int row(double least, double most);
  int column(const IntegerProgram::Column& column);
  // Entries of the same row add up.
  void entry(int column, int row, double amount);
  // Watts at the devices that one of a column takes, always or in one shift.
  void draw(const Terms& terms, int column, const std::string& zone, double watts,
            std::optional<std::size_t> shift = std::nullopt);
  IntegerProgram assemble() const;
};

}  // namespace medley::plan
