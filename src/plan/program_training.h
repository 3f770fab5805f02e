// Jobs on whole devices that do nothing else, or on whole replicas lent for hours of the day, the
// same on every day; gangs of devices (decision 0076).
//
// Owns: what trains where, when, and for whom, and how that is read back. Columns of work are
// device-hours a day. Nothing here fails.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "plan/program_draft.h"
#include "plan/program_terms.h"

namespace medley::plan {

struct Training {
  // What trains at a place: devices that only do that, or replicas of a type that are lent.
  struct Source {
    std::size_t place;
    std::optional<std::size_t> type;
    std::vector<int> count;  // columns: by shift; -1: none
  };
  // Device-hours a day of a job on such devices, in a shift of the days of a span.
  struct Work {
    std::size_t job, source, shift, span;
    int column;
  };
  // Gangs of so many devices at a place, the same on every day, and hours a day of the jobs on it.
  struct Gang {
    std::size_t place, shift;
    int size, count;                      // column
    std::vector<std::vector<int>> hours;  // columns: by span
  };
  std::vector<Source> sources;
  std::vector<Work> work;
  std::vector<Gang> gangs;
  // Rows: by job of a gang, shift and span.
  std::map<std::tuple<std::size_t, std::size_t, std::size_t>, int> one_at_a_time;
};

// `single`: rows of the devices that train, by place and shift (program_nodes.h).
Training add_training(const Terms& terms, const std::vector<std::vector<int>>& single,
                      Draft& draft);

// By source and shift, without what trains for nothing: a solver may lend what costs it nothing.
// `at` answers the value of a column.
std::vector<std::vector<int>> trained_on(const Terms& terms, const Training& training,
                                         const std::function<double(int)>& at);

// Days of a year for each day of a span: a job that comes back less often than it may take runs
// on a share of the days that are set aside for it.
double days_a_year(const data::TrainingJob& job, const Span& span);
// Watts of a device that trains, at the TDP …
double training_w(const Terms& terms, std::size_t place);
// … and what it draws more than as it is: what a replica that is lent would draw idle is counted
// with the replica.
double added_w(const Terms& terms, const Training::Source& source);

}  // namespace medley::plan
