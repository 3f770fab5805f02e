#include "solve/branch/branch_solver.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>

#include "solve/integer_check.h"
#include "solve/relaxation.h"

namespace medley::solve {
namespace {

using Status = IntegerSolution::Status;

constexpr double kWholeTolerance = 1e-6;  // of a column's value, which is rounded then
// Of a reduced cost against a column without limit: less counts as nothing.
constexpr double kPriceTolerance = 1e-9;
constexpr int kTrialsOfANode = 8, kUnavailingTrials = 4, kTrusted = 4;

struct Limits {
  double least, most;
};

// What one unit of a column more or less has added to the bound so far, to choose by.
struct Experience {
  double sum = 0;
  int count = 0;
  void add(double gain) {
    sum += gain;
    ++count;
  }
};

class Search {
 public:
  Search(const IntegerProgram& program, const IntegerOptions& options,
         std::unique_ptr<Relaxation> relaxation)
      : program_(program),
        options_(options),
        relaxation_(std::move(relaxation)),
        until_(std::chrono::steady_clock::now() +
               std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                   std::chrono::duration<double>(std::max(0.0, options.time_limit_s)))),
        down_(program.columns()),
        up_(program.columns()) {
    for (const IntegerProgram::Column& column : program.column) {
      Limits limits{column.least, column.most};
      if (column.whole) {
        limits.least = std::ceil(limits.least - kWholeTolerance);
        limits.most = std::floor(limits.most + kWholeTolerance);
      }
      global_.push_back(limits);
      all_whole_ = all_whole_ && column.whole;
      cost_scale_ = std::max(cost_scale_, std::abs(column.cost));
    }
    now_ = global_;
  }

  Result<IntegerSolution> run() {
    if (!options_.x_start.empty())
      offer(options_.x_start);
    for (std::size_t c = 0; c < global_.size(); ++c) {
      if (global_[c].least > global_[c].most)
        return finish(true);
      relaxation_->set_limits(c, global_[c].least, global_[c].most);
    }
    nodes_.push_back({});
    open_.insert({-kUnlimited, 0});
    bool done = true;
    for (std::optional<int> at; at || !open_.empty();) {
      if (!at) {
        const auto best = open_.begin();
        at = best->second;
        open_.erase(best);
        if (prune(nodes_[static_cast<std::size_t>(*at)].bound)) {
          at.reset();
          continue;
        }
        enter(*at);
      }
      if (std::chrono::steady_clock::now() > until_) {
        open_.insert({nodes_[static_cast<std::size_t>(*at)].bound, *at});
        done = false;
        break;
      }
      at = visit(*at);
      if (unbounded_)
        return Error{ErrorCode::kInternal, "the integer program costs less without end", {}};
    }
    return finish(done);
  }

 private:
  struct Node {
    int parent = -1;
    std::size_t column = 0;
    Limits limits{0, 0};
    double bound = -kUnlimited;
    double step = 0;  // of the column's value in the parent to the nearest limit: below 0 for down
  };

  // Closes a part of the search whose bound is known.
  bool prune(double bound) {
    if (bound < cutoff_)
      return false;
    closed_ = std::min(closed_, bound);
    return true;
  }

  // Weak duality: no x within the limits costs less, whatever the prices are. With `with_costs`
  // false, a sum above 0 says that there is no x at all.
  double proven(std::vector<double>& prices, bool with_costs, std::vector<double>* reduced) {
    double bound = 0, size = 0;
    for (std::size_t r = 0; r < prices.size(); ++r) {
      const double limit = prices[r] > 0 ? program_.row_least[r] : program_.row_most[r];
      if (prices[r] == 0 || !std::isfinite(limit) || !std::isfinite(prices[r])) {
        prices[r] = 0;
        continue;
      }
      bound += prices[r] * limit;
      size += std::abs(prices[r] * limit);
    }
    if (reduced != nullptr)
      reduced->resize(program_.columns());
    for (std::size_t c = 0; c < program_.columns(); ++c) {
      double price = with_costs ? program_.column[c].cost : 0;
      for (int e = program_.start[c]; e < program_.start[c + 1]; ++e)
        price -= program_.amount[static_cast<std::size_t>(e)] *
                 prices[static_cast<std::size_t>(program_.row[static_cast<std::size_t>(e)])];
      if (reduced != nullptr)
        (*reduced)[c] = price;
      const double limit = price > 0 ? now_[c].least : now_[c].most;
      if (std::isfinite(limit)) {
        bound += price * limit;
        size += std::abs(price * limit);
      } else if (std::abs(price) > kPriceTolerance * std::max(1.0, cost_scale_)) {
        return -kUnlimited;
      }
    }
    return bound - 1e-14 * size;  // what the sums may have lost in rounding
  }

  // Solves the relaxation as it stands. Answers a bound that is proved: kUnlimited where there is
  // no x.
  double relax() {
    const Relaxation::Outcome outcome = relaxation_->solve(cutoff_);
    solved_ = outcome == Relaxation::Outcome::kSolved;
    unbounded_ = outcome == Relaxation::Outcome::kUnbounded;
    relaxation_->read_prices(prices_);
    const double bound = proven(prices_, true, &reduced_);
    if (outcome == Relaxation::Outcome::kCutOff && bound < cutoff_) {
      if (no_x_at_all())
        return kUnlimited;
      // What the cutoff stopped too early to say is said without one.
      solved_ = relaxation_->solve(kUnlimited) == Relaxation::Outcome::kSolved;
      relaxation_->read_prices(prices_);
      return std::max(bound, proven(prices_, true, &reduced_));
    }
    return bound;
  }

  // Asks how far the rows are from being kept: the prices of that are the proof. (CLP's own rays of
  // infeasible programs often prove nothing.)
  bool no_x_at_all() {
    if (elastic_ == nullptr) {
      IntegerProgram elastic = program_;
      for (IntegerProgram::Column& column : elastic.column)
        column.cost = 0;
      for (int r = 0; r < static_cast<int>(program_.rows()); ++r) {
        for (const double direction : {1.0, -1.0}) {
          elastic.add_column({.cost = 1});
          elastic.add_entry(r, direction);
        }
      }
      Result<std::unique_ptr<Relaxation>> made = make_relaxation(elastic);
      if (!made.ok())
        return false;
      elastic_ = std::move(made).value();
    }
    for (std::size_t c = 0; c < now_.size(); ++c)
      elastic_->set_limits(c, now_[c].least, now_[c].most);
    elastic_->solve(kUnlimited);
    std::vector<double> prices;
    elastic_->read_prices(prices);
    return proven(prices, false, nullptr) > kWholeRowTolerance;
  }

  void set(std::size_t c, Limits limits) {
    now_[c] = limits;
    relaxation_->set_limits(c, limits.least, limits.most);
  }

  // Sets the limits of a node, which are those of all above it, tightened.
  void enter(int at) {
    std::vector<Limits> wanted = global_;
    for (int n = at; n > 0; n = nodes_[static_cast<std::size_t>(n)].parent) {
      const Node& node = nodes_[static_cast<std::size_t>(n)];
      Limits& limits = wanted[node.column];
      limits.least = std::max(limits.least, node.limits.least);
      limits.most = std::min(limits.most, node.limits.most);
    }
    for (std::size_t c = 0; c < wanted.size(); ++c) {
      if (wanted[c].least != now_[c].least || wanted[c].most != now_[c].most)
        set(c, wanted[c]);
    }
  }

  // The node to go on with, if it has children that may hold something better.
  std::optional<int> visit(int at) {
    for (std::size_t c = 0; c < now_.size(); ++c) {
      if (now_[c].least > now_[c].most) {  // by what was fixed since
        prune(kUnlimited);
        return std::nullopt;
      }
    }
    const double relaxed = relax();
    learn(nodes_[static_cast<std::size_t>(at)], relaxed);
    double bound = std::max(nodes_[static_cast<std::size_t>(at)].bound, relaxed);
    nodes_[static_cast<std::size_t>(at)].bound = bound;
    if (prune(bound))
      return std::nullopt;
    if (!solved_) {
      unresolved_ = std::min(unresolved_, bound);
      return std::nullopt;
    }
    relaxation_->read_x(x_);
    if (at == 0) {
      root_bound_ = bound;
      root_reduced_ = reduced_;
    }
    const double cutoff_before = cutoff_;
    round();
    if (cutoff_ < cutoff_before) {
      fix_by_root();
      if (prune(bound))
        return std::nullopt;
    }
    const std::optional<std::size_t> column = choose(bound);
    if (!column)
      return settle(at, bound);
    return branch(at, *column, x_[*column], bound);
  }

  // A node whose x is whole to within rounding.
  std::optional<int> settle(int at, double bound) {
    if (last_offer_ > -kUnlimited) {  // to within what the prices lose in rounding
      closed_ = std::min(closed_, bound);
      return std::nullopt;
    }
    // Rounded, it broke a row: the rest of what it stands for is looked at, down to single points.
    for (std::size_t c = 0; c < x_.size(); ++c) {
      if (!program_.column[c].whole || now_[c].least == now_[c].most)
        continue;
      low_bound_ = high_bound_ = bound;
      const double whole = std::round(x_[c]);
      return branch(at, c, whole < now_[c].most ? whole + 0.5 : whole - 0.5, bound);
    }
    if (all_whole_) {
      prune(kUnlimited);
    } else {
      unresolved_ = std::min(unresolved_, bound);
    }
    return std::nullopt;
  }

  // Answers the side to go on with.
  std::optional<int> branch(int at, std::size_t column, double value, double bound) {
    const Limits limits = now_[column];
    const int low = add(at, column, {limits.least, std::floor(value)}, std::max(bound, low_bound_),
                        std::floor(value) - value);
    const int high = add(at, column, {std::ceil(value), limits.most}, std::max(bound, high_bound_),
                         std::ceil(value) - value);
    const bool high_first =
        low_bound_ == high_bound_ ? value - std::floor(value) > 0.5 : high_bound_ < low_bound_;
    const int first = high_first ? high : low, second = high_first ? low : high;
    if (!prune(nodes_[static_cast<std::size_t>(second)].bound))
      open_.insert({nodes_[static_cast<std::size_t>(second)].bound, second});
    if (prune(nodes_[static_cast<std::size_t>(first)].bound))
      return std::nullopt;
    const Limits narrowed = nodes_[static_cast<std::size_t>(first)].limits;
    set(column,
        {std::max(now_[column].least, narrowed.least), std::min(now_[column].most, narrowed.most)});
    return first;
  }

  void learn(const Node& node, double relaxed) {
    if (node.parent < 0 || std::abs(node.step) < kWholeTolerance)
      return;
    const double before = nodes_[static_cast<std::size_t>(node.parent)].bound;
    const double gain = std::max(0.0, std::min(relaxed, bound_for_experience(before)) - before);
    (node.step < 0 ? down_ : up_)[node.column].add(gain / std::abs(node.step));
  }

  int add(int parent, std::size_t column, Limits limits, double bound, double step) {
    nodes_.push_back({parent, column, limits, bound, step});
    return static_cast<int>(nodes_.size()) - 1;
  }

  // The column to branch on: where both sides cost most, by experience, and by trial where there is
  // none.
  std::optional<std::size_t> choose(double bound) {
    struct Candidate {
      std::size_t column;
      double fraction;
    };
    std::vector<Candidate> candidates;
    for (std::size_t c = 0; c < x_.size(); ++c) {
      const double fraction = x_[c] - std::floor(x_[c]);
      if (program_.column[c].whole && fraction > kWholeTolerance && fraction < 1 - kWholeTolerance)
        candidates.push_back({c, fraction});
    }
    low_bound_ = high_bound_ = bound;
    if (candidates.empty())
      return std::nullopt;
    // Columns that cost come first: the others follow from them.
    std::stable_sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
      const bool costs_a = program_.column[a.column].cost != 0;
      const bool costs_b = program_.column[b.column].cost != 0;
      return costs_a != costs_b ? costs_a : std::abs(a.fraction - 0.5) < std::abs(b.fraction - 0.5);
    });
    const std::vector<double> x = x_;
    std::optional<std::size_t> best;
    double best_score = -1, best_low = bound, best_high = bound;
    int trials = 0, unavailing = 0;
    for (const Candidate& candidate : candidates) {
      const std::size_t c = candidate.column;
      double low = bound, high = bound;
      if (std::min(down_[c].count, up_[c].count) >= kTrusted) {
        low += candidate.fraction * down_[c].sum / down_[c].count;
        high += (1 - candidate.fraction) * up_[c].sum / up_[c].count;
        if (const double score = score_of(low - bound, high - bound); score > best_score) {
          best_score = score;
          best = c;
          best_low = best_high = bound;
        }
        continue;
      }
      if (trials == kTrialsOfANode || unavailing == kUnavailingTrials)
        continue;
      ++trials;
      const Limits limits = now_[c];
      set(c, {limits.least, std::floor(x[c])});
      low = std::max(bound, relax());
      set(c, {std::ceil(x[c]), limits.most});
      high = std::max(bound, relax());
      set(c, limits);
      const double low_gain = std::min(low, bound_for_experience(bound)) - bound;
      const double high_gain = std::min(high, bound_for_experience(bound)) - bound;
      down_[c].add(low_gain / candidate.fraction);
      up_[c].add(high_gain / (1 - candidate.fraction));
      const double score = score_of(low_gain, high_gain);
      unavailing = score > best_score ? 0 : unavailing + 1;
      if (score > best_score || low >= cutoff_ || high >= cutoff_) {
        best_score = score;
        best = c;
        best_low = low;
        best_high = high;
        if (low >= cutoff_ || high >= cutoff_)  // one side is closed: no better choice
          break;
      }
    }
    if (!best)
      best = candidates.front().column;
    low_bound_ = best_low;
    high_bound_ = best_high;
    x_ = x;
    return best;
  }

  // A side without any x teaches as much as one that reaches the cutoff.
  double bound_for_experience(double bound) const {
    return cutoff_ < kUnlimited ? std::max(bound, cutoff_) : bound + std::max(1.0, std::abs(bound));
  }
  static double score_of(double low, double high) {
    constexpr double kLeast = 1e-9;
    return std::max(low, kLeast) * std::max(high, kLeast);
  }

  void offer(std::vector<double> x) {
    last_offer_ = -kUnlimited;
    if (!broken_limit(program_, x).empty())
      return;
    last_offer_ = value_of(program_, x);
    if (best_.x.empty() || last_offer_ < best_.value) {
      best_.value = last_offer_;
      best_.x = std::move(x);
      // A little less than the gap, so that what is proved is within it, rounding included.
      cutoff_ = best_.value - 0.99 * gap_allowed(program_, options_, best_.value);
    }
  }

  void round() {
    if (options_.whole_from)
      offer(options_.whole_from(x_));
    std::vector<double> x = x_;
    for (std::size_t c = 0; c < x.size(); ++c) {
      if (program_.column[c].whole)
        x[c] = std::round(x[c]);
    }
    if (!all_whole_) {
      const std::vector<Limits> before = now_;
      for (std::size_t c = 0; c < x.size(); ++c) {
        if (program_.column[c].whole)
          set(c, {x[c], x[c]});
      }
      if (relaxation_->solve(cutoff_) == Relaxation::Outcome::kSolved) {
        std::vector<double> completed;
        relaxation_->read_x(completed);
        for (std::size_t c = 0; c < x.size(); ++c) {
          if (!program_.column[c].whole)
            x[c] = std::clamp(completed[c], before[c].least, before[c].most);
        }
      }
      for (std::size_t c = 0; c < x.size(); ++c) {
        if (program_.column[c].whole)
          set(c, before[c]);
      }
    }
    offer(std::move(x));
  }

  // A column whose price at the root says that a step further costs more than the best known.
  void fix_by_root() {
    if (root_reduced_.empty() || !std::isfinite(root_bound_))
      return;
    const double room = cutoff_ - root_bound_;
    for (std::size_t c = 0; c < root_reduced_.size(); ++c) {
      if (!program_.column[c].whole || std::abs(root_reduced_[c]) < 1e-7 * cost_scale_)
        continue;
      const double steps = std::floor(room / std::abs(root_reduced_[c]) + 1e-6);
      if (!std::isfinite(root_reduced_[c] > 0 ? root_least(c) : root_most(c)))
        continue;
      Limits limits = global_[c];
      if (root_reduced_[c] > 0) {
        limits.most = std::min(limits.most, root_least(c) + steps);
      } else {
        limits.least = std::max(limits.least, root_most(c) - steps);
      }
      if (limits.least == global_[c].least && limits.most == global_[c].most)
        continue;
      closed_ = std::min(closed_, cutoff_);
      global_[c] = limits;
      set(c, {std::max(now_[c].least, limits.least), std::min(now_[c].most, limits.most)});
    }
  }
  double root_least(std::size_t c) const {
    return std::ceil(program_.column[c].least - kWholeTolerance);
  }
  double root_most(std::size_t c) const {
    return std::floor(program_.column[c].most + kWholeTolerance);
  }

  IntegerSolution finish(bool done) {
    best_.bound = std::min({best_.value, closed_, unresolved_});
    if (!done) {
      for (const auto& [bound, node] : open_)
        best_.bound = std::min(best_.bound, bound);
    }
    if (best_.x.empty()) {
      best_.status = best_.bound == kUnlimited ? Status::kInfeasible : Status::kUnknown;
    } else {
      const double gap = gap_allowed(program_, options_, best_.value) * (1 + 1e-6);
      best_.status = best_.value - best_.bound <= gap ? Status::kOptimal : Status::kFeasible;
    }
    return best_;
  }

  const IntegerProgram& program_;
  const IntegerOptions& options_;
  const std::unique_ptr<Relaxation> relaxation_;
  std::unique_ptr<Relaxation> elastic_;  // made when first needed
  const std::chrono::steady_clock::time_point until_;
  std::vector<Limits> global_, now_;  // by column: of every node; of the one in hand
  std::vector<Experience> down_, up_;
  bool all_whole_ = true;
  double cost_scale_ = 0;

  std::vector<Node> nodes_;
  std::set<std::pair<double, int>> open_;  // by bound
  double closed_ = kUnlimited;             // the least bound of what was closed
  double unresolved_ = kUnlimited;         // the least bound of what could not be
  IntegerSolution best_;
  double cutoff_ = kUnlimited;  // nothing that costs this or more is of interest

  // Of the relaxation last solved.
  bool solved_ = false, unbounded_ = false;
  std::vector<double> x_, prices_, reduced_;
  double low_bound_ = 0, high_bound_ = 0;  // of the sides of the column chosen
  double last_offer_ = -kUnlimited;
  double root_bound_ = -kUnlimited;
  std::vector<double> root_reduced_;
};

}  // namespace

Result<IntegerSolution> BranchSolver::solve(const IntegerProgram& program,
                                            const IntegerOptions& options) {
  MEDLEY_TRY_STATUS(check_program(program));
  if (program.columns() == 0) {
    IntegerSolution nothing;
    const bool fits = broken_limit(program, {}).empty();
    nothing.status = fits ? Status::kOptimal : Status::kInfeasible;
    nothing.value = nothing.bound = fits ? 0 : kUnlimited;
    return nothing;
  }
  MEDLEY_TRY(auto relaxation, make_relaxation(program));
  return Search(program, options, std::move(relaxation)).run();
}

}  // namespace medley::solve
