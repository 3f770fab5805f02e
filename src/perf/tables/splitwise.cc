#include "perf/tables/splitwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "perf/tables/piecewise.h"

namespace medley::perf {
namespace {

// splitwise-sim charges a step of prompts and decodes a tenth more than its tokens as prompts.
constexpr double kMixedOverhead = 1.1;

double median(std::vector<double>& values) {
  const std::size_t middle = values.size() / 2;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

class SplitwiseModel final : public StepModel {
 public:
  explicit SplitwiseModel(const std::vector<SplitwiseRow>& rows) {
    std::map<long long, std::pair<std::vector<double>, std::vector<double>>> by_size;
    for (const SplitwiseRow& row : rows) {
      auto& [prompt, token] = by_size[row.prompt_size * row.batch_size];
      prompt.push_back(row.prompt_ms);
      token.push_back(row.token_ms);
    }
    for (auto& [size, times] : by_size) {
      prompt_.points.push_back(static_cast<double>(size));
      prompt_.values.push_back(median(times.first));
      token_.values.push_back(median(times.second));
    }
    token_.points = prompt_.points;
  }
  std::size_t sizes() const { return prompt_.points.size(); }

  StepCost step(const StepShape& shape) const override {
    MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
    const auto tokens = static_cast<double>(shape.decodes + shape.prefill_tokens());
    double ms = 0;
    if (shape.chunks.empty()) {
      ms = token_.at(tokens, BelowFirst::kFirstSegment);
    } else {
      ms = prompt_.at(tokens, BelowFirst::kFirstSegment);
      if (shape.decodes > 0)
        ms *= kMixedOverhead;
    }
    StepCost cost{Seconds(std::max(0.0, ms) * 1e-3), Joules()};
    cost.extrapolated = tokens < prompt_.points.front() || tokens > prompt_.points.back();
    return cost;
  }
  // Contexts do not count: all steps are equal.
  std::optional<StepCost> run(const StepShape& first, long long steps) const override {
    const StepCost each = step(first);
    return StepCost{each.time * static_cast<double>(steps), Joules(), each.extrapolated * steps};
  }
  Watts idle_power() const override { return {}; }

 private:
  Piecewise prompt_, token_;  // milliseconds by tokens in the step
};

}  // namespace

std::string complaint(const SplitwiseRow& row) {
  constexpr long long kLargest = 1'000'000'000;
  if (std::min(row.prompt_size, row.batch_size) < 1 ||
      std::max(row.prompt_size, row.batch_size) > kLargest) {
    return fmt::format("prompt_size {}, batch_size {}: expected 1 to {}", row.prompt_size,
                       row.batch_size, kLargest);
  }
  if (!(row.prompt_ms > 0 && row.token_ms > 0)) {
    return fmt::format("prompt_time {}, token_time {}: expected positive milliseconds",
                       row.prompt_ms, row.token_ms);
  }
  return {};
}

Result<std::shared_ptr<const StepModel>> make_splitwise_model(
    const std::vector<SplitwiseRow>& rows) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message), {}};
  };
  for (const SplitwiseRow& row : rows) {
    if (std::string wrong = complaint(row); !wrong.empty())
      return invalid(std::move(wrong));
  }
  const auto model = std::make_shared<const SplitwiseModel>(rows);
  if (model->sizes() < 2) {
    return invalid(
        fmt::format("expected at least two sizes (prompt_size x batch_size) to draw a "
                    "line through, got {}",
                    model->sizes()));
  }
  return std::shared_ptr<const StepModel>(model);
}

}  // namespace medley::perf
