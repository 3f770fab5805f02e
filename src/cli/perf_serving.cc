#include "cli/perf_serving.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "cli/perf_evaluate.h"
#include "perf/calibrate.h"

namespace medley::cli {
namespace {

using perf::Measured;

// Chosen as in perf_evaluate.cc, on these rows.
constexpr double kAllDoubt = 1, kBackendDoubt = 0.3, kNoise = 0.1;
// Rows of one system, backend, version, model and precision err together: n of them weigh as
// √(n·kCluster).
constexpr double kCluster = 20;
// No column says in what numbers the KV cache was kept. NVIDIA's quantiser (ModelOpt), of which all
// fp4 checkpoints here are and the fp8 ones of models whose makers publish none, stores scales for
// an 8-bit cache, and engines follow them; checkpoints of the makers themselves have 16 bits.
bool keeps_kv_in_8_bits(const Model& model, const std::string& precision) {
  return precision == "fp4" || (precision == "fp8" && model.family == "llama");
}

// A tensor-parallel group stays within one node; wider is attention data parallelism, whatever the
// row calls it.
constexpr int kWidestTensor = 16;

struct Width {
  int tensor = 1, groups = 1;
};

// The sample lists some runs twice, once with the product of both expert widths in place of the
// width: 8 × 8 experts "on 64" devices has the same times to the last digit as 8 on 8.
Width width_of(const data::ServingSide& side, bool mixture) {
  int tensor = std::max(1, side.tensor), groups = std::max(1, side.attention_groups);
  int experts = std::max(1, side.moe_tensor) * std::max(1, side.moe_expert);
  const int square = side.moe_tensor;
  if (square > 1 && square == side.moe_expert && tensor * groups == square * square) {
    (groups > 1 ? groups : tensor) = square;
    experts = square;
  }
  if (tensor > kWidestTensor) {
    groups = tensor * groups;
    tensor = 1;
  }
  const int devices = std::max(tensor * groups, mixture ? experts : 1);
  return {tensor, std::max(1, devices / tensor)};
}

struct Item {
  const data::ServingRow* row;
  std::string system, model, precision;
  Measured tpot, ttft;
};

}  // namespace

double median(std::vector<double> values) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

ServingEvaluation evaluate(const std::vector<data::ServingRow>& rows,
                           const data::Catalog& catalog) {
  ServingEvaluation result;
  std::vector<Item> items;
  std::set<std::string> reasons;
  std::set<std::tuple<std::string, std::string, double, double, double, long long, long long>> seen;
  const StepConstants defaults = class_default(catalog, AcceleratorKind::kGpu);
  const PowerLaw no_power;
  for (const data::ServingRow& row : rows) {
    const auto fail = [&](const std::string& why) {
      ++result.unknown;
      reasons.insert(why);
    };
    const auto accelerator = catalog.accelerator(row.system);
    if (!accelerator) {
      fail(accelerator.error().message);
      continue;
    }
    auto model = catalog.model(row.model);
    if (!model) {
      fail(model.error().message);
      continue;
    }
    const auto format = catalog.number_format(row.precision.empty() ? "bf16" : row.precision);
    if (!format) {
      fail(format.error().message);
      continue;
    }
    if (!seen.emplace(row.system, row.backend, row.ttft_s, row.tpot_s, row.sessions,
                      row.prompt_tokens, row.output_tokens)
             .second) {
      ++result.listed_twice;
      continue;
    }
    Model sized = *model;
    if (!sized.outside_experts_precision)
      sized.weight_bytes = Bytes(sized.parameters * format->weight_bytes_per_parameter);
    StepConstants engine = defaults;
    if (keeps_kv_in_8_bits(*model, format->id))
      engine.roofline.kv_precision = Precision::kFp8;
    const auto terms_of = [&](const data::ServingSide& side,
                              double sessions) -> Result<perf::LoopTerms> {
      const Width width = width_of(side, model->is_mixture());
      MEDLEY_TRY(const perf::RooflineModel roofline,
                 perf::RooflineModel::make({.accelerator = *accelerator,
                                            .model = sized,
                                            .precision = format->precision,
                                            .devices = width.tensor,
                                            .constants = engine.roofline,
                                            .power = no_power,
                                            .attention_groups = width.groups,
                                            .stages = std::max(1, side.pipeline)}));
      if (!roofline.compute_known())
        return Error{ErrorCode::kNotFound, "the peak of " + accelerator->id + " is unknown", {}};
      if (sessions <= 0)
        sessions = side.batch * width.groups;
      return perf::loop_terms(roofline,
                              {row.prompt_tokens, row.output_tokens, std::max(1.0, sessions)});
    };
    Item item{&row, accelerator->id, model->id, format->id, {}, {}};
    if (row.disaggregated) {
      const double decoders = std::max(1, row.decode.workers);
      const auto decode = terms_of(row.decode, row.sessions / decoders);
      const auto prefill = terms_of(row.prefill, 1);
      if (!decode || !prefill) {
        fail((decode ? prefill : decode).error().message);
        continue;
      }
      item.tpot = {*decode, Measured::Figure::kStep, row.tpot_s, 1};
      item.ttft = {*prefill, Measured::Figure::kTtft, row.ttft_s, 1};
    } else {
      const auto terms = terms_of(row.whole, row.sessions);
      if (!terms) {
        fail(terms.error().message);
        continue;
      }
      item.tpot = {*terms, Measured::Figure::kTpot, row.tpot_s, 1};
      item.ttft = {*terms, Measured::Figure::kTtft, row.ttft_s, 1};
    }
    items.push_back(std::move(item));
  }
  result.reasons.assign(reasons.begin(), reasons.end());

  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>, int>
      cluster;
  const auto key_of = [](const Item& item) {
    return std::tuple(item.system, item.row->backend, item.row->backend_version, item.model,
                      item.precision);
  };
  for (const Item& item : items)
    ++cluster[key_of(item)];
  for (Item& item : items) {
    const double weight = std::sqrt(kCluster / cluster[key_of(item)]);
    item.tpot.weight = weight;
    item.ttft.weight = weight / 2;  // noisier: first requests, queues of the client
  }

  using Keep = std::function<bool(const Item&)>;
  const auto fit = [&](const Keep& keep, const perf::Constants& start, double doubt) {
    std::vector<Measured> measured;
    for (const Item& item : items) {
      if (item.row->disaggregated || !keep(item))
        continue;
      measured.push_back(item.tpot);
      measured.push_back(item.ttft);
    }
    if (measured.empty())
      return start;
    const auto unknowns = perf::roofline_unknowns(start, doubt);
    return perf::calibrate(measured, unknowns, start, kNoise).constants;
  };
  perf::Constants start{defaults.roofline, {}};
  // Both checkpoints are one architecture: one is not used to predict the other.
  const auto family = [](const std::string& model) {
    return model == "deepseek-v3.1" ? std::string("deepseek-r1") : model;
  };
  const perf::Constants all = fit([](const Item&) { return true; }, start, kAllDoubt);

  std::map<std::tuple<bool, std::string, std::string, std::string>, std::vector<const Item*>> folds;
  for (const Item& item : items)
    folds[{item.row->disaggregated, item.system, item.row->backend, item.model}].push_back(&item);
  std::map<std::string, perf::Constants> of_backend;
  std::map<std::pair<std::string, std::string>, perf::Constants> alone;
  for (const auto& [key, members] : folds) {
    const auto& [disaggregated, system, backend, model] = key;
    ServingFold fold{system, backend, model, disaggregated, members.size(), {}, {}, {}, {}};
    perf::Constants without;
    if (disaggregated) {
      const auto same_backend = [&, wanted = backend](const Item& i) {
        return i.row->backend == wanted;
      };
      if (of_backend.count(backend) == 0)
        of_backend[backend] = fit(same_backend, all, kBackendDoubt);
      without = of_backend[backend];
    } else {
      const auto kept = [&, s = system, b = backend, m = model](const Item& i) {
        return i.system != s || i.row->backend != b || family(i.model) != family(m);
      };
      without = fit(kept, start, kAllDoubt);
      without = fit([&, b = backend](const Item& i) { return kept(i) && i.row->backend == b; },
                    without, kBackendDoubt);
      const auto place = std::pair(system, backend);
      if (alone.count(place) == 0) {
        alone[place] = fit([&, s = system, b = backend](
                               const Item& i) { return i.system == s && i.row->backend == b; },
                           all, 2 * kAllDoubt);
      }
    }
    for (const Item* item : members) {
      const auto error = [](const Measured& measured, const perf::Constants& constants) {
        return std::abs(perf::predicted(measured, constants) / measured.seconds - 1);
      };
      fold.tpot_left_out.push_back(error(item->tpot, without));
      fold.ttft_left_out.push_back(error(item->ttft, without));
      if (disaggregated)
        continue;
      const perf::Constants& own = alone[std::pair(system, backend)];
      fold.tpot_in_sample.push_back(error(item->tpot, own));
      fold.ttft_in_sample.push_back(error(item->ttft, own));
    }
    result.folds.push_back(std::move(fold));
  }

  // The floor: what one configuration deviates from itself.
  using Configuration = std::tuple<std::string, std::string, std::string, std::string, std::string,
                                   int, int, double, long long, long long>;
  std::map<Configuration, std::vector<const Item*>> repeats;
  for (const Item& item : items) {
    const data::ServingRow& row = *item.row;
    if (row.disaggregated)
      continue;
    const Width width = width_of(row.whole, item.tpot.terms.step.moe_layers > 0);
    repeats[{item.system, row.backend, row.backend_version, item.model, item.precision,
             width.tensor, width.groups, row.sessions, row.prompt_tokens, row.output_tokens}]
        .push_back(&item);
  }
  for (const auto& [configuration, members] : repeats) {
    if (members.size() < 2)
      continue;
    result.repeated += members.size();
    const auto spread = [&, &all_of = members](auto figure, std::vector<double>& out) {
      double mean = 0;
      for (const Item* item : all_of)
        mean += figure(*item->row) / static_cast<double>(all_of.size());
      for (const Item* item : all_of)
        out.push_back(std::abs(figure(*item->row) / mean - 1));
    };
    spread([](const data::ServingRow& row) { return row.tpot_s; }, result.tpot_spread);
    spread([](const data::ServingRow& row) { return row.ttft_s; }, result.ttft_spread);
  }
  return result;
}

}  // namespace medley::cli
