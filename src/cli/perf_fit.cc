#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "cli/perf.h"
#include "cli/perf_evaluate.h"
#include "cli/perf_serving.h"
#include "cli/table.h"
#include "cli/write_file.h"

namespace medley::cli {
namespace {

constexpr int kFailed = 1, kUnusable = 2;

std::string title(const GroupFit& fit) {
  return fmt::format("{} {}{}{}{}", fit.group, fit.device,
                     fit.lines.empty() ? "" : " " + fit.engine,
                     fit.precision.empty() ? "" : " " + fit.precision,
                     fit.law == GroupFit::Law::kPower ? " power" : "");
}

// Times in microseconds, watts and shares as they are.
bool is_time(const GroupFit& fit, const std::string& name) {
  return fit.law != GroupFit::Law::kPower && name.starts_with("t_");
}

std::string or_null(const std::string& text) {
  return text.empty() ? "null" : fmt::format("\"{}\"", text);
}

bool is_date(const std::string& text) {
  constexpr std::string_view kForm = "0000-00-00";
  if (text.size() != kForm.size())
    return false;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != kForm[i])
      return false;
  }
  const auto part = [&](std::size_t at, std::size_t length) {
    return std::stoi(text.substr(at, length));
  };
  return std::chrono::year_month_day(std::chrono::year(part(0, 4)),
                                     std::chrono::month(static_cast<unsigned>(part(5, 2))),
                                     std::chrono::day(static_cast<unsigned>(part(8, 2))))
      .ok();
}

// Why a fit is not written; empty: it is fit to be.
std::string refusal(const GroupFit& fit, bool keep_unidentified) {
  const std::vector<std::string> names = fit.unidentified();
  if (!fit.fit.converged) {
    return fmt::format("{}: the fit does not converge{}", title(fit),
                       names.empty() ? std::string()
                                     : fmt::format("; not identified: {}", fmt::join(names, ", ")));
  }
  if (!names.empty() && !keep_unidentified) {
    return fmt::format("{}: these points do not identify {} (--keep-unidentified writes it anyway)",
                       title(fit), fmt::join(names, ", "));
  }
  return {};
}

// The points of a fit; lines of a table as runs of them.
std::string used(const GroupFit& fit) {
  if (fit.lines.empty())
    return fmt::format("Points used: {}.", fmt::join(fit.points, ", "));
  std::string runs;
  for (std::size_t i = 0; i < fit.lines.size();) {
    std::size_t end = i + 1;
    while (end < fit.lines.size() && fit.lines[end] == fit.lines[end - 1] + 1)
      ++end;
    runs += fmt::format("{}{}", runs.empty() ? "" : ", ", fit.lines[i]);
    if (end > i + 1)
      runs += fmt::format("-{}", fit.lines[end - 1]);
    i = end;
  }
  return fmt::format("Lines used: {}.", runs);
}

std::string provenance(const GroupFit& fit, const std::string& date, double default_bar) {
  std::string note;
  const std::vector<std::string> kept = fit.unidentified(), unfelt = fit.unfelt();
  if (!kept.empty())
    note += fmt::format("Not identified, near the class default: {}. ", fmt::join(kept, ", "));
  if (!unfelt.empty())
    note += fmt::format("No point depends on these, class default: {}. ", fmt::join(unfelt, ", "));
  note += used(fit);
  const std::size_t count = fit.points.size() + fit.lines.size();
  double bar = std::max(fit.in_sample, fit.left_out.value_or(fit.in_sample));
  // Points that leave constants open, and a single one, agree with themselves only.
  if (!kept.empty() || count < 2)
    bar = std::max(bar, default_bar);
  return fmt::format(
      "    error_bar: {:.3g}\n"
      "    fit: {{points: {}, mape: {:.3g}, leave_one_out: [{:.3g}, {:.3g}], batch_max: null}}\n"
      "    date: \"{}\"\n    confidence: C\n    sources: [POINTS]\n    note: \"{}\"\n",
      bar, count, fit.in_sample, fit.left_out.value_or(fit.in_sample),
      fit.left_out.value_or(fit.in_sample), date, note);
}

std::string head(const GroupFit& fit, bool engine) {
  std::string text = fmt::format("  - device: {}\n    kind: {}\n", fit.device, fit.device_class);
  if (engine) {
    text += fmt::format("    engine: {}\n    engine_version: {}\n    precision: {}\n",
                        or_null(fit.engine), or_null(fit.engine_version), or_null(fit.precision));
  }
  if (fit.engine_version == "2023")
    text += "    only_if_asked: true\n";
  return text + "    origin: fitted\n";
}

// `default_bar`: that of devices of its kind that were never measured.
std::string entry(const GroupFit& fit, const std::string& date, double default_bar) {
  std::string text = head(fit, fit.law != GroupFit::Law::kPower);
  switch (fit.law) {
    case GroupFit::Law::kRoofline: {
      const RooflineConstants& r = fit.constants.roofline;
      text += fmt::format(
          "    t_fix_us: {:.6g}\n    t_prefill_us: {:.6g}\n    kv_bytes_per_element: {}\n"
          "    memory_utilisation: {:.6g}\n    memory_reserve_gb: {:.6g}\n",
          r.t_fix_s * 1e6, r.t_prefill_s * 1e6, bytes_per_number(r.kv_precision), r.memory_share,
          r.memory_reserve_bytes / 1e9);
      for (std::size_t k = 0; k + perf::kHabits < fit.names.size(); ++k) {
        const bool time = is_time(fit, fit.names[k]);
        text += fmt::format("    {}{}: {:.6g}\n", fit.names[k], time ? "_us" : "",
                            fit.fit.found[k].value * (time ? 1e6 : 1));
      }
      break;
    }
    case GroupFit::Law::kDataflow: {
      const DataflowConstants& d = fit.dataflow;
      text += fmt::format(
          "    t_layer_us: {:.6g}\n    t_moe_layer_us: {:.6g}\n    t_head_us: {:.6g}\n"
          "    group_chips: {}\n    weight_feed_gb_per_s: {:.6g}\n"
          "    weight_bytes_per_parameter: {:.6g}\n    kv_bytes_per_element: 2\n"
          "    sram_share_for_weights: {:.6g}\n    free_sequences_per_stage: {}\n"
          "    prefill_tokens_per_stage: {}\n    throughput_error_bar: {:.6g}\n",
          d.t_layer_s * 1e6, d.moe_extra_layer_s * 1e6, d.t_head_s * 1e6, d.group_chips,
          d.weight_feed ? d.weight_feed->value() / 1e9 : 18432, d.weight_bytes_per_parameter,
          d.sram_share_for_weights, d.free_sequences_per_stage, d.tokens_per_pass,
          d.throughput_error_bar);
      if (d.beyond_schedule_layer_s)
        text +=
            fmt::format("    beyond_schedule_layer_us: {:.6g}\n", *d.beyond_schedule_layer_s * 1e6);
      break;
    }
    case GroupFit::Law::kPower:
      text += fmt::format(
          "    watts: {{intercept: {:.6g}, per_mfu: {:.6g}, per_mbu: {:.6g}, cap: {:.6g}, idle: "
          "null, context_extra: null}}\n    tdp_share: null\n    fixed_w: null\n",
          fit.power.intercept_w, fit.power.per_mfu_w, fit.power.per_mbu_w, fit.power.cap_w);
      break;
  }
  return text + provenance(fit, date, default_bar);
}

}  // namespace

int run_perf_fit(const PerfFitOptions& options, std::FILE* out, std::FILE* err) {
  const auto refuse = [&](const std::string& message) {
    fmt::print(err, "medley perf fit: {}\n", printable(message));
    return kUnusable;
  };
  const auto catalog = data::read_catalog(options.catalog);
  if (!catalog)
    return refuse(catalog.error().message);
  std::vector<GroupFit> fits;
  std::string date = options.date;
  if (data::is_table(options.points)) {
    const auto rows = data::read_serving_rows(options.points);
    if (!rows)
      return refuse(rows.error().message);
    ServingEvaluation told;
    fits = fit_serving(*rows, *catalog, told);
    for (const std::string& reason : told.reasons)
      fmt::print(err, "medley perf fit: left aside: {}\n", printable(reason));
    if (date.empty())
      return refuse("a table names no date: say --date 2026-11-24");
  } else {
    const auto points = data::read_points(options.points);
    if (!points)
      return refuse(points.error().message);
    if (date.empty())
      date = points->as_of;
    fits = evaluate(*points, *catalog).fits;
    for (GroupFit& fit : fits) {
      if (fit.law == GroupFit::Law::kDataflow)
        fit.dataflow.beyond_schedule_layer_s =
            beyond_schedule_layer_s(*points, *catalog, fit.device);
    }
  }
  if (!is_date(date)) {
    return refuse(
        fmt::format("expected a date like 2026-11-24 in as_of or --date, got '{}'", date));
  }

  const Align right = Align::kRight;
  Table table({{"fit"}, {"constant"}, {"value", right}, {"±", right}, {""}});
  for (const GroupFit& fit : fits) {
    std::string name = title(fit);
    for (std::size_t k = 0; k < fit.fit.found.size(); ++k) {
      const perf::Found& found = fit.fit.found[k];
      if (found.held || !found.felt)
        continue;
      const double unit = is_time(fit, fit.names[k]) ? 1e6 : 1;
      table.add_row({name, fit.names[k] + (unit > 1 ? " us" : ""),
                     fmt::format("{:.4g}", found.value * unit),
                     fmt::format("{:.2g}", found.spread * unit),
                     !found.identified ? "not identified"
                     : found.at_bound  ? "at its bound"
                                       : ""});
      name.clear();
    }
    table.add_row({"", "error in sample %", fmt::format("{:.1f}", 100 * fit.in_sample), "", ""});
    table.add_row({"", "left out %",
                   fit.left_out ? fmt::format("{:.1f}", 100 * *fit.left_out) : "unknown", "", ""});
  }
  fmt::print(out, "{}", table.text());

  std::string lists[3];
  bool refused = false;
  for (const GroupFit& fit : fits) {
    const std::string why = refusal(fit, options.keep_unidentified);
    if (!why.empty()) {
      refused = true;
      fmt::print(err, "medley perf fit: not written: {}\n", printable(why));
      continue;
    }
    const auto accelerator = catalog->accelerator(fit.device);
    const double default_bar =
        accelerator ? class_default(*catalog, accelerator->kind).error_bar : 0;
    lists[static_cast<int>(fit.law)] += entry(fit, date, default_bar);
  }
  if (options.out.empty())
    return refused ? kFailed : 0;
  const auto list = [](const char* name, const std::string& entries) {
    return entries.empty() ? "" : fmt::format("{}:\n{}", name, entries);
  };
  std::string named = printable(options.points);  // within quotes of YAML
  std::replace_if(
      named.begin(), named.end(), [](char c) { return c == '"' || c == '\\'; }, '_');
  const std::string text = fmt::format(
      "# Written by `medley perf fit`: put it into the folder fits/ of a catalogue.\n"
      "schema_version: 1\nas_of: \"{}\"\nsources:\n"
      "  POINTS: \"{}, by medley perf fit (others' measurements: see that file)\"\n{}{}{}",
      date, named, list("roofline", lists[0]), list("power", lists[1]), list("dataflow", lists[2]));
  if (lists[0].empty() && lists[1].empty() && lists[2].empty()) {
    fmt::print(err, "medley perf fit: nothing to write: {} is left as it was\n",
               printable(options.out));
    return kFailed;
  }
  if (const Status written = write_file(options.out, text); !written.ok()) {
    const Error& error = written.error();
    refuse(error.message);
    return error.code == ErrorCode::kInvalid ? kUnusable : kFailed;
  }
  return refused ? kFailed : 0;
}

}  // namespace medley::cli
