// `medley compile MODEL --target cpu`: the schedule that engine static_schedule runs on one core of
// this machine, and how long each operation takes: predicted, and with --measure as it is.
#include "lpu/compile_cpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "base/digest.h"
#include "cli/compile.h"
#include "cli/compile_picture.h"
#include "cli/table.h"
#include "cli/write_file.h"
#include "data/json.h"
#include "lpu/cpu/costs.h"
#include "lpu/cpu/machine.h"

namespace medley::cli {
namespace {

namespace json = boost::json;
using namespace lpu;

constexpr int kTurns = 5;
constexpr double kSecondsATurn = 0.5;
constexpr int kMostTokens = 2000, kLeastTokens = 9;

// All instructions of one operation and format.
struct OperationRow {
  std::string name;
  int count = 0;
  double bytes = 0, predicted_s = 0, measured_s = 0;
  std::vector<double> errors;  // predicted over measured, less one
};

double median_of(std::vector<double> values) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double median_error(const std::vector<double>& errors) {
  std::vector<double> sizes;
  for (const double error : errors)
    sizes.push_back(std::abs(error));
  return median_of(std::move(sizes));
}

// "q, k, v": what of a layer an instruction computes.
std::string name_in(const Graph& graph, const Instruction& in) {
  std::string name;
  for (const Piece& piece : in.pieces) {
    if (piece.node == kNoNode)
      continue;
    const std::string role(graph.nodes[static_cast<std::size_t>(piece.node)].role);
    if (name.find(role) == std::string::npos)
      name += (name.empty() ? "" : ", ") + role;
  }
  if (name.empty() && in.node != kNoNode)
    name = graph.nodes[static_cast<std::size_t>(in.node)].role;
  return name;
}

Error unusable(std::string message, std::string field) {
  return {ErrorCode::kInvalid, std::move(message), std::move(field)};
}

}  // namespace

Status compile_for_cpu(const CompileVerbOptions& options, const std::string& gguf_path,
                       std::FILE* out) {
  if (gguf_path.empty())
    return unusable(
        fmt::format("{}: target cpu runs the weights, so it needs a GGUF file", options.model),
        "MODEL");
  if (options.chips > 0 || options.group > 0 || !options.precision.empty())
    return unusable(
        "--chips, --group and --precision are for targets of chips: cpu is one core, and "
        "takes weights in the formats of the file",
        "--target");
  if (!options.kv_precision.empty() && options.kv_precision != "fp32" &&
      options.kv_precision != "fp16")
    return unusable(
        fmt::format("--kv-precision {}: target cpu has fp32 and fp16", options.kv_precision),
        "--kv-precision");
  if (options.streams < 1)
    return unusable("no streams: at least one is needed", "--streams");
  const bool half_kv = options.kv_precision == "fp16";
  MEDLEY_TRY(const ModelFile file, ModelFile::open(gguf_path));
  MEDLEY_TRY(const Graph graph, build_graph(file));
  const long long trained = graph.trained_context > 0 ? graph.trained_context : 4096;
  const long long context = options.context > 0 ? options.context : std::min(trained, 4096LL);
  const cpu::Isa isa = cpu::best_isa();
  MEDLEY_TRY(const Program program,
             compile_cpu(graph, {.units = 1,
                                 .context = static_cast<int>(std::min(context, 1LL << 30)),
                                 .layout = cpu::layout_of(isa, half_kv)}));
  const int last = program.context - 1;
  std::unique_ptr<cpu::Machine> machine;
  if (options.measure) {
    MEDLEY_TRY(machine, cpu::Machine::make(graph, program, {.isa = isa}));
  }
  // What memory gives changes from second to second where others use it, so that constants and
  // operations are measured by turns.
  const std::vector<Instruction>& instructions = program.units.front().instructions;
  std::vector<std::vector<double>> predictions(instructions.size()), starts(instructions.size()),
      times(instructions.size());
  MEDLEY_TRY(cpu::Costs costs, cpu::Costs::measure(graph, program, isa));
  for (int turn = 0; turn < (options.measure ? kTurns : 1); ++turn) {
    if (turn > 0) {
      MEDLEY_TRY(costs, cpu::Costs::measure(graph, program, isa));
    }
    double token_s = 0;
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      predictions[i].push_back(costs.predict(instructions[i], program, last));
      starts[i].push_back(costs.predict(instructions[i], program, 0));
      token_s += predictions[i].back();
    }
    if (machine == nullptr)
      break;
    const int tokens = std::clamp(static_cast<int>(kSecondsATurn / std::max(token_s, 1e-6)),
                                  kLeastTokens, kMostTokens);
    const std::vector<double> found = cpu::measured(*machine, last, tokens);
    for (std::size_t i = 0; i < instructions.size(); ++i)
      times[i].push_back(found[i]);
  }
  std::vector<double> predicted, measured;
  double token_s = 0, empty_s = 0;
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    predicted.push_back(median_of(predictions[i]));
    token_s += predicted.back();
    empty_s += median_of(starts[i]);
    if (machine != nullptr)
      measured.push_back(median_of(times[i]));
  }
  std::map<cpu::Costs::Key, OperationRow> rows;
  OperationRow all{.name = "a token"};
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    const Instruction& in = instructions[i];
    const cpu::Costs::Key key = cpu::Costs::key_of(in);
    OperationRow& row = rows[key];
    row.name = std::string(lpu::name_of(key.first));
    if (key.first == Operation::kMatrix)
      row.name += fmt::format(" {}", lpu::name_of(key.second));
    for (OperationRow* each : {&row, &all}) {
      ++each->count;
      each->bytes += in.operation == Operation::kEmbed
                         ? 0
                         : static_cast<double>(in.weights.size + in.bias.size);
      each->predicted_s += predicted[i];
      if (measured.empty())
        continue;
      each->measured_s += measured[i];
      if (predicted[i] > 0)
        each->errors.push_back(predicted[i] / measured[i] - 1);
    }
  }
  if (!options.svg.empty()) {
    std::vector<TimedInstruction> timed;
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      const Instruction& in = instructions[i];
      timed.push_back({.operation = rows[cpu::Costs::key_of(in)].name,
                       .what = name_in(graph, in),
                       .layer = in.layer,
                       .work = work_of(in, graph),
                       .seconds = predicted[i]});
    }
    MEDLEY_TRY_STATUS(write_file(
        options.svg,
        picture_of(graph.name, fmt::format("one core ({})", cpu::kernels(isa).name), timed)));
  }
  const auto binds = std::max_element(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.second.predicted_s < b.second.predicted_s;
  });
  Digest digest;
  digest.add(program.digest());
  const double window_s = token_s * static_cast<double>(options.streams);
  const double kv_bytes = static_cast<double>(program.units.front().kv_bytes);
  const auto share_of = [&](const OperationRow& row) { return row.predicted_s / token_s; };

  if (options.json) {
    json::array operations;
    for (const auto& [key, row] : rows) {
      json::object o{{"name", row.name},
                     {"instructions", row.count},
                     {"weight_bytes", row.bytes},
                     {"predicted_s",
                      row.predicted_s > 0 ? json::value(row.predicted_s) : json::value(nullptr)},
                     {"measured_s", nullptr},
                     {"median_error", nullptr}};
      if (!measured.empty()) {
        o["measured_s"] = row.measured_s;
        if (!row.errors.empty())
          o["median_error"] = median_error(row.errors);
      }
      operations.push_back(std::move(o));
    }
    json::array constants;
    for (const auto& [key, cost] : costs.all()) {
      constants.push_back(json::object{{"name", rows[key].name},
                                       {"fixed_s", cost.fixed_s},
                                       {"number_s", cost.number_s},
                                       {"byte_s", cost.byte_s}});
    }
    json::object answer{{"model", graph.name},
                        {"target", "cpu"},
                        {"kernels", cpu::kernels(isa).name},
                        {"kv_precision", half_kv ? "fp16" : "fp32"},
                        {"context_tokens", program.context},
                        {"streams", options.streams},
                        {"token_s", token_s},
                        {"token_s_at_start", empty_s},
                        {"measured_token_s", nullptr},
                        {"median_error", nullptr},
                        {"token_window_s", window_s},
                        {"weight_bytes", program.weight_bytes()},
                        {"kv_bytes_per_stream", kv_bytes},
                        {"binds", binds->second.name},
                        {"calibration_s", costs.took_s()},
                        {"operations", operations},
                        {"constants", constants},
                        {"instructions", instructions.size()},
                        {"digest", digest.hex()}};
    if (!measured.empty()) {
      answer["measured_token_s"] = all.measured_s;
      answer["median_error"] = median_error(all.errors);
    }
    fmt::print(out, "{}", data::json_pretty(answer));
    return Done{};
  }

  fmt::print(out, "{} on one core of this machine ({}), context {}, {} stream{}\n\n",
             printable(graph.name), cpu::kernels(isa).name, program.context, options.streams,
             options.streams == 1 ? "" : "s");
  Table facts({{"what follows"}, {"", Align::kRight}, {""}});
  facts.add_row({"time of a token", fmt::format("{:.1f} us", token_s * 1e6),
                 fmt::format("at a full context; {:.1f} us at its start", empty_s * 1e6)});
  if (!measured.empty())
    facts.add_row({"measured", fmt::format("{:.1f} us", all.measured_s * 1e6),
                   "sum of the instructions' medians, without what the clock takes"});
  facts.add_row({"token window", fmt::format("{:.1f} us", window_s * 1e6),
                 "streams take turns; what serve keeps: docs/lpu.md"});
  facts.add_row({"weights", fmt::format("{:.4g} MB", all.bytes / 1e6),
                 fmt::format("{:.1f} GB/s", all.bytes / token_s / 1e9)});
  facts.add_row({"KV cache", fmt::format("{:.4g} MB", kv_bytes / 1e6), "a stream"});
  facts.add_row({"binds", binds->second.name, "what most of a token's time goes to"});
  fmt::print(out, "{}\n", facts.text());

  const Align right = Align::kRight;
  Table table({{"operation"},
               {"runs", right},
               {"MB", right},
               {"predicted us", right},
               {"share", right},
               {"measured us", right},
               {"median error", right}});
  const auto add = [&](const OperationRow& row) {
    const bool known = !measured.empty();
    table.add_row({row.name, std::to_string(row.count), fmt::format("{:.4g}", row.bytes / 1e6),
                   row.predicted_s > 0 ? fmt::format("{:.2f}", row.predicted_s * 1e6) : "unknown",
                   fmt::format("{:.1f} %", 100 * share_of(row)),
                   known ? fmt::format("{:.2f}", row.measured_s * 1e6) : "",
                   known && !row.errors.empty()
                       ? fmt::format("{:.1f} %", 100 * median_error(row.errors))
                       : ""});
  };
  for (const auto& [key, row] : rows)
    add(row);
  table.add_rule();
  add(all);
  fmt::print(out, "{}\n", table.text());
  fmt::print(out,
             "predicted from constants measured in {:.2f} s, with kernels that walk through {:.4g} "
             "MB; {} instructions; digest {}\n",
             costs.took_s(), static_cast<double>(costs.walked_bytes()) / 1e6, instructions.size(),
             digest.hex());
  return Done{};
}

}  // namespace medley::cli
