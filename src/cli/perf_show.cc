#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "cli/perf.h"
#include "cli/table.h"
#include "data/catalog.h"
#include "data/json.h"
#include "perf/dataflow.h"
#include "perf/roofline.h"

namespace medley::cli {
namespace {

namespace json = boost::json;

constexpr int kUnusable = 2, kNotFound = 4;
constexpr long long kBatches[] = {1, 8, 32, 64, 128, 256};
constexpr long long kContexts[] = {1024, 4096, 16384};

struct Cell {
  long long batch = 0, context = 0;
  double tpot_s = 0, ttft_s = -1, joules = -1;  // negative: unknown
  std::string_view binding, prompt_binding;
  bool fits = true;  // the KV cache holds it
};

std::string figure(double value, double scale, const char* format = "{:.4g}") {
  return value < 0 ? "unknown" : fmt::format(fmt::runtime(format), value * scale);
}

}  // namespace

int run_perf_show(const PerfShowOptions& options, std::FILE* out, std::FILE* err) {
  const auto refuse = [&](const Error& error) {
    fmt::print(err, "medley perf show: {}\n", printable(error.message));
    return error.code == ErrorCode::kNotFound ? kNotFound : kUnusable;
  };
  const auto catalog = data::read_catalog(options.catalog.empty() ? data::default_catalog_folder()
                                                                  : options.catalog);
  if (!catalog)
    return refuse(catalog.error());
  auto model = catalog->model(options.model);
  if (!model)
    return refuse(model.error());
  const auto accelerator = catalog->accelerator(options.device);
  if (!accelerator)
    return refuse(accelerator.error());
  std::string wanted = options.precision;
  if (wanted.empty())
    wanted = std::string(name_of(model->native_precision.value_or(Precision::kBf16)));
  const auto format = catalog->number_format(wanted);
  if (!format)
    return refuse(format.error());
  const StepConstants constants =
      catalog->constants_for(*accelerator, options.engine, format->precision);
  if (constants.law == StepLaw::kNone) {
    return refuse({ErrorCode::kInvalid,
                   fmt::format("no step constants are known for {}", accelerator->id),
                   {}});
  }

  std::vector<Cell> cells;
  int devices = std::max(1, options.devices);
  if (constants.law == StepLaw::kDataflow) {
    const auto steps = perf::DataflowModel::make({.accelerator = *accelerator,
                                                  .model = *model,
                                                  .precision = format->precision,
                                                  .chips = options.devices,
                                                  .constants = constants.dataflow});
    if (!steps)
      return refuse(steps.error());
    devices = steps->chips();
    for (const long long context : kContexts) {
      for (const long long batch : kBatches) {
        Cell cell{.batch = batch, .context = context, .binding = "layers"};
        cell.fits = batch <= steps->slots(context);
        const perf::PrefillChunk prompt{.tokens = context, .context = 0};
        cell.tpot_s = steps->token_time().value();
        cell.ttft_s =
            steps->step({.chunks = {&prompt, 1}}).time.value() + steps->token_time().value();
        cell.prompt_binding = "prefill lane";
        cell.joules = steps->idle_power().value() * cell.tpot_s / static_cast<double>(batch);
        cells.push_back(cell);
      }
    }
  } else {
    const auto steps = perf::RooflineModel::make({.accelerator = *accelerator,
                                                  .model = *model,
                                                  .precision = format->precision,
                                                  .devices = devices,
                                                  .constants = constants.roofline,
                                                  .power = constants.power});
    if (!steps)
      return refuse(steps.error());
    for (const long long context : kContexts) {
      for (const long long batch : kBatches) {
        Cell cell{.batch = batch, .context = context};
        const perf::StepShape shape{.decodes = batch,
                                    .decode_context = batch * context,
                                    .decode_context_min = context,
                                    .decode_context_max = context};
        const perf::StepCost cost = steps->step(shape);
        cell.tpot_s = cost.time.value();
        cell.binding = steps->spent_on(shape).binding();
        const auto room = steps->kv_tokens();
        cell.fits = !room || static_cast<double>(batch * context) <= *room;
        if (cost.energy.value() > 0)
          cell.joules = cost.energy.value() / static_cast<double>(batch);
        if (steps->compute_known()) {
          // The prompt of one more request, alone in a step with the other sequences.
          const perf::PrefillChunk prompt{.tokens = context, .context = 0};
          perf::StepShape with = shape;
          with.chunks = {&prompt, 1};
          cell.ttft_s = steps->step(with).time.value();
          cell.prompt_binding = steps->spent_on(with).binding();
        }
        cells.push_back(cell);
      }
    }
  }

  if (options.json) {
    json::array rows;
    const auto maybe = [](double value) { return value < 0 ? json::value(nullptr) : value; };
    for (const Cell& cell : cells) {
      rows.push_back(json::object{{"batch", cell.batch},
                                  {"context_tokens", cell.context},
                                  {"ttft_s", maybe(cell.ttft_s)},
                                  {"ttft_binding", cell.prompt_binding},
                                  {"tpot_s", cell.tpot_s},
                                  {"tpot_binding", cell.binding},
                                  {"tokens_per_s", static_cast<double>(cell.batch) / cell.tpot_s},
                                  {"joules_per_token", maybe(cell.joules)},
                                  {"fits", cell.fits}});
    }
    fmt::print(out, "{}",
               data::json_pretty(json::object{{"model", model->id},
                                              {"device", accelerator->id},
                                              {"devices", devices},
                                              {"precision", format->id},
                                              {"engine", constants.engine},
                                              {"engine_version", constants.engine_version},
                                              {"class_default", constants.class_default},
                                              {"error_bar", constants.error_bar},
                                              {"confidence", constants.confidence},
                                              {"source", constants.source},
                                              {"power_known", constants.power.known},
                                              {"rows", rows}}));
    return 0;
  }

  fmt::print(out, "{} at {} on {} x {}\n", model->name, format->id, devices, accelerator->name);
  fmt::print(out, "constants: {}{}, within {:.0f} % or so, confidence {}, from {}\n",
             constants.class_default
                 ? fmt::format("default of every {} (never measured: a wide error bar)",
                               name_of(accelerator->kind))
                 : "fitted or borrowed for this device",
             constants.engine.empty()
                 ? std::string()
                 : fmt::format(", {} {}", constants.engine, constants.engine_version),
             constants.error_bar * 100, constants.confidence, constants.source);
  fmt::print(out, "watts: {}\n\n",
             constants.power.known ? "a law for this device" : "default of its kind, or unknown");
  const Align right = Align::kRight;
  Table table({{"context", right},
               {"batch", right},
               {"TTFT ms", right},
               {"bound by"},
               {"TPOT ms", right},
               {"bound by"},
               {"tokens/s", right},
               {"J/token", right},
               {"KV cache"}});
  long long last = 0;
  for (const Cell& cell : cells) {
    if (last != 0 && last != cell.context)
      table.add_rule();
    last = cell.context;
    table.add_row({std::to_string(cell.context), std::to_string(cell.batch),
                   figure(cell.ttft_s, 1e3), std::string(cell.prompt_binding),
                   figure(cell.tpot_s, 1e3), std::string(cell.binding),
                   fmt::format("{:.4g}", static_cast<double>(cell.batch) / cell.tpot_s),
                   figure(cell.joules, 1), cell.fits ? "fits" : "does not fit"});
  }
  fmt::print(out, "{}", table.text());
  fmt::print(out,
             "\nTTFT: the step that takes a prompt of that length beside the batch, no queue.\n"
             "sources\n");
  const auto cite = [&](const std::string& keys, const data::SourceTable& known) {
    std::size_t at = 0;
    while (at < keys.size()) {
      const std::size_t end = std::min(keys.find(", ", at), keys.size());
      const auto found = known.find(keys.substr(at, end - at));
      if (found != known.end())
        fmt::print(out, "  {:8} {}\n", found->first, printable(found->second));
      at = end == keys.size() ? end : end + 2;
    }
  };
  fmt::print(out, " constants\n");
  cite(constants.source, catalog->constant_sources());
  fmt::print(out, " {} (memory, bandwidth, peak, link)\n", accelerator->id);
  cite(fmt::format("{}", fmt::join(accelerator->sources, ", ")), catalog->accelerator_sources());
  fmt::print(out, " {}\n", model->id);
  cite(model->source, catalog->model_sources());
  return 0;
}

}  // namespace medley::cli
