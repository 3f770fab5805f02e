// The linear program behind the bound, in its dual: requests that may each go to one of several
// pools, and capacities that are cut into slices of time.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace medley::simulate {

// max Σ gain·x over shares x of options, Σ x ≤ 1 of a request and Σ amount·x ≤ capacity of every
// slice; and its dual.
//
// A capacity is cut into slices of several widths, widest first, each kWider times the next. Work
// counts in the narrowest width of which its window holds but a few slices, and in all wider
// ones: where it can wait for longer than a slice, that slice does not bind it.
class SliceProgram {
 public:
  // Some of a row's capacity at any moments of a window. With all of time to choose from, `until_s`
  // infinite, there is no limit.
  struct Need {
    std::size_t row = 0;
    double from_s = 0, until_s = 0, amount = 0;
  };

  std::size_t add_row(double slice_s, double capacity) {
    rows_.push_back({slice_s, capacity, {}});
    return rows_.size() - 1;
  }
  void add_request() { starts_.push_back(gains_.size()); }
  // Of the request added last: its value less its cost there, and two needs.
  void add_option(double gain, std::initializer_list<Need> needs);
  void finish();

  std::size_t variables() const { return capacity_.size(); }
  const std::vector<double>& capacity() const { return capacity_; }
  // A scale of what a unit of each variable's capacity may be worth.
  const std::vector<double>& worth() const { return worth_; }

  // The dual at these prices; `left` becomes its gradient, capacity less use.
  double dual(const std::vector<double>& prices, std::vector<double>& left);
  // Fills the slices greedily, what gains most at these prices first, and answers what that earns.
  double fill(const std::vector<double>& prices);

 private:
  struct Level {
    double slice_s = 0, capacity = 0;   // of one slice
    std::size_t first = 0, slices = 0;  // of the program's variables
  };
  struct Row {
    double slice_s = 0, capacity = 0;  // of one slice of the narrowest width
    std::vector<Level> levels;
  };
  // The same as `slices` of the program's variables, from `first` on.
  struct Use {
    std::uint32_t first = 0, slices = 0;
    double amount = 0;
  };

  // A pool that a request may go to. It needs two capacities at most.
  struct Option {
    double gain = 0;  // its value less its cost there
    std::array<Use, 2> uses;
    std::uint32_t count = 0;
  };

  static std::size_t level_of(const Row& row, double window_s);
  Use use_of(const Need& need) const;
  void add_up(const std::vector<double>& prices);
  std::size_t cheapest(const Use& use, std::size_t start) const;

  std::vector<Row> rows_;
  double start_s_ = 0;  // of the first slices
  std::vector<double> gains_;
  std::vector<Need> needs_;          // two an option
  std::vector<std::size_t> starts_;  // of requests: their first option; one more at the end
  std::vector<Option> options_;      // dearest first within a request

  std::vector<double> capacity_, worth_;
  std::vector<std::uint32_t> parent_;  // the slice one width wider that holds it; itself: none
  std::vector<double> price_;          // of a unit in a slice, all wider ones included
};

}  // namespace medley::simulate
