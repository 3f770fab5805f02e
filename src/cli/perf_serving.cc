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
  AcceleratorKind kind;
  bool kv8;  // the KV cache is kept in 8 bits
  Measured tpot, ttft;
};

// The rows as the step models see them; those of devices and models that the catalogue lacks are
// told in `result`.
class Rows {
 public:
  Rows(const std::vector<data::ServingRow>& rows, const data::Catalog& catalog,
       ServingEvaluation& result)
      : start_{class_default(catalog, AcceleratorKind::kGpu).roofline, {}} {
    std::set<std::string> reasons;
    std::set<std::tuple<std::string, std::string, double, double, double, long long, long long>>
        seen;
    for (const data::ServingRow& row : rows) {
      if (!seen.emplace(row.system, row.backend, row.ttft_s, row.tpot_s, row.sessions,
                        row.prompt_tokens, row.output_tokens)
               .second) {
        ++result.listed_twice;
      } else if (auto item = read(row, catalog)) {
        items_.push_back(std::move(*item));
      } else {
        ++result.unknown;
        reasons.insert(item.error().message);
      }
    }
    result.reasons.assign(reasons.begin(), reasons.end());
    weigh();
  }

  const std::vector<Item>& items() const { return items_; }
  const perf::Constants& start() const { return start_; }

  using Keep = std::function<bool(const Item&)>;
  perf::Calibration calibrate(const Keep& keep, const perf::Constants& start, double doubt) const {
    std::vector<Measured> measured;
    for (const Item& item : items_) {
      if (item.row->disaggregated || !keep(item))
        continue;
      measured.push_back(item.tpot);
      measured.push_back(item.ttft);
    }
    if (measured.empty())
      return {start, {}};
    return perf::calibrate(measured, perf::roofline_unknowns(start, doubt), start, kNoise);
  }
  perf::Constants fit(const Keep& keep, const perf::Constants& start, double doubt) const {
    return calibrate(keep, start, doubt).constants;
  }

 private:
  Result<Item> read(const data::ServingRow& row, const data::Catalog& catalog) const {
    MEDLEY_TRY(const Accelerator accelerator, catalog.accelerator(row.system));
    MEDLEY_TRY(const Model model, catalog.model(row.model));
    MEDLEY_TRY(const data::NumberFormat format,
               catalog.number_format(row.precision.empty() ? "bf16" : row.precision));
    Model sized = model;
    if (!sized.outside_experts_precision)
      sized.weight_bytes = Bytes(sized.parameters * format.weight_bytes_per_parameter);
    RooflineConstants constants = start_.roofline;
    const bool kv8 = keeps_kv_in_8_bits(model, format.id);
    if (kv8)
      constants.kv_precision = Precision::kFp8;
    const PowerLaw no_power;
    const auto terms_of = [&](const data::ServingSide& side,
                              double sessions) -> Result<perf::LoopTerms> {
      const Width width = width_of(side, model.is_mixture());
      MEDLEY_TRY(const perf::RooflineModel roofline,
                 perf::RooflineModel::make({.accelerator = accelerator,
                                            .model = sized,
                                            .precision = format.precision,
                                            .devices = width.tensor,
                                            .constants = constants,
                                            .power = no_power,
                                            .attention_groups = width.groups,
                                            .stages = std::max(1, side.pipeline)}));
      if (!roofline.compute_known())
        return Error{ErrorCode::kNotFound, "the peak of " + accelerator.id + " is unknown", {}};
      if (sessions <= 0)
        sessions = side.batch * width.groups;
      return perf::loop_terms(roofline,
                              {row.prompt_tokens, row.output_tokens, std::max(1.0, sessions)});
    };
    Item item{&row, accelerator.id, model.id, format.id, accelerator.kind, kv8, {}, {}};
    if (row.disaggregated) {
      const double decoders = std::max(1, row.decode.workers);
      MEDLEY_TRY(const perf::LoopTerms decode, terms_of(row.decode, row.sessions / decoders));
      MEDLEY_TRY(const perf::LoopTerms prefill, terms_of(row.prefill, 1));
      item.tpot = {decode, Measured::Figure::kStep, row.tpot_s, 1};
      item.ttft = {prefill, Measured::Figure::kTtft, row.ttft_s, 1};
    } else {
      MEDLEY_TRY(const perf::LoopTerms terms, terms_of(row.whole, row.sessions));
      item.tpot = {terms, Measured::Figure::kTpot, row.tpot_s, 1};
      item.ttft = {terms, Measured::Figure::kTtft, row.ttft_s, 1};
    }
    return item;
  }

  void weigh() {
    const auto key_of = [](const Item& item) {
      return std::tuple(item.system, item.row->backend, item.row->backend_version, item.model,
                        item.precision);
    };
    std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>, int>
        cluster;
    for (const Item& item : items_)
      ++cluster[key_of(item)];
    for (Item& item : items_) {
      const double weight = std::sqrt(kCluster / cluster[key_of(item)]);
      item.tpot.weight = weight;
      item.ttft.weight = weight / 2;  // noisier: first requests, queues of the client
    }
  }

  perf::Constants start_;
  std::vector<Item> items_;
};

double error_of(const Measured& measured, const perf::Constants& constants) {
  return std::abs(perf::predicted(measured, constants) / measured.seconds - 1);
}

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
  const Rows all_rows(rows, catalog, result);
  const std::vector<Item>& items = all_rows.items();
  const auto fit = [&](const Rows::Keep& keep, const perf::Constants& start, double doubt) {
    return all_rows.fit(keep, start, doubt);
  };
  const perf::Constants& start = all_rows.start();
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
      fold.tpot_left_out.push_back(error_of(item->tpot, without));
      fold.ttft_left_out.push_back(error_of(item->ttft, without));
      if (disaggregated)
        continue;
      const perf::Constants& own = alone[std::pair(system, backend)];
      fold.tpot_in_sample.push_back(error_of(item->tpot, own));
      fold.ttft_in_sample.push_back(error_of(item->ttft, own));
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

std::vector<GroupFit> fit_serving(const std::vector<data::ServingRow>& rows,
                                  const data::Catalog& catalog, ServingEvaluation& told) {
  const Rows all(rows, catalog, told);
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<const Item*>> groups;
  for (const Item& item : all.items()) {
    if (!item.row->disaggregated)
      groups[{item.system, item.row->backend, item.precision}].push_back(&item);
  }
  std::vector<GroupFit> fits;
  for (const auto& [key, members] : groups) {
    const auto& [system, backend, precision] = key;
    // What a group's rows say, perhaps without one model's.
    const auto calibrate = [&, &s = system, &b = backend,
                            &p = precision](const std::string& model) {
      const auto keep = [&](const Item& i) {
        return i.system == s && i.row->backend == b && i.precision == p && i.model != model;
      };
      return all.calibrate(keep, all.start(), 2 * kAllDoubt);
    };
    const perf::Calibration whole = calibrate("");
    GroupFit fit;
    fit.group = "serving";
    fit.device = system;
    fit.device_class = std::string(name_of(members.front()->kind));
    fit.precision = precision;
    fit.engine = backend == "trtllm" ? "tensorrt_llm" : backend;  // as fleet files name it
    fit.engine_version = members.front()->row->backend_version;
    for (const perf::Unknown& one : perf::roofline_unknowns({}, 1))
      fit.names.push_back(one.name);
    fit.fit = whole.fit;
    fit.constants = whole.constants;
    if (std::all_of(members.begin(), members.end(), [](const Item* item) { return item->kv8; }))
      fit.constants.roofline.kv_precision = Precision::kFp8;
    std::set<std::string> models;
    for (const Item* item : members) {
      fit.lines.push_back(item->row->line);
      fit.in_sample += error_of(item->tpot, whole.constants) / static_cast<double>(members.size());
      models.insert(item->model);
      if (item->row->backend_version != fit.engine_version)
        fit.engine_version.clear();
    }
    if (models.size() > 1) {
      std::map<std::string, perf::Constants> without;
      for (const std::string& model : models)
        without[model] = calibrate(model).constants;
      fit.left_out = 0;
      for (const Item* item : members)
        *fit.left_out +=
            error_of(item->tpot, without[item->model]) / static_cast<double>(members.size());
    }
    fits.push_back(std::move(fit));
  }
  return fits;
}

}  // namespace medley::cli
