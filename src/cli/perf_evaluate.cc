#include "cli/perf_evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "base/check.h"

namespace medley::cli {
namespace {

using perf::Constants;
using perf::Measured;
using Figure = Measured::Figure;

// The data set publishes no prompt lengths; hardware.md 2.2 assumes these.
constexpr long long kMlEnergyPrompt = 200;
// Tokens that Splitwise's runs generated after their prompt; its decodes are at half of them.
constexpr long long kSplitwiseOutput = 128;

// Doubts of the three steps (all devices, the device, its precision) and of a fit of one group
// alone. Noise: what is left between these models and measurements whatever the constants.
// Doubts and noise were chosen with the left-out errors of the published points in view, so these
// errors are a little kinder than those of points nobody has seen.
constexpr double kAllDoubt = 0.3, kDeviceDoubt = 0.6, kPrecisionDoubt = 1, kAloneDoubt = 2;
constexpr double kNoise = 0.1, kPowerNoise = 0.05;
constexpr double kStreamNoise = 0.15;  // the spread of published speeds of one model and service
// Splitwise ran an engine of 2023, whose costs per layer were ten times those of today.
constexpr double kOldEngineDoubt = 8;

// Model with the bytes of this number format, block scales included.
Model at_format(Model model, const data::NumberFormat& format) {
  if (!model.weight_bytes && !model.outside_experts_precision)
    model.weight_bytes = Bytes(model.parameters * format.weight_bytes_per_parameter);
  return model;
}

struct Names {
  std::string device, model, precision;
};

struct LookedUp {
  Accelerator accelerator;
  Model model;
  data::NumberFormat format;
};

Result<LookedUp> look_up(const data::Catalog& catalog, const Names& names) {
  LookedUp found;
  MEDLEY_TRY(found.accelerator, catalog.accelerator(names.device));
  MEDLEY_TRY(const Model model, catalog.model(names.model));
  MEDLEY_TRY(found.format, catalog.number_format(names.precision));
  found.model = at_format(model, found.format);
  return found;
}

// Devices of the group and how many of them split a layer.
struct Width {
  int tensor = 1, groups = 1;
};

Result<perf::RooflineModel> model_of(const LookedUp& what, const Width& width,
                                     const RooflineConstants& constants) {
  static const PowerLaw no_power;
  return perf::RooflineModel::make({.accelerator = what.accelerator,
                                    .model = what.model,
                                    .precision = what.format.precision,
                                    .devices = width.tensor,
                                    .constants = constants,
                                    .power = no_power,
                                    .attention_groups = width.groups});
}

double relative_error(double predicted, double published) {
  return std::abs(predicted / published - 1);
}

// Fits step by step from the general to the particular; each step starts from the one before.
class Chain {
 public:
  struct Row {
    std::string model, device, precision;
    std::vector<Measured> measured;
  };
  struct Doubts {
    double all, device, precision, alone;
  };

  Chain(std::vector<Row> rows, Constants start, const Doubts& doubts)
      : rows_(std::move(rows)), start_(std::move(start)), doubts_(doubts) {}

  // Without the rows of `model` on `device`.
  const Constants& without(const std::string& model, const std::string& device,
                           const std::string& precision) {
    const auto key = std::tuple(model, device, precision);
    if (const auto found = cache_.find(key); found != cache_.end())
      return found->second;
    const auto kept = [&](const Row& row) { return row.model != model || row.device != device; };
    Constants constants = start_;
    step(constants, doubts_.all, kept);
    step(constants, doubts_.device,
         [&](const Row& row) { return kept(row) && row.device == device; });
    step(constants, doubts_.precision, [&](const Row& row) {
      return kept(row) && row.device == device && row.precision == precision;
    });
    return cache_.emplace(key, constants).first->second;
  }

  perf::Calibration alone(const std::string& device, const std::string& precision) const {
    return calibrate(doubts_.alone, start_, [&](const Row& row) {
      return row.device == device && row.precision == precision;
    });
  }

 private:
  using Keep = std::function<bool(const Row&)>;
  perf::Calibration calibrate(double doubt, const Constants& start, const Keep& keep) const {
    std::vector<Measured> measured;
    for (const Row& row : rows_) {
      if (keep(row))
        measured.insert(measured.end(), row.measured.begin(), row.measured.end());
    }
    if (measured.empty())
      return {start, {}};
    std::vector<perf::Unknown> unknowns = perf::roofline_unknowns(start, doubt);
    // Habits of a client loop: not in these figures.
    for (std::size_t k = unknowns.size() - perf::kHabits; k < unknowns.size(); ++k)
      unknowns[k].spread = 0;
    return perf::calibrate(measured, unknowns, start, kNoise);
  }
  void step(Constants& constants, double doubt, const Keep& keep) const {
    constants = calibrate(doubt, constants, keep).constants;
  }

  std::vector<Row> rows_;
  Constants start_;
  Doubts doubts_;
  std::map<std::tuple<std::string, std::string, std::string>, Constants> cache_;
};

std::vector<std::string> roofline_names() {
  std::vector<std::string> names;
  for (const perf::Unknown& one : perf::roofline_unknowns({}, 1))
    names.push_back(one.name);
  return names;
}

class Evaluator {
 public:
  Evaluator(const data::PointsFile& file, const data::Catalog& catalog)
      : file_(file), catalog_(catalog) {}

  Evaluation run() {
    for (const data::Point& point : file_.points) {
      PointCheck check;
      check.group = point.group;
      check.index = point.index;
      check.line = point.line;
      check.model = point.text("model");
      check.device_class = "gpu";
      check.device = point.has("n") || !point.text("gpu").empty() ? point.text("gpu") : "";
      check.precision = point.text("prec");
      result_.points.push_back(std::move(check));
    }
    energy();
    splitwise();
    without_load();
    streams();
    small_devices();
    return std::move(result_);
  }

 private:
  template <typename Visit>
  void each(std::string_view group, const Visit& visit) {
    for (std::size_t place = 0; place < file_.points.size(); ++place) {
      if (file_.points[place].group == group)
        visit(place, file_.points[place], result_.points[place]);
    }
  }

  void name(PointCheck& check, const LookedUp& found) {
    check.device = found.accelerator.id;
    check.device_class = std::string(name_of(found.accelerator.kind));
    check.model = found.model.id;
    check.precision = found.format.id;
  }

  static void say_unknown(PointCheck& check, const data::Point& point,
                          std::initializer_list<const char*> fields, const std::string& why) {
    for (const char* field : fields)
      check.figures.push_back({field, point.number(field), {}, {}, why, true});
  }

  // Decoding at a known mean batch with watts: median gap, tokens per second, joules per token.
  void energy() {
    const StepConstants defaults = class_default(catalog_, AcceleratorKind::kGpu);
    struct Item {
      std::size_t place;
      LookedUp what;
      int devices;
      perf::LoopTerms terms;
      double peak;
    };
    std::vector<Item> items;
    std::vector<Chain::Row> rows;
    each("ml_energy", [&](std::size_t place, const data::Point& point, PointCheck& check) {
      const auto fields = {"itl_ms", "tps", "J_tok"};
      const auto found =
          look_up(catalog_, {point.text("gpu"), point.text("model"), point.text("prec")});
      if (!found)
        return say_unknown(check, point, fields, found.error().message);
      name(check, *found);
      const int devices = static_cast<int>(point.number("n"));
      const int tensor = static_cast<int>(point.number("tp"));
      const auto model =
          model_of(*found, {tensor, std::max(1, devices / tensor)}, defaults.roofline);
      if (!model || !model->compute_known()) {
        return say_unknown(
            check, point, fields,
            model ? fmt::format("the peak of {} is unknown", check.device) : model.error().message);
      }
      const double batch = point.number("batch");
      const perf::Loop loop{kMlEnergyPrompt, std::llround(point.number("out_len")), batch, true};
      Item item{place, *found, devices, perf::loop_terms(*model, loop), 0};
      item.peak =
          perf::arithmetic_peak(found->accelerator, found->format.precision)->value() * devices;
      Measured gap{item.terms, Figure::kStep, point.number("itl_ms") / 1e3, 1};
      Measured rate{item.terms, Figure::kTpot, batch / point.number("tps"), 1};
      rows.push_back({check.model, check.device, check.precision, {gap, rate}});
      items.push_back(std::move(item));
    });
    if (items.empty())
      return;
    // Not the catalogue's default for GPUs, which lies between fits to these very points, but
    // figures of others (hardware.md 2.2 to 2.4): AIConfigurator's fallback of 0.8 of the
    // bandwidth, what Splitwise's prompts reach of the peak, BLIS's time per layer; else round
    // numbers.
    RooflineConstants plain = defaults.roofline;
    plain.e_mem = plain.e_kv = 0.8;
    plain.e_comp = plain.e_pre = 0.58;
    plain.t_layer_s = 32e-6;
    plain.t_allreduce_s = 10e-6;
    plain.t_seq_s = 50e-6;
    plain.t_moe_layer_s = 30e-6;
    plain.t_expert_exchange_s = 50e-6;
    Constants start{plain, {.own = 1, .burst = 0, .wait = 0, .first_s = 0}};
    // Not in the catalogue's default: about the middle of fits of each engine of AIConfigurator's
    // sample, which shares no run with these points.
    start.roofline.t_prefill_layer_s = 100e-6;
    start.roofline.t_prefill_moe_layer_s = 500e-6;
    Chain chain(rows, start, {kAllDoubt, kDeviceDoubt, kPrecisionDoubt, kAloneDoubt});
    const auto watts_of = [&](const Item& item, double tps, double step_s) {
      const data::Point& point = file_.points[item.place];
      perf::MeasuredPower power;
      const double active = item.what.model.active_parameters;
      power.mfu = 2 * active * tps * (1 + kMlEnergyPrompt / point.number("out_len")) / item.peak;
      power.mbu = (item.terms.step.weights + item.terms.step.kv).value() / step_s;
      power.watts = point.number("W_gpu");
      return power;
    };
    // The power law of a device from its points, one model perhaps left out.
    const auto law_of = [&](const std::string& device, const std::string& without_model) {
      std::vector<perf::MeasuredPower> measured;
      const Item* any = nullptr;
      for (const Item& item : items) {
        const PointCheck& check = result_.points[item.place];
        const data::Point& point = file_.points[item.place];
        if (check.device != device)
          continue;
        any = &item;
        if (check.model != without_model)
          measured.push_back(watts_of(item, point.number("tps"), point.number("itl_ms") / 1e3));
      }
      return perf::calibrate_power(measured, plain_power(any->what.accelerator), kPowerNoise);
    };

    std::map<std::pair<std::string, std::string>, perf::Calibration> alone;
    std::map<std::string, PowerLaw> alone_power;
    for (const Item& item : items) {
      PointCheck& check = result_.points[item.place];
      const data::Point& point = file_.points[item.place];
      const auto key = std::pair(check.device, check.precision);
      if (alone.count(key) == 0)
        alone.emplace(key, chain.alone(check.device, check.precision));
      const bool has_power = item.what.accelerator.tdp_w.has_value();
      if (has_power && alone_power.count(check.device) == 0)
        alone_power[check.device] = law_of(check.device, "").law;

      FigureCheck itl{"itl_ms", point.number("itl_ms"), {}, {}, "", true};
      FigureCheck tps{"tps", point.number("tps"), {}, {}, "", true};
      FigureCheck joules{"J_tok", point.number("J_tok"), {}, {}, "", true};
      FigureCheck watts{"W_gpu", point.number("W_gpu"), {}, {}, "", false};
      const auto predict = [&](const Constants& constants, const std::optional<PowerLaw>& law,
                               auto member) {
        const perf::LoopTimes times =
            perf::loop_times(item.terms, constants.roofline, constants.habits);
        const double rate = item.terms.sessions / times.tpot.value();
        itl.*member = times.step.value() * 1e3;
        tps.*member = rate;
        if (!law)
          return;
        const perf::MeasuredPower at = watts_of(item, rate, times.step.value());
        const double power = perf::predicted_watts(*law, at.mfu, at.mbu);
        watts.*member = power;
        joules.*member = power * item.devices / rate;
      };
      std::optional<PowerLaw> without, with;
      if (has_power) {
        without = law_of(check.device, check.model).law;
        with = alone_power[check.device];
      } else {
        joules.unknown = watts.unknown =
            fmt::format("the power limit of {} is unknown", check.device);
      }
      predict(chain.without(check.model, check.device, check.precision), without,
              &FigureCheck::left_out);
      predict(alone.at(key).constants, with, &FigureCheck::in_sample);
      check.figures = {itl, tps, joules, watts};
    }
    for (const auto& [key, calibration] : alone)
      add_fit("ml_energy", key.first, key.second, "vllm", "ML.ENERGY v3", calibration,
              {"itl_ms", "tps"});
    for (const auto& [device, law] : alone_power) {
      GroupFit fit;
      fit.law = GroupFit::Law::kPower;
      fit.group = "ml_energy";
      fit.device = device;
      fit.device_class = "gpu";
      fit.names = {"intercept", "per_mfu", "per_mbu"};
      fit.fit = law_of(device, "").fit;
      fit.power = law;
      close(fit, {"W_gpu"}, true);
    }
  }

  // A prompt step and a decode step each, on an engine of 2023.
  void splitwise() {
    const StepConstants defaults = class_default(catalog_, AcceleratorKind::kGpu);
    std::vector<Chain::Row> rows;
    std::vector<std::pair<std::size_t, perf::LoopTerms>> items;
    each("splitwise", [&](std::size_t place, const data::Point& point, PointCheck& check) {
      const auto fields = {"prompt_ms", "token_ms"};
      const auto found = look_up(catalog_, {point.text("gpu"), point.text("model"), "fp16"});
      if (!found)
        return say_unknown(check, point, fields, found.error().message);
      name(check, *found);
      const auto model =
          model_of(*found, {static_cast<int>(point.number("tp")), 1}, defaults.roofline);
      if (!model || !model->compute_known())
        return say_unknown(check, point, fields, "bandwidth or peak is unknown");
      const long long prompt = std::llround(point.number("prompt"));
      const long long batch = std::llround(point.number("batch"));
      const std::vector<perf::PrefillChunk> chunks(static_cast<std::size_t>(batch), {prompt, 0});
      perf::LoopTerms terms;
      const long long context = prompt + kSplitwiseOutput / 2;
      terms.step = model->terms({.decodes = batch,
                                 .decode_context = batch * context,
                                 .decode_context_min = context,
                                 .decode_context_max = context});
      terms.prompt = model->terms({.chunks = chunks});
      Measured token{terms, Figure::kStep, point.number("token_ms") / 1e3, 1};
      Measured first{terms, Figure::kPrompt, point.number("prompt_ms") / 1e3, 1};
      rows.push_back({check.model, check.device, check.precision, {token, first}});
      items.emplace_back(place, terms);
    });
    if (items.empty())
      return;
    Chain chain(rows, {defaults.roofline, {}},
                {kOldEngineDoubt, kDeviceDoubt, kPrecisionDoubt, kOldEngineDoubt});
    std::map<std::string, perf::Calibration> alone;
    for (const auto& [place, terms] : items) {
      PointCheck& check = result_.points[place];
      const data::Point& point = file_.points[place];
      if (alone.count(check.device) == 0)
        alone.emplace(check.device, chain.alone(check.device, check.precision));
      const auto both = [&, &at = terms](const char* field, Figure figure) {
        const Measured one{at, figure, 0, 1};
        FigureCheck result{field, point.number(field), {}, {}, "", true};
        result.left_out =
            perf::predicted(one, chain.without(check.model, check.device, check.precision)) * 1e3;
        result.in_sample = perf::predicted(one, alone.at(check.device).constants) * 1e3;
        return result;
      };
      check.figures = {both("prompt_ms", Figure::kPrompt), both("token_ms", Figure::kStep)};
    }
    for (const auto& [device, calibration] : alone)
      add_fit("splitwise", device, "fp16", "vllm", "2023", calibration, {"prompt_ms", "token_ms"});
  }

  // Whole-run means of runs whose load is not published, and runs that only a simulation answers.
  void without_load() {
    each("blis_h100", [&](std::size_t, const data::Point& point, PointCheck& check) {
      check.device = "h100_sxm";
      say_unknown(check, point, {"itl_mean_ms"},
                  "the batch and the request rate of the run are not published");
    });
    each("llmservingsim", [&](std::size_t, const data::Point& point, PointCheck& check) {
      const auto found =
          look_up(catalog_, {point.text("gpu"), point.text("model"), point.text("prec")});
      if (found)
        name(check, *found);
    });
  }

  // One stream on a statically scheduled device.
  void streams() {
    const auto accelerator = catalog_.accelerator("groq_lpu_v1");
    // What no point says is held at the catalogue's figures. The times, which were fitted to these
    // very points there, start from a round one.
    DataflowConstants start = class_default(catalog_, AcceleratorKind::kLpu).dataflow;
    start.moe_extra_layer_s = 0;
    start.t_layer_s = 80e-6;
    std::vector<std::pair<std::size_t, perf::MeasuredStream>> items;
    each("lpu_v1", [&](std::size_t place, const data::Point& point, PointCheck& check) {
      check.device_class = "lpu";
      check.precision = "int8";
      const auto field = {"published_tok_s_user"};
      if (!accelerator)
        return say_unknown(check, point, field, accelerator.error().message);
      check.device = accelerator->id;
      const auto model = catalog_.model(point.text("model"));
      if (!model)
        return say_unknown(check, point, field, model.error().message);
      check.model = model->id;
      check.precision = model->is_mixture() ? "int8, experts" : "int8, dense";
      const auto feed = accelerator->weight_feed ? accelerator->weight_feed : start.weight_feed;
      if (!feed) {
        return say_unknown(check, point, field,
                           fmt::format("the weight feed of {} is unknown", check.device));
      }
      perf::MeasuredStream stream;
      stream.layers = point.number("layers");
      stream.moe_layers = model->is_mixture() ? model->expert_layers : 0;
      stream.weights = Bytes(point.number("active_params") * start.weight_bytes_per_parameter) /
                       (*feed * static_cast<double>(start.group_chips));
      stream.tokens_per_s = point.number("published_tok_s_user");
      items.emplace_back(place, stream);
    });
    if (items.empty())
      return;
    const auto fit_without = [&](const std::string& model) {
      std::vector<perf::MeasuredStream> measured;
      for (const auto& [place, stream] : items) {
        if (result_.points[place].model != model)
          measured.push_back(stream);
      }
      return perf::calibrate_streams(measured, start, kStreamNoise);
    };
    const perf::StreamCalibration all = fit_without("");
    for (const auto& [place, stream] : items) {
      PointCheck& check = result_.points[place];
      FigureCheck one{"published_tok_s_user", stream.tokens_per_s, {}, {}, "", true};
      one.in_sample = perf::predicted_tokens_per_s(stream, all.constants);
      one.left_out = perf::predicted_tokens_per_s(stream, fit_without(check.model).constants);
      check.figures = {one};
    }
    GroupFit fit;
    fit.law = GroupFit::Law::kDataflow;
    fit.group = "lpu_v1";
    fit.device_class = "lpu";
    fit.device = "groq_lpu_v1";
    fit.precision = "int8";
    fit.engine = "groqware";
    fit.engine_version = "2024";
    fit.names = {"t_layer", "t_moe_layer"};
    fit.fit = all.fit;
    fit.dataflow = all.constants;
    close(fit, {"published_tok_s_user"}, true);
  }

  // One stream on an NPU or CPU: the bandwidth decides, so its used share is all there is to find.
  void small_devices() {
    struct Item {
      std::size_t place;
      Measured measured;
    };
    std::vector<Item> items;
    constexpr long long kContext = 512;  // where none is given: a short conversation
    each("npu_cpu", [&](std::size_t place, const data::Point& point, PointCheck& check) {
      check.device = point.text("device");
      check.device_class = check.device.starts_with("cpu") ? "cpu" : "npu";
      const auto field = {"tok_s"};
      const auto found =
          look_up(catalog_, {point.text("device"), point.text("model"), point.text("prec")});
      if (!found)
        return say_unknown(check, point, field, found.error().message);
      name(check, *found);
      static const RooflineConstants plain{.e_mem = 0.6, .e_comp = 1, .e_pre = 1};
      LookedUp without_peak = *found;  // a stream of one: arithmetic does not decide
      without_peak.accelerator.peak.clear();
      const auto model = model_of(without_peak, {}, plain);
      if (!model)
        return say_unknown(check, point, field, model.error().message);
      const long long context = std::llround(point.maybe("ctx").value_or(kContext));
      perf::LoopTerms terms;
      terms.step = model->terms({.decodes = 1,
                                 .decode_context = context,
                                 .decode_context_min = context,
                                 .decode_context_max = context});
      items.push_back({place, {terms, Figure::kStep, 1 / point.number("tok_s"), 1}});
    });
    // No kind's default: those of NPUs and CPUs were read off these very points.
    Constants start;
    start.roofline = {.e_mem = 0.6, .e_comp = 1, .e_pre = 1};
    const auto fit_of = [&](const std::function<bool(const PointCheck&)>& keep,
                            const Constants& from) {
      std::vector<Measured> measured;
      for (const Item& item : items) {
        if (keep(result_.points[item.place]))
          measured.push_back(item.measured);
      }
      std::vector<perf::Unknown> unknowns = perf::roofline_unknowns(from, 1);
      for (perf::Unknown& one : unknowns) {
        // e_kv starts equal to e_mem and is not told apart by single streams.
        if (one.name != "e_mem")
          one.spread = 0;
      }
      return perf::calibrate(measured, unknowns, from, kNoise);
    };
    std::map<std::string, perf::Calibration> alone;
    for (const Item& item : items) {
      PointCheck& check = result_.points[item.place];
      const std::string key = check.device;
      if (alone.count(key) == 0) {
        alone.emplace(key, fit_of([&](const PointCheck& p) { return p.device == key; }, start));
      }
      const auto kept = [&](const PointCheck& p) {
        return p.model != check.model || p.device != check.device;
      };
      Constants without = fit_of(kept, start).constants;
      without =
          fit_of(
              [&](const PointCheck& p) { return kept(p) && p.device_class == check.device_class; },
              without)
              .constants;
      FigureCheck one{"tok_s", file_.points[item.place].number("tok_s"), {}, {}, "", true};
      one.left_out = 1 / perf::predicted(item.measured, without);
      one.in_sample = 1 / perf::predicted(item.measured, alone.at(key).constants);
      check.figures = {one};
    }
    for (const auto& [device, calibration] : alone)
      add_fit("npu_cpu", device, "", "", "", calibration, {"tok_s"});
  }

  // Where the power law of a device starts: round shares of its limit. The catalogue's default lies
  // between laws that were fitted to these very points.
  static PowerLaw plain_power(const Accelerator& accelerator) {
    const double limit = accelerator.tdp_w->middle();
    return {.intercept_w = 0.4 * limit,
            .per_mfu_w = 0.8 * limit,
            .per_mbu_w = 0.4 * limit,
            .cap_w = limit};
  }

  void add_fit(const std::string& group, const std::string& device, const std::string& precision,
               const std::string& engine, const std::string& version,
               const perf::Calibration& calibration, std::initializer_list<const char*> fields) {
    GroupFit fit;
    fit.group = group;
    fit.device = device;
    fit.precision = precision;
    fit.engine = engine;
    fit.engine_version = version;
    fit.names = roofline_names();
    fit.fit = calibration.fit;
    fit.constants = calibration.constants;
    close(fit, fields, precision.empty());
  }

  // Names the points that a fit used and its errors on them.
  void close(GroupFit& fit, std::initializer_list<const char*> fields, bool any_precision = false) {
    double in_sample = 0, left_out = 0;
    int count = 0;
    for (const PointCheck& check : result_.points) {
      if (check.group != fit.group || check.device != fit.device ||
          (!any_precision && check.precision != fit.precision))
        continue;
      bool used = false;
      for (const FigureCheck& figure : check.figures) {
        const bool named = std::any_of(fields.begin(), fields.end(),
                                       [&](const char* f) { return figure.name == f; });
        if (!named || !figure.in_sample)
          continue;
        used = true;
        in_sample += relative_error(*figure.in_sample, figure.published);
        left_out += relative_error(*figure.left_out, figure.published);
        ++count;
      }
      if (!used)
        continue;
      fit.device_class = check.device_class;
      fit.points.push_back(fmt::format("{}[{}]", check.group, check.index));
    }
    if (count > 0) {
      fit.in_sample = in_sample / count;
      fit.left_out = left_out / count;
    }
    result_.fits.push_back(std::move(fit));
  }

  const data::PointsFile& file_;
  const data::Catalog& catalog_;
  Evaluation result_;
};

}  // namespace

std::vector<std::string> GroupFit::unidentified() const {
  std::vector<std::string> result;
  // A client's habits are found beside the constants but not kept.
  const std::size_t kept = fit.found.size() - (law == Law::kRoofline ? perf::kHabits : 0);
  for (std::size_t k = 0; k < kept; ++k) {
    if (fit.found[k].felt && !fit.found[k].identified)
      result.push_back(names[k]);
  }
  return result;
}

std::vector<std::string> GroupFit::unfelt() const {
  std::vector<std::string> result;
  for (std::size_t k = 0; k < fit.found.size(); ++k) {
    if (!fit.found[k].felt && !fit.found[k].held)
      result.push_back(names[k]);
  }
  return result;
}

StepConstants class_default(const data::Catalog& catalog, AcceleratorKind kind) {
  Accelerator any;
  any.kind = kind;
  return catalog.constants_for(any, "", Precision::kBf16);
}

Evaluation evaluate(const data::PointsFile& file, const data::Catalog& catalog) {
  return Evaluator(file, catalog).run();
}

}  // namespace medley::cli
