#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "chart/chart.h"
#include "cli/perf.h"
#include "cli/perf_figures.h"
#include "cli/sources.h"
#include "cli/table.h"
#include "cli/write_file.h"
#include "data/catalog.h"
#include "data/json.h"
#include "lpu/chip/pool_schedule.h"
#include "perf/dataflow.h"
#include "perf/perf_model.h"
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
  // Of a compiled schedule: its chips, what it explains of TPOT, and TPOT by published speeds
  // alone.
  int chips = 0;
  double scheduled_s = -1, published_s = -1;
};

// Streams that schedules are shown for; each has its own.
constexpr long long kStreams[] = {1, 8, 32};

// Cells of the schedules compiled for each number of streams and context. Empty where the device
// has none, and why is in `pool`.
Result<std::vector<Cell>> scheduled_cells(Pool& pool, const std::string& catalog) {
  std::vector<Cell> cells;
  pool.slots = 1;
  pool.max_context = kContexts[0];
  MEDLEY_TRY_STATUS(lpu::chip::schedule_pool(pool, catalog));
  if (!pool.schedule)
    return cells;
  for (const long long context : kContexts) {
    for (const long long streams : kStreams) {
      Cell cell{.batch = streams, .context = context, .binding = "layers"};
      pool.slots = static_cast<int>(streams);
      pool.max_context = context;
      MEDLEY_TRY_STATUS(lpu::chip::schedule_pool(pool, catalog));
      cell.fits = pool.schedule.has_value();
      if (cell.fits) {
        MEDLEY_TRY(const perf::PoolModel model, perf::make_pool_model(pool));
        const perf::PrefillChunk prompt{.tokens = context, .context = 0};
        cell.chips = pool.schedule->chips;
        cell.tpot_s = model.steps->step({.decodes = streams}).time.value();
        cell.ttft_s = model.steps->step({.chunks = {&prompt, 1}}).time.value() + cell.tpot_s;
        cell.prompt_binding = "prefill lane";
        cell.joules =
            model.steps->idle_power().value() * cell.tpot_s / static_cast<double>(streams);
        cell.scheduled_s = pool.schedule->token_s;
        cell.published_s = perf::published_token_s(pool).value_or(-1);
      }
      cells.push_back(cell);
    }
  }
  return cells;
}

std::string figure(double value, double scale, const char* format = "{:.4g}") {
  return value < 0 ? "unknown" : fmt::format(fmt::runtime(format), value * scale);
}

// The keys that are used of each table of sources, once each, in the order of use; tables by the
// first group that uses them.
std::vector<std::pair<std::string, std::vector<std::string>>> keys_by_table(
    const std::vector<Figure>& figures) {
  std::vector<std::pair<std::string, std::vector<std::string>>> tables;
  for (const Figure& figure : figures) {
    const std::string name = figure.group == "device" || figure.group == "model"
                                 ? std::string(figure.group)
                                 : "constants";
    auto table = std::find_if(tables.begin(), tables.end(),
                              [&](const auto& entry) { return entry.first == name; });
    if (table == tables.end())
      table = tables.insert(tables.end(), {name, {}});
    for (const std::string& key : figure.from) {
      if (std::find(table->second.begin(), table->second.end(), key) == table->second.end())
        table->second.push_back(key);
    }
  }
  return tables;
}

// One picture a figure, by batch, one line a context; what the KV cache cannot hold is left out.
std::vector<chart::Chart> charts_of(const std::vector<Cell>& cells, double error_bar) {
  struct Metric {
    const char *id, *title, *unit;
    double (*of)(const Cell&);
    chart::Scale scale = chart::Scale::kLog;
  };
  constexpr Metric kMetrics[] = {
      {"ttft", "TTFT", "ms", [](const Cell& c) { return c.ttft_s * 1e3; }, chart::Scale::kLinear},
      {"tpot", "TPOT", "ms", [](const Cell& c) { return c.tpot_s * 1e3; }, chart::Scale::kLinear},
      {"tokens", "Tokens per second of the group", "tokens/s",
       [](const Cell& c) { return static_cast<double>(c.batch) / c.tpot_s; }},
      {"joules", "Energy", "J/token", [](const Cell& c) { return c.joules; }}};
  std::vector<chart::Chart> charts;
  for (const Metric& metric : kMetrics) {
    chart::Chart chart{
        .id = metric.id,
        .title = metric.title,
        .description = fmt::format("{} by batch, one line a context, within {:.0f} % or so",
                                   metric.title, error_bar * 100),
        .x = {.label = "sequences in the batch", .scale = chart::Scale::kLog},
        .y = {.label = metric.unit, .scale = metric.scale}};
    for (const long long context : kContexts) {
      chart::Series series{.name = fmt::format("context {}", context),
                           .colour = static_cast<chart::Colour>(chart.series.size())};
      for (const Cell& cell : cells) {
        if (cell.context == context && cell.fits && metric.of(cell) > 0)
          series.points.emplace_back(static_cast<double>(cell.batch), metric.of(cell));
      }
      if (!series.points.empty())
        chart.series.push_back(std::move(series));
    }
    if (!chart.series.empty())
      charts.push_back(std::move(chart));
  }
  return charts;
}

}  // namespace

int run_perf_show(const PerfShowOptions& options, std::FILE* out, std::FILE* err) {
  const auto refuse = [&](const Error& error) {
    fmt::print(err, "medley perf show: {}\n", printable(error.message));
    return error.code == ErrorCode::kNotFound ? kNotFound : kUnusable;
  };
  const auto catalog = data::read_catalog(options.catalog);
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
  Pool pool;
  if (constants.law == StepLaw::kDataflow) {
    pool.name = accelerator->id;
    pool.accelerator = *accelerator;
    pool.model = *model;
    pool.precision = format->precision;
    pool.chips = options.devices;
    pool.constants = constants;
    auto scheduled = scheduled_cells(pool, catalog->folder());
    if (!scheduled)
      return refuse(scheduled.error());
    cells = *std::move(scheduled);
  }
  const bool compiled = !cells.empty();
  if (compiled) {
    devices = options.devices;  // each cell has its own
  } else if (constants.law == StepLaw::kDataflow) {
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

  const std::vector<Figure> figures =
      figures_behind(*catalog, *accelerator, *model, *format, constants);
  const std::string title =
      fmt::format("{} at {} on {}{}", model->name, format->id,
                  devices > 0 ? fmt::format("{} x ", devices) : "", accelerator->name);
  if (!options.svg.empty()) {
    const Status written =
        write_file(options.svg, chart::svg_file(title, charts_of(cells, constants.error_bar)));
    if (!written.ok())
      return refuse(written.error());
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
      if (compiled) {
        json::object& row = rows.back().as_object();
        if (!cell.fits)
          row["tpot_s"] = row["tokens_per_s"] = nullptr;
        row["chips"] = cell.fits ? json::value(cell.chips) : json::value(nullptr);
        row["scheduled_s"] = maybe(cell.scheduled_s);
        row["published_s"] = maybe(cell.published_s);
      }
    }
    json::array behind;
    json::object sources;
    for (const Figure& figure : figures) {
      behind.push_back(json::object{{"group", figure.group},
                                    {"name", figure.name},
                                    {"value", figure.value},
                                    {"confidence", figure.confidence},
                                    {"from", json::array(figure.from.begin(), figure.from.end())}});
    }
    for (const auto& [group, keys] : keys_by_table(figures)) {
      json::object cited;
      const data::SourceTable& table = sources_of_group(*catalog, group);
      for (const std::string& key : keys)
        cited[key] = table.count(key) > 0 ? json::value(table.at(key)) : json::value();
      sources[group] = std::move(cited);
    }
    fmt::print(out, "{}",
               data::json_pretty(json::object{{"model", model->id},
                                              {"device", accelerator->id},
                                              {"devices", devices},
                                              {"precision", format->id},
                                              {"compiled", compiled},
                                              {"not_compiled", pool.no_schedule},
                                              {"engine", constants.engine},
                                              {"engine_version", constants.engine_version},
                                              {"class_default", constants.class_default},
                                              {"error_bar", constants.error_bar},
                                              {"confidence", constants.confidence},
                                              {"source", constants.source},
                                              {"power_known", constants.power.known},
                                              {"rows", rows},
                                              {"figures", behind},
                                              {"sources", sources}}));
    return 0;
  }

  fmt::print(out, "{}\n", title);
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
  std::vector<Column> columns = {{"context", right}, {compiled ? "streams" : "batch", right}};
  if (compiled)
    columns.push_back({"chips", right});
  columns.insert(columns.end(), {{"TTFT ms", right}, {"bound by"}, {"TPOT ms", right}});
  if (compiled)
    columns.insert(columns.end(), {{"schedule ms", right}, {"published ms", right}});
  else
    columns.push_back({"bound by"});
  columns.insert(columns.end(), {{"tokens/s", right}, {"J/token", right}, {"KV cache"}});
  Table table(std::move(columns));
  long long last = 0;
  for (const Cell& cell : cells) {
    if (last != 0 && last != cell.context)
      table.add_rule();
    last = cell.context;
    const bool known = cell.fits || !compiled;
    std::vector<std::string> row = {std::to_string(cell.context), std::to_string(cell.batch)};
    if (compiled)
      row.push_back(known ? std::to_string(cell.chips) : "-");
    row.push_back(known ? figure(cell.ttft_s, 1e3) : "-");
    row.emplace_back(cell.prompt_binding);
    row.push_back(known ? figure(cell.tpot_s, 1e3) : "-");
    if (compiled) {
      row.push_back(known ? figure(cell.scheduled_s, 1e3) : "-");
      row.push_back(known ? figure(cell.published_s, 1e3) : "-");
    } else {
      row.emplace_back(cell.binding);
    }
    row.push_back(known ? fmt::format("{:.4g}", static_cast<double>(cell.batch) / cell.tpot_s)
                        : "-");
    row.push_back(known ? figure(cell.joules, 1) : "-");
    row.emplace_back(cell.fits ? "fits" : "does not fit");
    table.add_row(std::move(row));
  }
  if (compiled) {
    fmt::print(out, "{}\n",
               "Schedules compiled for that context and as many streams (docs/lpu-chips.md). TPOT: "
               "the schedule's, and what published\nspeeds show a layer takes beyond it; beside it "
               "the schedule's alone, and published speeds' alone.\n");
  } else if (!pool.no_schedule.empty()) {
    fmt::print(out, "By published speeds, not a compiled schedule: {}\n\n",
               printable(pool.no_schedule));
  }
  fmt::print(out, "{}", table.text());
  fmt::print(out,
             "\nTTFT: the step that takes a prompt of that length beside the batch, no queue.\n\n"
             "what it follows from\n\n");
  Table behind({{"figure"}, {"value", right}, {"confidence"}, {"from"}});
  std::string_view group;
  for (const Figure& figure : figures) {
    if (!group.empty() && group != figure.group)
      behind.add_rule();
    group = figure.group;
    behind.add_row(
        {figure.name, figure.value, figure.confidence,
         figure.from.empty() ? "unknown" : fmt::format("{}", fmt::join(figure.from, ", "))});
  }
  fmt::print(out, "{}\nsources\n", behind.text());
  for (const auto& [of, keys] : keys_by_table(figures))
    fmt::print(out, " of {}\n{}", of, sources_text(keys, sources_of_group(*catalog, of)));
  return 0;
}

}  // namespace medley::cli
