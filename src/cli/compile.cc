#include "cli/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>
#include <optional>
#include <vector>

#include "base/digest.h"
#include "cli/compile_picture.h"
#include "cli/table.h"
#include "cli/write_file.h"
#include "data/json.h"
#include "data/model_facts.h"
#include "lpu/chip/compile.h"
#include "lpu/chip/from_graph.h"
#include "lpu/chip/pool_schedule.h"
#include "lpu/graph.h"
#include "lpu/verify/verify.h"
#include "perf/perf_model.h"
#include "perf/scheduled.h"

namespace medley::cli {
namespace {

namespace json = boost::json;
using namespace lpu::chip;

constexpr int kFoundWrong = 1, kUnusable = 2, kNotFound = 4;
constexpr std::size_t kLineWidth = 80;

// What one stream's token waits for when so many streams take turns.
std::int64_t window_cycles(const Schedule& schedule, long long streams) {
  return std::max<std::int64_t>(schedule.token_cycles, schedule.interval_cycles * streams);
}

// Bytes of all chips by use.
struct SramUse {
  double weights = 0, cache = 0, constants = 0, scratch = 0, rounding = 0, free = 0, all = 0;
};

SramUse sram_use(const Schedule& schedule, const Target& target) {
  SramUse use;
  const double row_bytes = static_cast<double>(target.hemispheres) * target.planes *
                           target.install_streams * target.banks * target.lanes;
  double taken = 0;
  for (const Stage& stage : schedule.stages) {
    std::int64_t scratch = 0;
    for (const Run& run : stage.runs) {
      const Segment& segment = schedule.segments[static_cast<std::size_t>(run.segment)];
      const auto used = [&](Area area) {
        return static_cast<double>(segment.used_bytes[static_cast<int>(area)]);
      };
      const auto rows = [&](Area area) {
        return static_cast<double>(segment.rows[static_cast<int>(area)]);
      };
      use.weights += used(Area::kWeights) + used(Area::kExperts) * schedule.experts;
      use.cache += used(Area::kCache) * schedule.streams;
      use.constants += used(Area::kConstants);
      taken += row_bytes * (rows(Area::kWeights) + rows(Area::kExperts) * schedule.experts +
                            rows(Area::kCache) * schedule.streams);
      std::int64_t bytes = 0;
      std::map<std::array<int, 4>, std::int64_t> places;  // rows by hemisphere, bank, slice, slices
      for (const Instruction& in : segment.instructions) {
        for (const Access& a : in.accesses) {
          if (a.area == Area::kScratch) {
            auto& most = places[{a.hemisphere, a.bank, a.slice, 0}];
            most = std::max<std::int64_t>(most, a.row + a.rows);
          }
        }
      }
      for (const auto& [place, most] : places)
        bytes += most * 4 * target.lanes;
      scratch = std::max(scratch, bytes);
    }
    use.scratch += static_cast<double>(scratch);
  }
  const double group = schedule.group;
  use.weights *= group;
  use.cache *= group;
  use.constants *= group;
  use.scratch *= group;
  use.rounding = taken * group - use.weights - use.cache;
  use.all = static_cast<double>(target.sram_bytes()) * schedule.chips();
  use.free = use.all - taken * group - use.constants - use.scratch;
  return use;
}

// What published speeds say of the same chips, where there are any: the time of a token by them
// alone, and the schedule with what they show a layer takes beyond it, as fleets go by.
struct Published {
  std::optional<double> token_s;
  std::optional<CompiledSchedule> in_fleets;
};

Published published(const data::Catalog& catalog, const Target& target, const Model& model,
                    const Shape& shape, const Compiled& compiled) {
  if (target.accelerator.empty() || !catalog.has_accelerator(target.accelerator))
    return {};
  Pool pool;
  pool.accelerator = *catalog.accelerator(target.accelerator);
  pool.constants = catalog.constants_for(*pool.accelerator, "", compiled.schedule.weights);
  if (pool.constants.law != StepLaw::kDataflow)
    return {};
  pool.model = model;
  pool.precision = compiled.schedule.weights;
  pool.chips = compiled.schedule.chips();
  Published result{.token_s = perf::published_token_s(pool)};
  const DataflowConstants& constants = pool.constants.dataflow;
  if (constants.beyond_schedule_layer_s) {
    result.in_fleets =
        in_fleets(compiled, target, shape, *constants.beyond_schedule_layer_s, constants.chip_w);
  }
  return result;
}

struct SegmentRow {
  const Segment* segment;
  int runs;
  Spent spent;
};

std::vector<SegmentRow> rows_of(const Schedule& schedule) {
  std::vector<SegmentRow> rows;
  for (std::size_t i = 0; i < schedule.segments.size(); ++i) {
    int runs = 0;
    for (const Stage& stage : schedule.stages) {
      runs +=
          static_cast<int>(std::count_if(stage.runs.begin(), stage.runs.end(), [&](const Run& run) {
            return run.segment == static_cast<int>(i);
          }));
    }
    if (runs > 0)
      rows.push_back({&schedule.segments[i], runs, spent(schedule.segments[i])});
  }
  return rows;
}

}  // namespace

int run_compile(const CompileVerbOptions& options, std::FILE* out, std::FILE* err) {
  const auto refuse = [&](const Error& error) {
    fmt::print(err, "medley compile: {}\n", printable(error.message));
    return error.code == ErrorCode::kNotFound ? kNotFound : kUnusable;
  };
  const auto catalog = data::read_catalog(options.catalog);
  if (!catalog)
    return refuse(catalog.error());
  const auto facts = data::model_facts(options.model, *catalog, ".");
  if (!facts)
    return refuse(facts.error());
  if (options.target == "cpu") {
    const Status done = compile_for_cpu(options, facts->gguf_path, out);
    return done.ok() ? 0 : refuse(done.error());
  }
  if (options.measure) {
    return refuse({ErrorCode::kInvalid, "--measure is for target cpu: there is no other here", {}});
  }
  const auto target = find_target(options.target, *catalog);
  if (!target)
    return refuse(target.error());
  const auto shape = shape_for(facts->model, facts->gguf_path);
  if (!shape)
    return refuse(shape.error());
  CompileOptions compile_options{.context = options.context,
                                 .streams = static_cast<int>(options.streams),
                                 .chips = options.chips,
                                 .group = options.group};
  for (const auto& [text, wanted] : {std::pair(&options.precision, &compile_options.weights),
                                     std::pair(&options.kv_precision, &compile_options.cache)}) {
    if (text->empty())
      continue;
    *wanted = precision_named(*text);
    if (!*wanted) {
      return refuse(
          {ErrorCode::kInvalid,
           fmt::format("no number format '{}'; known: fp32, bf16, fp16, fp8, int8", *text),
           {}});
    }
  }
  if (options.context == 0)
    compile_options.context =
        shape->trained_context > 0 ? std::min(shape->trained_context, 4096LL) : 4096;
  if (options.prompt > compile_options.context) {
    return refuse({ErrorCode::kInvalid,
                   fmt::format("a prompt of {} tokens is longer than the context of {}",
                               options.prompt, compile_options.context),
                   {}});
  }
  const auto compiled = compile(*shape, *target, compile_options);
  if (!compiled)
    return refuse(compiled.error());
  const Schedule& s = compiled->schedule;
  const lpu::verify::Certificate certificate = lpu::verify::verify(s, *target, *shape);
  for (const std::string& finding : certificate.findings)
    fmt::print(err, "medley compile: the verifier found: {}\n", printable(finding));
  if (!options.svg.empty()) {
    const Status written = write_file(options.svg, picture_of(*compiled, *target));
    if (!written.ok())
      return refuse(written.error());
  }

  const auto seconds = [&](std::int64_t cycles) {
    return target->seconds(static_cast<double>(cycles));
  };
  const long long context = compile_options.context, streams = s.streams;
  const long long prompt = options.prompt > 0 ? options.prompt : context;
  const std::int64_t chunks = (prompt + compiled->prefill_tokens - 1) / compiled->prefill_tokens;
  const double prefill_s =
      seconds(compiled->prefill_cycles + (chunks - 1) * compiled->prefill_interval_cycles);
  const std::int64_t window = window_cycles(s, streams);
  const int unused = options.chips > 0 ? static_cast<int>(options.chips) - s.chips() : 0;
  const Compiled::Faster& faster = compiled->faster;
  const auto [calibrated, fleet] = published(*catalog, *target, facts->model, *shape, *compiled);
  std::optional<double> in_fleets;
  if (fleet)
    in_fleets = fleet->token_s + fleet->beyond_s();
  // What a window takes with so many streams: as in fleets, where that is known.
  const auto fleet_window_s = [&, &of = fleet](long long filled) {
    return perf::ScheduledModel(*of, static_cast<int>(filled)).token_window().value();
  };
  const long long full =
      fleet ? perf::ScheduledModel(*fleet, 0).slots()
            : std::max(1LL, std::min<long long>(compiled->slots, compiled->most_streams));
  const double watts = fleet ? fleet->power.value() : target->chip_w.middle() * s.chips();
  const bool power_known = watts > 0;
  const auto joules = [&, &of = fleet](long long filled) {
    return watts * (of ? fleet_window_s(filled) : seconds(window_cycles(s, filled))) /
           static_cast<double>(filled);
  };
  const SramUse use = sram_use(s, *target);
  const std::vector<SegmentRow> rows = rows_of(s);
  std::vector<const Figure*> assumed;
  for (const Figure& figure : target->figures) {
    if (!figure.assumed.empty())
      assumed.push_back(&figure);
  }
  Digest digest;
  digest.add(s.digest());

  if (options.json) {
    json::array segments;
    for (const SegmentRow& row : rows) {
      segments.push_back(json::object{{"name", row.segment->name},
                                      {"runs", row.runs},
                                      {"cycles", row.segment->cycles},
                                      {"matrix_cycles", row.spent.matrix},
                                      {"link_cycles", row.spent.links},
                                      {"vector_cycles", row.spent.vector},
                                      {"switch_cycles", row.spent.switches},
                                      {"latency_cycles", row.spent.latency},
                                      {"macs_per_chip", row.segment->macs},
                                      {"instructions", row.segment->instructions.size()}});
    }
    json::array findings(certificate.findings.begin(), certificate.findings.end());
    json::array guesses;
    for (const Figure* figure : assumed)
      guesses.push_back(
          json::object{{"name", figure->name}, {"value", figure->value}, {"why", figure->assumed}});
    fmt::print(
        out, "{}",
        data::json_pretty(json::object{
            {"model", s.model},
            {"target", s.target},
            {"precision", name_of(s.weights)},
            {"kv_precision", name_of(s.cache)},
            {"context_tokens", context},
            {"streams", streams},
            {"chips", s.chips()},
            {"chips_without_use", unused},
            {"group_chips", s.group},
            {"stages", s.stages.size()},
            {"token_s", seconds(s.token_cycles)},
            {"token_cycles", s.token_cycles},
            {"faster", faster.group == 0 ? json::value(nullptr)
                                         : json::value(json::object{
                                               {"group_chips", faster.group},
                                               {"chips", faster.chips},
                                               {"token_s", seconds(faster.token_cycles)}})},
            {"fleet_token_s", in_fleets ? json::value(*in_fleets) : json::value(nullptr)},
            {"fleet_token_window_s",
             fleet ? json::value(fleet_window_s(streams)) : json::value(nullptr)},
            {"calibrated_token_s", calibrated ? json::value(*calibrated) : json::value(nullptr)},
            {"token_window_s", seconds(window)},
            {"tokens_per_s_of_a_stream", 1 / seconds(window)},
            {"tokens_per_s", static_cast<double>(streams) / seconds(window)},
            {"stage_interval_s", seconds(s.interval_cycles)},
            {"slots", compiled->slots},
            {"most_streams", compiled->most_streams},
            {"prompt_tokens", prompt},
            {"prefill_tokens_at_once", compiled->prefill_tokens},
            {"prefill_s", prefill_s},
            {"watts", power_known ? json::value(watts) : json::value(nullptr)},
            {"joules_per_token", power_known ? json::value(joules(streams)) : json::value(nullptr)},
            {"joules_per_token_full",
             power_known ? json::value(joules(full)) : json::value(nullptr)},
            {"streams_full", full},
            {"binds", compiled->binds},
            {"sram_bytes", json::object{{"weights", use.weights},
                                        {"kv_cache", use.cache},
                                        {"constants", use.constants},
                                        {"scratch", use.scratch},
                                        {"rounding", use.rounding},
                                        {"free", use.free},
                                        {"all", use.all}}},
            {"segments", segments},
            {"certificate", json::object{{"valid", certificate.valid()},
                                         {"instructions", certificate.instructions},
                                         {"accesses", certificate.accesses},
                                         {"vectors", certificate.vectors},
                                         {"hops", certificate.hops},
                                         {"findings", findings},
                                         {"digest", digest.hex()}}},
            {"assumed", guesses}}));
    return certificate.valid() ? 0 : kFoundWrong;
  }

  fmt::print(out, "{} at {} on {} x {}, context {}, {} stream{}\n\n", s.model, name_of(s.weights),
             s.chips(), target->name, context, streams, streams == 1 ? "" : "s");
  Table facts_table({{"what follows"}, {"", Align::kRight}, {""}});
  const auto fact = [&](const char* what, std::string value, std::string note = {}) {
    facts_table.add_row({what, std::move(value), std::move(note)});
  };
  fact("chips", std::to_string(s.chips()),
       fmt::format("{} stage{} of {}{}", s.stages.size(), s.stages.size() == 1 ? "" : "s", s.group,
                   unused > 0 ? fmt::format("; {} of {} find no use", unused, options.chips) : ""));
  fact("time of a token", fmt::format("{:.1f} us", seconds(s.token_cycles) * 1e6),
       fmt::format("{} cycles", s.token_cycles));
  if (faster.group > 0) {
    fact("fastest", fmt::format("{:.1f} us", seconds(faster.token_cycles) * 1e6),
         fmt::format("with {} chips, --group {}", faster.chips, faster.group));
  }
  fact("in fleets", in_fleets ? fmt::format("{:.1f} us", *in_fleets * 1e6) : "unknown",
       in_fleets ? fmt::format("with {:.1f} us a layer more, as published speeds show",
                               fleet->beyond_layer_s * 1e6)
                 : "no published speed tells what a layer takes beyond its schedule");
  fact("as calibrated", calibrated ? fmt::format("{:.1f} us", *calibrated * 1e6) : "unknown",
       calibrated ? fmt::format("by published speeds alone, {:.0f} % of it explained",
                                100 * seconds(s.token_cycles) / *calibrated)
                  : "perf knows no speed of this target");
  fact("token window", fmt::format("{:.1f} us", seconds(window) * 1e6),
       fmt::format("{:.0f} tokens/s a stream, {:.0f} in all", 1 / seconds(window),
                   static_cast<double>(streams) / seconds(window)));
  if (fleet) {
    fact("window in fleets", fmt::format("{:.1f} us", fleet_window_s(streams) * 1e6),
         "a token of each stream and a chunk of a prompt");
  }
  fact("slots", std::to_string(compiled->slots), "streams that do not wait for each other");
  fact("streams", std::to_string(compiled->most_streams),
       fmt::format("most that SRAM holds at {} tokens", context));
  fact("prefill", fmt::format("{:.2f} ms", prefill_s * 1e3),
       fmt::format("a prompt of {}, {} token{} at once", prompt, compiled->prefill_tokens,
                   compiled->prefill_tokens == 1 ? "" : "s"));
  fact("energy", power_known ? fmt::format("{:.3g} J", joules(streams)) : "unknown",
       power_known ? fmt::format("a token with {} stream{}; {:.3g} J with {}; {}", streams,
                                 streams == 1 ? "" : "s", joules(full), full,
                                 fleet ? "in fleets" : "the schedule alone")
                   : "the power of a chip is unknown");
  fact("binds", compiled->binds, "what most of a token's cycles go to");
  fmt::print(out, "{}\n", facts_table.text());

  const Align right = Align::kRight;
  Table cycles({{"cycles of"},
                {"runs", right},
                {"each", right},
                {"matrix", right},
                {"links", right},
                {"vector", right},
                {"switch", right},
                {"latency", right},
                {"us in all", right}});
  for (const SegmentRow& row : rows) {
    cycles.add_row({row.segment->name, std::to_string(row.runs),
                    std::to_string(row.segment->cycles), std::to_string(row.spent.matrix),
                    std::to_string(row.spent.links), std::to_string(row.spent.vector),
                    std::to_string(row.spent.switches), std::to_string(row.spent.latency),
                    fmt::format("{:.1f}", seconds(row.segment->cycles * row.runs) * 1e6)});
  }
  fmt::print(
      out, "{}Each cycle counts once, for the first of these at work in it; latency: none is.\n\n",
      cycles.text());

  Table sram({{"SRAM"}, {"MB", right}, {"share", right}});
  for (const auto& [what, bytes] :
       {std::pair("weights", use.weights), std::pair("KV cache", use.cache),
        std::pair("constants", use.constants), std::pair("scratch", use.scratch),
        std::pair("rounding to rows and stages", use.rounding), std::pair("free", use.free)}) {
    sram.add_row(
        {what, fmt::format("{:.4g}", bytes / 1e6), fmt::format("{:.1f} %", 100 * bytes / use.all)});
  }
  fmt::print(out, "{}\n", sram.text());
  fmt::print(
      out,
      "certificate: {}, digest {}\n{} instructions, {} accesses, {} vectors, {} hops checked\n",
      certificate.valid() ? "valid" : "NOT VALID", digest.hex(), certificate.instructions,
      certificate.accesses, certificate.vectors, certificate.hops);
  std::string line = fmt::format("assumed of the target, {} of {} figures:", assumed.size(),
                                 target->figures.size());
  for (const Figure* figure : assumed) {
    const std::string next = fmt::format(" {} {}{}", figure->name, printable(figure->value),
                                         figure == assumed.back() ? "" : ",");
    if (display_width(line) + display_width(next) > kLineWidth) {
      fmt::print(out, "{}\n", line);
      line = " ";
    }
    line += next;
  }
  fmt::print(out, "{}\n", line);
  return certificate.valid() ? 0 : kFoundWrong;
}

}  // namespace medley::cli
