// The `medley` command: reads the command line and hands over to the verb.
//
// --help, the man page (`medley man`) and the README's list of verbs come from the one description
// here.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "base/nearest.h"
#include "cli/bench.h"
#include "cli/catalog.h"
#include "cli/compile.h"
#include "cli/explain.h"
#include "cli/man_page.h"
#include "cli/model.h"
#include "cli/perf.h"
#include "cli/perf_measure.h"
#include "cli/plan_cases.h"
#include "cli/plan_init.h"
#include "cli/plan_requirements.h"
#include "cli/plan_usage.h"
#include "cli/serve.h"
#include "cli/simulate.h"
#include "cli/table.h"
#include "cli/trace.h"
#include "cli/write_file.h"
#include "data/yaml.h"

namespace {

using namespace medley::cli;

constexpr const char* kDescription =
    "One control plane for mixed AI compute: GPUs, LPUs, NPUs and rented chips behind one endpoint";
constexpr const char* kFooter =
    "Exit status: 0 done, 1 failed, 2 unusable command line or input, 3 no fleet can be (plan), "
    "4 not found, 6 an expected figure was missed.\n"
    "Data go to standard output, messages to standard error.";

void add_output(CLI::App* verb, bool& json) {
  verb->add_option_function<std::string>(
          "-o,--output", [&json](const std::string& form) { json = form == "json"; },
          "table for people or json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("FORM")
      ->default_str("table");
}

// A finite number between. CLI::Range lets NaN pass, which is neither below nor above.
CLI::Validator number_in(double least, double most) {
  CLI::Validator range = CLI::Range(least, most);
  const std::string description = range.get_description();
  return {[range](std::string& text) {
            return medley::data::parse_number(text)
                       ? range(text)
                       : fmt::format("expected a number, got '{}'", printable(text));
          },
          description};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{kDescription, "medley"};
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("medley ") + MEDLEY_VERSION);
  app.get_formatter()->column_width(34);
  // Of all verbs, files that they read and files that they replace.
  std::vector<const CLI::Option*> read, written;
  const auto reads = [&](CLI::Option* option) { return read.emplace_back(option), option; };
  const auto writes = [&](CLI::Option* option) { return written.emplace_back(option), option; };
  std::function<int()> run;

  SimulateOptions simulate;
  CLI::App* verb = app.add_subcommand(
      "simulate", "Replay a scenario in virtual time with the scheduler that serve uses");
  reads(verb->add_option("SCENARIO", simulate.scenario, "Scenario file (docs/simulate.md)"))
      ->required()
      ->type_name("");
  add_output(verb, simulate.json);
  CLI::Option* requests_csv =
      writes(verb->add_option("--requests-csv", simulate.requests_csv, "Write one row a request"))
          ->type_name("FILE");
  writes(
      verb->add_option("--report", simulate.report,
                       "Write a page (HTML) with latencies, the fleet over time, energy and money; "
                       "with --compare, of the policies against load"))
      ->type_name("FILE");
  CLI::Option* decisions = writes(verb->add_option("--decisions", simulate.decisions,
                                                   "Write the decision log that explain reads"))
                               ->type_name("FILE");
  reads(verb->add_option("--trace", simulate.trace,
                         "Trace file in place of the scenario's, in the same format"))
      ->type_name("FILE");
  CLI::Option* placement = verb->add_option("--placement", simulate.placement,
                                            "Placement policy in place of the scenario's")
                               ->type_name("POLICY");
  CLI::Option* compare =
      verb->add_option("--compare", simulate.compare,
                       "Run these policies side by side, separated by commas (docs/arena.md)")
          ->type_name("POLICY,...")
          ->excludes(placement, requests_csv, decisions);
  verb->add_option("--load", simulate.loads,
                   "With --compare: factors on the rate of arrivals, as 0.5,1, or times the load "
                   "at which the bound keeps 99.7 % of all value, as 0.5one,one; without, 1")
      ->type_name("LOAD,...")
      ->needs(compare);
  verb->add_option("--seeds", simulate.seeds,
                   "With --compare: seeds, as 11..20 or 1,5,7; without, the scenario's")
      ->type_name("SEED,...")
      ->needs(compare);
  verb->add_option("--prediction-error", simulate.prediction_error,
                   "Multiply each forecast of TTFT and TPOT by exp(SHARE z), z standard normal; 0 "
                   "to 2, for studies")
      ->type_name("SHARE");
  verb->add_option("--prefill-error", simulate.prefill_error,
                   "Multiply the time each prompt truly takes on a statically scheduled device by "
                   "exp(SHARE z), z standard normal; 0 to 2, for studies")
      ->type_name("SHARE");
  verb->add_option("--heard-every", simulate.heard_every,
                   "With --compare: the scheduler hears of first tokens and ends only so often, as "
                   "if it polled; 0.001 to 60, for studies")
      ->type_name("SECONDS")
      ->needs(compare);
  verb->add_option("--catalog", simulate.catalog, "Folder of the catalogue")->type_name("FOLDER");
  verb->callback([&] { run = [&] { return run_simulate(simulate, stdout, stderr); }; });

  PlanRequirementsOptions plan;
  PlanCasesOptions plan_cases;
  verb = app.add_subcommand("plan", "Say what to buy: the cheapest fleet that carries a load");
  CLI::Option* plan_file =
      reads(verb->add_option("FILE", plan.file, "Requirements file (docs/plan.md)"));
  plan_file->type_name("");
  CLI::Option* fleet_mixes =
      verb->add_option(
              "--cases", plan_cases.cases,
              "Answer fleet-mix cases (JSON): the cheapest whole instances of device types")
          ->type_name("FILE")
          ->excludes(plan_file);
  CLI::Option* training =
      verb->add_option("--training", plan_cases.training,
                       "Answer training-share cases (JSON): what each job gets of each device type")
          ->type_name("FILE")
          ->excludes(fleet_mixes, plan_file);
  PlanUsageOptions plan_usage;
  CLI::Option* usage =
      verb->add_option("--from-usage", plan_usage.usage,
                       "Say what to add, move or switch off, from what serve --usage recorded")
          ->type_name("USAGE")
          ->excludes(fleet_mixes, training);
  CLI::Option* served =
      verb->add_option("--fleet", plan_usage.fleet, "With --from-usage: the fleet that was served")
          ->type_name("FLEET")
          ->needs(usage);
  usage->needs(served);
  verb->add_option("--time-limit", plan_cases.time_limit_s,
                   "With --cases: seconds for each; what is not proved by then carries its gap")
      ->type_name("SECONDS")
      ->needs(fleet_mixes)
      ->check(number_in(0.001, 86400))
      ->capture_default_str();
  writes(verb->add_option("--write-fleet", plan.write_fleet,
                          "Write the fleet, for serve and simulate to read as it is"))
      ->type_name("FILE")
      ->needs(plan_file)
      ->excludes(usage);
  writes(verb->add_option("--report", plan.report, "Write a page (HTML) with pictures"))
      ->type_name("FILE")
      ->needs(plan_file)
      ->excludes(usage);
  verb->add_flag("--no-proof", plan.no_proof, "Solve the program only, without simulation")
      ->needs(plan_file)
      ->excludes(usage);
  verb->add_flag("--no-compare", plan.no_compare, "The chosen fleet alone")
      ->needs(plan_file)
      ->excludes(usage);
  verb->add_option("--catalog", plan.catalog, "Folder of the catalogue")
      ->type_name("FOLDER")
      ->excludes(fleet_mixes, training);
  add_output(verb, plan.json);
  PlanInitOptions plan_init;
  CLI::App* init = verb->add_subcommand(
      "init", "Ask what a requirements file needs, with a sentence on each, and write it");
  writes(init->add_option("OUT", plan_init.out, "File to write"))
      ->type_name("")
      ->capture_default_str();
  reads(init->add_option("--answers", plan_init.answers,
                         "Answers by question (YAML) in place of the terminal's (docs/plan.md)"))
      ->type_name("FILE");
  reads(init->add_option("--trace", plan_init.trace, "Take rates and lengths from this trace"))
      ->type_name("FILE");
  init->add_flag("--force", plan_init.force, "Replace OUT where it is there already");
  init->add_option("--catalog", plan_init.catalog, "Folder of the catalogue")->type_name("FOLDER");
  init->callback([&] { run = [&] { return run_plan_init(plan_init, stdin, stderr); }; });
  verb->callback([&, plan_file, fleet_mixes, training, usage, init] {
    if (init->parsed())
      return;
    if (plan_file->empty() && fleet_mixes->empty() && training->empty() && usage->empty())
      throw CLI::RequiredError("FILE, --cases, --training or --from-usage");
    plan_cases.json = plan_usage.json = plan.json;
    if (!usage->empty()) {
      plan_usage.asked = plan.file;
      plan_usage.catalog = plan.catalog;
      run = [&] { return run_plan_usage(plan_usage, stdout, stderr); };
      return;
    }
    run = [&, plan_file] {
      return plan_file->empty() ? run_plan_cases(plan_cases, stdout, stderr)
                                : run_plan_requirements(plan, stdout, stderr);
    };
  });

  ServeOptions serve;
  verb = app.add_subcommand("serve", "Serve a fleet behind one OpenAI-compatible endpoint");
  reads(verb->add_option(
            "-c,--config", serve.fleet,
            "Fleet file (docs/fleet.md); without one, the built-in model on this machine"))
      ->type_name("FLEET");
  verb->add_option("--listen", serve.listen, "Address to listen on; port 0 takes a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  writes(
      verb->add_option("--decisions", serve.decisions, "Write the decision log that explain reads"))
      ->type_name("FILE");
  writes(verb->add_option("--usage", serve.usage,
                          "Append what came and how it was kept, for plan --from-usage"))
      ->type_name("FILE");
  verb->add_option("--seed", serve.seed, "Seed of what emulated devices draw")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--catalog", serve.catalog, "Folder of the catalogue")->type_name("FOLDER");
  verb->callback([&] { run = [&] { return run_serve(serve, stdout, stderr); }; });

  ExplainOptions explain;
  explain.decisions = "decisions.jsonl";
  verb = app.add_subcommand("explain", "Say why a request went where it went");
  verb->add_option("REQUEST", explain.request,
                   "Request id (header medley-request-id) or row of the trace")
      ->required()
      ->type_name("");
  verb->add_option("--decisions", explain.decisions, "Decision log of serve or simulate")
      ->type_name("FILE")
      ->capture_default_str();
  add_output(verb, explain.json);
  verb->callback([&] { run = [&] { return run_explain(explain, stdout, stderr); }; });

  CatalogOptions catalog;
  verb =
      app.add_subcommand("catalog", "Show what is known of accelerators and models, with sources");
  verb->require_subcommand(1);
  const auto add_subject = [&](const char* name, const char* text,
                               CatalogOptions::Subject subject) {
    CLI::App* sub = verb->add_subcommand(name, text);
    sub->add_option("NAME", catalog.name, "One entry in detail; without, the list of all")
        ->type_name("");
    add_output(sub, catalog.json);
    sub->add_option("--catalog", catalog.folder, "Folder of the catalogue")->type_name("FOLDER");
    sub->callback([&catalog, &run, subject] {
      catalog.subject = subject;
      run = [&catalog] { return run_catalog(catalog, stdout, stderr); };
    });
  };
  add_subject("accelerators", "GPUs, LPUs, NPUs, TPUs and other devices",
              CatalogOptions::Subject::kAccelerators);
  add_subject("models", "Language models: architecture facts", CatalogOptions::Subject::kModels);

  TraceOptions trace;
  verb = app.add_subcommand("trace", "Look at traces, fit workloads to them, generate new ones");
  verb->require_subcommand(1);
  const auto add_action = [&](const char* name, const char* text, TraceOptions::Action action) {
    CLI::App* sub = verb->add_subcommand(name, text);
    sub->callback([&trace, &run, action] {
      trace.action = action;
      run = [&trace] { return run_trace(trace, stdout, stderr); };
    });
    return sub;
  };
  CLI::App* info = add_action("info", "Show rate, burstiness, lengths and shared prefixes",
                              TraceOptions::Action::kInfo);
  CLI::App* fit = add_action("fit", "Fit a workload to a trace and say how well it came out",
                             TraceOptions::Action::kFit);
  for (CLI::App* sub : {info, fit}) {
    reads(sub->add_option("TRACE", trace.file, "Trace file, gunzipped where it ends in .gz"))
        ->required()
        ->type_name("");
    sub->add_option("--format", trace.format,
                    "azure, mooncake, servegen, vllm_workload or medley; default: as the first "
                    "line looks")
        ->type_name("FORMAT");
    add_output(sub, trace.json);
  }
  writes(info->add_option("--svg", trace.svg, "Write a picture"))->type_name("FILE");
  writes(info->add_option("--report", trace.report, "Write a page (HTML) with pictures and tables"))
      ->type_name("FILE");
  writes(fit->add_option("--out", trace.out, "Workload file to write"))
      ->required()
      ->type_name("FILE");
  CLI::App* generate = add_action("generate", "Make a trace (CSV, format medley) from a workload",
                                  TraceOptions::Action::kGenerate);
  reads(generate->add_option("WORKLOAD", trace.file, "Workload file (docs/trace.md)"))
      ->required()
      ->type_name("");
  writes(generate->add_option("--out", trace.out, "Trace file to write"))
      ->required()
      ->type_name("FILE");
  generate
      ->add_option("--requests", trace.requests,
                   "How many at most, in place of the limits in the file")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  generate
      ->add_option("--for", trace.for_time,
                   "How long (90s, 24h), in place of the limits in the file")
      ->type_name("TIME");
  generate->add_option("--scale", trace.scale, "Multiply every rate")
      ->type_name("X")
      ->capture_default_str()
      ->check(number_in(1e-6, 1e6));
  generate->add_option("--seed", trace.seed, "Seed of all draws")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  add_output(generate, trace.json);

  verb = app.add_subcommand("bench", "Measure engines on this machine");
  verb->require_subcommand(1);
  BenchOptions bench;
  CLI::App* engines = verb->add_subcommand(
      "engines", "Engines side by side on one model, interleaved (docs/lpu.md)");
  engines->add_option("MODEL", bench.model, "GGUF file")->required()->type_name("");
  engines->add_option("--engines", bench.engines, "Which, separated by commas")
      ->type_name("ENGINE,...")
      ->capture_default_str();
  engines->add_option("--threads", bench.threads, "Threads of each engine")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  engines->add_option("--context", bench.context, "Tokens of a sequence")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(8, 1 << 20));
  engines
      ->add_option("--tokens", bench.tokens,
                   "Tokens of each engine; without, as many as come in about ten seconds")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  engines
      ->add_option("--window", bench.window_us,
                   "Release tokens on a beat of so many microseconds and count those that miss it")
      ->type_name("US")
      ->check(number_in(1, 1e9));
  engines->add_option("--ahead", bench.ahead, "Tokens that may be ready before their beat")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 4));
  engines
      ->add_option("--reference", bench.reference,
                   "Hold the logits of so many tokens against plain F32 arithmetic (slow)")
      ->type_name("TOKENS")
      ->check(CLI::PositiveNumber);
  engines->add_flag("--half-kv", bench.half_kv, "KV caches in F16 in place of F32");
  engines->add_flag("--no-avx512", bench.narrow, "AVX2 at most");
  engines->add_flag("--fifo", bench.fifo, "Under SCHED_FIFO, where that is allowed");
  add_output(engines, bench.json);
  engines->callback([&] { run = [&] { return run_bench_engines(bench, stdout, stderr); }; });

  verb = app.add_subcommand("model", "Make model files");
  verb->require_subcommand(1);
  ModelSynthOptions synth;
  CLI::App* synth_verb = verb->add_subcommand("synth", "A model of random weights, for measuring");
  synth_verb->add_option("OUT", synth.out, "GGUF file to write")->required()->type_name("");
  synth_verb->add_option("--shape", synth.shape, "260k, 110m or 1.1b")
      ->type_name("NAME")
      ->capture_default_str();
  synth_verb->add_option("--format", synth.format, "F32, F16, BF16, Q8_0, Q4_0, Q4_K, ...")
      ->type_name("NAME")
      ->capture_default_str();
  synth_verb->add_option("--family", synth.family, "llama, qwen2, qwen3, qwen3moe or gemma")
      ->type_name("NAME");
  const auto size = [&](const char* flag, std::optional<int>& value) {
    synth_verb->add_option(flag, value, "In place of the shape's")->type_name("N");
  };
  size("--layers", synth.layers);
  size("--width", synth.width);
  size("--heads", synth.heads);
  size("--kv-heads", synth.kv_heads);
  size("--head-size", synth.head_size);
  size("--inner", synth.inner);
  size("--vocabulary", synth.vocabulary);
  size("--context", synth.context);
  synth_verb
      ->add_option("--experts", synth.experts,
                   "Experts of the inner size in each layer (llama, qwen3moe)")
      ->type_name("N");
  synth_verb->add_option("--experts-per-token", synth.experts_per_token, "Of them, chosen ones")
      ->type_name("N")
      ->capture_default_str();
  synth_verb->add_option("--seed", synth.seed, "Seed of the weights")
      ->type_name("N")
      ->capture_default_str();
  synth_verb->callback([&] { run = [&] { return run_model_synth(synth, stdout, stderr); }; });

  verb = app.add_subcommand("perf", "Hold the step models against measurements, fit and show them");
  verb->require_subcommand(1);
  PerfCheckOptions perf_check;
  CLI::App* sub = verb->add_subcommand(
      "check", "Predict measured points by constants fitted without them (docs/perf.md)");
  sub->add_option("POINTS", perf_check.points,
                  "Points: a YAML file with validation_points, or a CSV table of serving runs")
      ->required()
      ->type_name("");
  add_output(sub, perf_check.json);
  sub->add_option("--catalog", perf_check.catalog, "Folder of the catalogue")->type_name("FOLDER");
  sub->callback([&] { run = [&] { return run_perf_check(perf_check, stdout, stderr); }; });

  PerfFitOptions perf_fit;
  sub = verb->add_subcommand("fit", "Fit step constants to measured points");
  reads(sub->add_option("POINTS", perf_fit.points, "Points: a YAML file with validation_points"))
      ->required()
      ->type_name("");
  writes(sub->add_option("--out", perf_fit.out,
                         "Write the constants, for the folder fits/ of a catalogue"))
      ->type_name("FILE");
  sub->add_option("--date", perf_fit.date, "Date of the fit; without, as_of of the points")
      ->type_name("YYYY-MM-DD");
  sub->add_flag("--keep-unidentified", perf_fit.keep_unidentified,
                "Write fits whose points do not identify every constant");
  sub->add_option("--catalog", perf_fit.catalog, "Folder of the catalogue")->type_name("FOLDER");
  sub->callback([&] { run = [&] { return run_perf_fit(perf_fit, stdout, stderr); }; });

  PerfShowOptions perf_show;
  sub = verb->add_subcommand("show", "Show times and joules of a model on a device");
  sub->add_option("MODEL", perf_show.model, "A model of the catalogue")->required()->type_name("");
  sub->add_option("DEVICE", perf_show.device, "An accelerator of the catalogue")
      ->required()
      ->type_name("");
  sub->add_option("--engine", perf_show.engine, "Engine whose constants to use")
      ->type_name("ENGINE");
  sub->add_option("--precision", perf_show.precision, "Number format of the weights")
      ->type_name("FORMAT");
  sub->add_option("--devices", perf_show.devices, "Devices that share the model")
      ->type_name("N")
      ->check(CLI::Range(1, 100000));
  writes(sub->add_option("--svg", perf_show.svg, "Write a picture"))->type_name("FILE");
  add_output(sub, perf_show.json);
  sub->add_option("--catalog", perf_show.catalog, "Folder of the catalogue")->type_name("FOLDER");
  sub->callback([&] { run = [&] { return run_perf_show(perf_show, stdout, stderr); }; });

  PerfScheduleOptions perf_schedule;
  sub = verb->add_subcommand(
      "schedule", "Say how much of published LPU token times compiled schedules explain");
  sub->add_option("POINTS", perf_schedule.points, "Points: a YAML file with group lpu_v1")
      ->required()
      ->type_name("");
  sub->add_option("--target", perf_schedule.target, "Target to compile for (docs/lpu-chips.md)")
      ->type_name("TARGET")
      ->capture_default_str();
  add_output(sub, perf_schedule.json);
  sub->add_option("--catalog", perf_schedule.catalog, "Folder of the catalogue")
      ->type_name("FOLDER");
  sub->callback([&] { run = [&] { return run_perf_schedule(perf_schedule, stdout, stderr); }; });

  PerfMeasureOptions perf_measure;
  sub = verb->add_subcommand("measure",
                             "Measure an OpenAI-compatible endpoint and fit step constants to it");
  sub->add_option("URL", perf_measure.url, "Base URL, as http://127.0.0.1:8080/v1")
      ->required()
      ->type_name("");
  sub->add_option("--model", perf_measure.model, "Model to ask for")
      ->type_name("NAME")
      ->capture_default_str();
  sub->add_option("--key-env", perf_measure.key_env, "Environment variable that holds the API key")
      ->type_name("NAME");
  sub->add_option("--rounds", perf_measure.rounds, "Repeats after the one that warms up")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  sub->add_option("--max-concurrency", perf_measure.max_concurrency, "Most requests at once")
      ->type_name("N")
      ->check(CLI::Range(2, 100000))
      ->capture_default_str();
  sub->add_option("--max-prompt", perf_measure.max_prompt, "Longest prompt, tokens")
      ->type_name("N")
      ->check(CLI::Range(64, 1 << 24))
      ->capture_default_str();
  sub->add_option("--chunk-tokens", perf_measure.chunk_tokens,
                  "Prompt tokens that the engine takes in one step at most")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  sub->add_option("--mixed-load", perf_measure.mixed_load,
                  "Load of the mixed run, as a share of what the endpoint can do")
      ->type_name("SHARE")
      ->check(number_in(0.01, 1.0))
      ->capture_default_str();
  sub->add_flag("--chat", perf_measure.chat, "Ask by chat messages, not by bare prompts");
  sub->add_option("--seed", perf_measure.seed, "Seed of prompts, order and arrivals")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  writes(
      sub->add_option("--out", perf_measure.out, "Write the constants, for a pool's `measured:`"))
      ->type_name("FILE");
  add_output(sub, perf_measure.json);
  sub->callback([&] {
    perf_measure.command = "medley";
    for (int i = 1; i < argc; ++i)
      perf_measure.command += std::string(" ") + argv[i];
    run = [&] { return run_perf_measure(perf_measure, stdout, stderr); };
  });

  CompileVerbOptions compile;
  verb = app.add_subcommand(
      "compile",
      "Compile a model to a static schedule for chips and verify it (docs/lpu-chips.md)");
  reads(verb->add_option("MODEL", compile.model,
                         "A model of the catalogue, a GGUF file or a config.json"))
      ->required()
      ->type_name("");
  reads(
      verb->add_option("--target", compile.target,
                       "A target of the catalogue (groqchip1, lp30, example_chip), a file, or cpu"))
      ->required()
      ->type_name("TARGET");
  verb->add_option("--context", compile.context,
                   "Tokens that each stream may hold; without, the model's, at most 4096")
      ->type_name("N")
      ->check(CLI::Range(1LL, 1LL << 24));
  verb->add_option("--streams", compile.streams, "Streams that SRAM keeps room for")
      ->type_name("N")
      ->check(CLI::Range(0LL, 1LL << 20))
      ->capture_default_str();
  verb->add_option("--chips", compile.chips, "Chips to use; without, as few as hold it")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--group", compile.group,
                   "Chips that share a layer; without, what makes a token fastest")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--precision", compile.precision, "Number format of the weights")
      ->type_name("FORMAT");
  verb->add_option("--kv-precision", compile.kv_precision, "Number format of the KV cache")
      ->type_name("FORMAT");
  verb->add_option("--prompt", compile.prompt, "Length of the prompt to time; without, the context")
      ->type_name("N")
      ->check(CLI::Range(1LL, 1LL << 24));
  verb->add_flag("--measure", compile.measure,
                 "Target cpu: time each operation beside what is predicted");
  writes(verb->add_option("--svg", compile.svg,
                          "Write a picture by stage, unit and cycle; of cpu by operation and time"))
      ->type_name("FILE");
  add_output(verb, compile.json);
  verb->add_option("--catalog", compile.catalog, "Folder of the catalogue")->type_name("FOLDER");
  verb->callback([&] { run = [&] { return run_compile(compile, stdout, stderr); }; });

  verb = app.add_subcommand("man", "Print the manual page (roff) to standard output");
  verb->callback([&] { run = [&] { return print_man_page(app, stdout); }; });

  // A misspelt verb gets the nearest one.
  std::vector<std::string> verbs;
  for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; })) {
    verbs.push_back(known->get_name());
  }
  if (argc > 1 && argv[1][0] != '-' &&
      std::find(verbs.begin(), verbs.end(), argv[1]) == verbs.end()) {
    std::fprintf(stderr, "medley: no verb '%s'%s\n", printable(argv[1]).c_str(),
                 medley::suggestion(argv[1], verbs).c_str());
    return 2;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has codes of its own for each mistake; ours is one.
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto given = [](const std::vector<const CLI::Option*>& options) {
    std::vector<NamedFile> files;
    for (const CLI::Option* option : options) {
      if (option->count() > 0)
        files.push_back({option->get_name(), option->as<std::string>()});
    }
    return files;
  };
  if (const medley::Status apart = check_apart(given(read), given(written)); !apart.ok()) {
    std::fprintf(stderr, "medley: %s\n", printable(apart.error().message).c_str());
    return 2;
  }
  // A full disk behind standard output is an error like any other.
  const auto incomplete = [](const char* why) {
    std::fprintf(stderr, "medley: standard output is incomplete: %s\n", why);
    return 1;
  };
  int status = 0;
  try {
    status = run();
  } catch (const std::system_error& error) {  // fmt::print
    return incomplete(error.code().message().c_str());
  } catch (const std::bad_alloc&) {
    std::fputs("medley: out of memory\n", stderr);
    return 1;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return incomplete(std::strerror(errno));
  return status;
}
