#include "cli/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/nearest.h"
#include "cli/table.h"
#include "cli/write_file.h"
#include "data/csv.h"
#include "data/file.h"
#include "data/trace.h"
#include "data/workload_file.h"
#include "simulate/generator.h"
#include "simulate/trace_fit.h"
#include "simulate/trace_report.h"

namespace medley::cli {
namespace {

constexpr int kDone = 0, kFailed = 1, kUnusable = 2;
constexpr Align kRight = Align::kRight;

// What the command line or a file says wrong is unusable; a disk that fills up is no fault of
// theirs.
int complain(const char* verb, const Error& error, std::FILE* err) {
  fmt::print(err, "medley trace {}: {}\n", verb, printable(error.message));
  return error.code == ErrorCode::kUnavailable ? kFailed : kUnusable;
}

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message), {}}; }

std::string name_of_file(const std::string& path) {
  return printable(std::filesystem::path(path).filename().string());
}

struct Loaded {
  data::TraceFormat format = data::TraceFormat::kAzure;
  std::vector<data::TraceRequest> requests;
  simulate::TraceStats stats;
};

Result<Loaded> load(const TraceOptions& options) {
  Loaded loaded;
  MEDLEY_TRY(std::string text, data::read_file_maybe_gzip(options.file, data::kMaxTraceBytes));
  if (options.format.empty()) {
    MEDLEY_TRY(loaded.format, data::trace_format_of(text, options.file));
  } else if (const auto named = data::trace_format_named(options.format)) {
    loaded.format = *named;
  } else {
    std::vector<std::string> names;
    for (int i = 0; i < data::kTraceFormatCount; ++i)
      names.emplace_back(data::name_of(static_cast<data::TraceFormat>(i)));
    return invalid(fmt::format("--format: unknown format '{}'{}; expected one of {}",
                               options.format, suggestion(options.format, names),
                               fmt::join(names, ", ")));
  }
  MEDLEY_TRY(loaded.requests,
             data::parse_trace(std::move(text), {.path = options.file, .format = loaded.format}));
  if (loaded.requests.empty())
    return invalid(options.file + ": no requests in it");
  loaded.stats =
      simulate::trace_stats(loaded.requests, data::tells_prefixes(loaded.format, loaded.requests));
  return loaded;
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

// A row of eighths, the highest full.
std::string bars(const std::vector<double>& values, std::size_t width) {
  static constexpr const char* kEighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<double> merged(std::min(width, values.size()), 0);
  std::vector<int> counts(merged.size(), 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t place = i * merged.size() / values.size();
    merged[place] += values[i];
    ++counts[place];
  }
  double most = 0;
  for (std::size_t i = 0; i < merged.size(); ++i)
    most = std::max(most, merged[i] /= counts[i]);
  std::string out;
  for (const double value : merged)
    out += kEighths[most > 0 ? std::lround(value / most * 8) : 0];
  return out;
}

void print_stats(const Loaded& loaded, const std::string& name, std::FILE* out) {
  const simulate::TraceStats& stats = loaded.stats;
  fmt::print(out, "{}\n{} requests ({}) over {:.1f} s, {:.4g} a second\n\n", name, stats.requests,
             data::name_of(loaded.format), stats.span_s(), stats.rate_per_s);
  if (!stats.rate_by_bucket.empty()) {
    const auto [least, most] =
        std::minmax_element(stats.rate_by_bucket.begin(), stats.rate_by_bucket.end());
    fmt::print(out, "rate over time, {:.3g} to {:.3g} a second in parts of {:.3g} s\n|{}|\n\n",
               *least, *most, stats.bucket_s, bars(stats.rate_by_bucket, 60));
  }
  Table lengths({{"tokens"},
                 {"mean", kRight},
                 {"p50", kRight},
                 {"p90", kRight},
                 {"p99", kRight},
                 {"max", kRight},
                 {"sum", kRight}});
  const auto add = [&](const char* of, const Summary& summary, double sum) {
    lengths.add_row({of, fmt::format("{:.1f}", summary.mean), fmt::format("{:.0f}", summary.p50),
                     fmt::format("{:.0f}", summary.p90), fmt::format("{:.0f}", summary.p99),
                     fmt::format("{:.0f}", summary.max), fmt::format("{:.0f}", sum)});
  };
  add("prompt", stats.prompt_tokens, stats.prompt_sum);
  add("output", stats.output_tokens, stats.output_sum);
  fmt::print(out, "{}\n", lengths.text());
  if (!stats.outputs_by_prompt.empty()) {
    Table outputs({{"prompts of"},
                   {"output mean", kRight},
                   {"p50", kRight},
                   {"p90", kRight},
                   {"p99", kRight}});
    for (const simulate::OutputsByPrompt& part : stats.outputs_by_prompt) {
      outputs.add_row(
          {fmt::format("{} to {}", part.from, part.to), fmt::format("{:.1f}", part.output.mean),
           fmt::format("{:.0f}", part.output.p50), fmt::format("{:.0f}", part.output.p90),
           fmt::format("{:.0f}", part.output.p99)});
    }
    fmt::print(out, "{}\n", outputs.text());
  }
  fmt::print(out,
             "gaps: coefficient of variation {:.3f}; {} of the requests came at the very time "
             "of the one before\n",
             stats.gap_cv, percent(stats.at_one_instant));
  if (stats.tick_s > 0) {
    fmt::print(out,
               "the trace notes arrivals in ticks of {:g} s: dispersion below {:g} s tells of "
               "the ticks\n",
               stats.tick_s, simulate::kTicksAWindow * stats.tick_s);
  }
  if (!stats.dispersion.empty()) {
    Table windows({{"window", kRight}, {"windows", kRight}, {"dispersion", kRight}});
    for (const simulate::Dispersion& window : stats.dispersion) {
      windows.add_row({fmt::format("{:g} s", window.window_s), std::to_string(window.windows),
                       fmt::format("{:.2f}", window.index)});
    }
    fmt::print(out,
               "index of dispersion: variance / mean of the requests in a window; Poisson: 1\n"
               "{}\n",
               windows.text());
  }
  if (stats.prefix) {
    fmt::print(
        out,
        "prefixes: {} of the requests begin as an earlier one did; that is {} of all prompt "
        "tokens\n(of one at most a minute before: {}, ten minutes: {})\n",
        percent(static_cast<double>(stats.prefix->requests) / static_cast<double>(stats.requests)),
        percent(stats.prefix->tokens), percent(stats.prefix->tokens_in_minute),
        percent(stats.prefix->tokens_in_ten_minutes));
  } else {
    fmt::print(out, "prefixes: unknown, the trace does not say\n");
  }
}

int run_info(const TraceOptions& options, std::FILE* out, std::FILE* err) {
  const Result<Loaded> loaded = load(options);
  if (!loaded.ok())
    return complain("info", loaded.error(), err);
  const std::string name = name_of_file(options.file);
  if (!options.svg.empty()) {
    const std::vector<chart::Chart> charts =
        simulate::trace_charts(loaded->stats, loaded->requests);
    const Status written = write_file(options.svg, chart::svg_file(name, charts));
    if (!written.ok())
      return complain("info", written.error(), err);
  }
  if (!options.report.empty()) {
    const std::string command =
        fmt::format("medley trace info {} --format {}", name, data::name_of(loaded->format));
    const Status written = write_file(
        options.report,
        simulate::trace_page(loaded->stats, loaded->requests, loaded->format, name, command));
    if (!written.ok())
      return complain("info", written.error(), err);
  }
  if (options.json) {
    fmt::print(out, "{}\n", simulate::to_json(loaded->stats, loaded->format));
  } else {
    print_stats(*loaded, name, out);
  }
  return kDone;
}

std::string figure(double value) {
  return std::abs(value) >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.4g}", value);
}

int run_fit(const TraceOptions& options, std::FILE* out, std::FILE* err) {
  const Result<Loaded> loaded = load(options);
  if (!loaded.ok())
    return complain("fit", loaded.error(), err);
  const Result<simulate::TraceFit> fit = simulate::fit_trace(loaded->requests, loaded->stats);
  if (!fit.ok())
    return complain("fit", invalid(options.file + ": " + fit.error().message), err);
  const std::string name = name_of_file(options.file);
  std::string text = fmt::format(
      "# A workload fitted to {} ({} requests, {}) by `medley trace fit`.\n"
      "# Scale it with {{from: this file, scale: 2}}, extend it with `for: 24h`, mix it with "
      "others "
      "in a list\n# (docs/trace.md). The shape of the rate repeats after its last part.\n",
      name, loaded->stats.requests, data::name_of(loaded->format));
  text += data::to_yaml(fit->workload);
  if (const Status written = write_file(options.out, text); !written.ok())
    return complain("fit", written.error(), err);
  if (options.json) {
    fmt::print(out, "{}\n", simulate::to_json(*fit));
    return kDone;
  }
  fmt::print(out, "{}\narrivals, by how far their dispersion is from the trace's\n", name);
  Table candidates({{"law"}, {"off by", kRight}, {""}});
  for (const simulate::ArrivalCandidate& candidate : fit->candidates) {
    candidates.add_row({candidate.name,
                        std::isfinite(candidate.error) ? percent(candidate.error) : "-",
                        candidate.chosen ? "taken" : ""});
  }
  fmt::print(out, "{}\n", candidates.text());
  fmt::print(out, "the trace beside {} traces generated from the fit\n", fit->generated);
  Table figures({{"figure"},
                 {"trace", kRight},
                 {"generated", kRight},
                 {"from", kRight},
                 {"to", kRight},
                 {"off", kRight}});
  for (const simulate::FitFigure& of : fit->figures) {
    figures.add_row(
        {of.name, figure(of.trace), figure(of.mean), figure(of.least), figure(of.most),
         of.trace != 0 ? fmt::format("{:+.1f} %", (of.mean / of.trace - 1) * 100) : "-"});
  }
  fmt::print(out, "{}\nwritten to {}\n", figures.text(), printable(options.out));
  return kDone;
}

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

int run_generate(const TraceOptions& options, std::FILE* out, std::FILE* err) {
  Result<data::WorkloadSpec> read = data::read_workload_file(options.file);
  if (!read.ok())
    return complain("generate", read.error(), err);
  data::WorkloadSpec& workload = *read;
  std::optional<double> for_s;
  if (!options.for_time.empty()) {
    const Result<double> parsed = data::parse_seconds(options.for_time);
    if (!parsed.ok() || !(*parsed > 0))
      return complain("generate",
                      invalid(fmt::format("--for: expected a duration like 90s, 15m or 24h, got "
                                          "'{}'",
                                          options.for_time)),
                      err);
    for_s = *parsed;
  }
  bool names_class = false, names_label = false, names_model = false, has_prefixes = false;
  bool names_tenant = false, has_priority = false;
  for (data::WorkloadStream& stream : workload.streams) {
    stream.rate_per_s *= options.scale;
    if (for_s || options.requests) {
      stream.requests = options.requests;
      stream.for_s = for_s;
    }
    // Options may say no more than a file.
    if (const Status whole = data::within_bounds(stream); !whole.ok()) {
      return complain("generate",
                      invalid(fmt::format("{} with these options: {}: {}", options.file,
                                          whole.error().param, whole.error().message)),
                      err);
    }
    names_class |= stream.service_class.has_value();
    names_label |= !stream.label.empty();
    names_model |= !stream.model.empty();
    names_tenant |= !stream.tenant.empty();
    has_priority |= stream.priority != 0;
    has_prefixes |= stream.prefix.has_value();
  }
  errno = 0;
  const std::unique_ptr<std::FILE, Close> file(std::fopen(options.out.c_str(), "w"));
  const auto incomplete = [&] {
    return complain("generate",
                    {ErrorCode::kUnavailable,
                     fmt::format("'{}' is incomplete: {}", options.out, std::strerror(errno)),
                     {}},
                    err);
  };
  if (!file) {
    return complain(
        "generate",
        invalid(fmt::format("cannot write '{}': {}", options.out, std::strerror(errno))), err);
  }
  std::vector<std::string> columns = {"arrived_s", "prompt_tokens", "output_tokens"};
  const auto add_column = [&columns](bool wanted, const char* name) {
    if (wanted)
      columns.emplace_back(name);
  };
  add_column(names_class, "class");
  add_column(names_label, "label");
  add_column(names_model, "model");
  add_column(names_tenant, "tenant");
  add_column(has_priority, "priority");
  add_column(has_prefixes, "prefix_of");
  add_column(has_prefixes, "prefix_tokens");
  data::CsvWriter csv(columns);
  simulate::WorkloadGenerator generator(workload, options.seed);
  long long rows = 0;
  double last_s = 0;
  const auto flush = [&] {
    const bool written =
        std::fwrite(csv.str().data(), 1, csv.str().size(), file.get()) == csv.str().size();
    csv.clear();
    return written;
  };
  constexpr std::size_t kChunk = 1 << 20;
  while (!options.requests || rows < *options.requests) {
    const std::optional<simulate::GeneratedRequest> made = generator.next();
    if (!made)
      break;
    const data::WorkloadStream& stream = workload.streams[made->stream];
    last_s = made->arrived_s;
    csv.number(made->arrived_s, 9).whole(made->prompt_tokens).whole(made->output_tokens);
    if (names_class)
      csv.text(stream.service_class ? name_of(*stream.service_class) : "");
    if (names_label)
      csv.text(stream.label);
    if (names_model)
      csv.text(stream.model);
    if (names_tenant)
      csv.text(stream.tenant);
    if (has_priority)
      csv.whole(stream.priority);
    if (has_prefixes) {
      if (made->prefix_tokens > 0) {
        csv.whole(static_cast<long long>(made->prefix_of)).whole(made->prefix_tokens);
      } else {
        csv.empty().whole(0);
      }
    }
    csv.end_row();
    ++rows;
    if (csv.str().size() >= kChunk && !flush())
      return incomplete();
  }
  if (!flush() || std::fflush(file.get()) != 0)
    return incomplete();
  if (options.json) {
    fmt::print(out, "{{\"requests\": {}, \"last_s\": {:.9f}}}\n", rows, last_s);
  } else {
    fmt::print(err, "{} requests over {:.1f} s written to {}\n", rows, last_s,
               printable(options.out));
  }
  return kDone;
}

}  // namespace

int run_trace(const TraceOptions& options, std::FILE* out, std::FILE* err) {
  switch (options.action) {
    case TraceOptions::Action::kInfo:
      return run_info(options, out, err);
    case TraceOptions::Action::kFit:
      return run_fit(options, out, err);
    case TraceOptions::Action::kGenerate:
      return run_generate(options, out, err);
  }
  return kUnusable;
}

}  // namespace medley::cli
