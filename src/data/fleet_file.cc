#include "data/fleet_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>
#include <span>

#include "base/nearest.h"
#include "data/file.h"
#include "data/measured_file.h"
#include "data/model_facts.h"

namespace medley::data {
namespace {

constexpr long long kMaxReplicas = 100'000;
constexpr long long kMaxTokens = 1LL << 40;
// Each takes 16 bytes of ours in every replica where blocks are told apart.
constexpr long long kMostBlocksToReuse = 1LL << 24;
// Each is looked at where several wait for the same replicas.
constexpr std::size_t kMostTenants = 64;
constexpr std::string_view kThisMachine = "this_machine";
constexpr std::string_view kMetered = "metered";
constexpr std::string_view kTableModel = "default";

const std::vector<std::string> kBatchingNames = {"chunked_prefill", "prefill_first", "token_budget",
                                                 "mixed"};
const std::vector<std::string> kEngineNames = {"emulated", "llama_embedded", "openai_http",
                                               "static_schedule"};
const std::vector<std::string> kMetricsNames = {"none",         "vllm", "sglang",
                                                "tensorrt_llm", "tgi",  "llama_cpp"};
const std::vector<std::string> kTableNames = {"vidur_tables", "splitwise_perf_model",
                                              "vllm_layer_profile"};
const std::vector<std::string> kScheduleNames = {"compiled", "published"};
const std::vector<std::string> kClassNames = {"guaranteed", "standard", "flex", "batch"};

void close(Fields& parent, Fields& child) {
  Status status = child.finish();
  if (!status.ok())
    parent.fail(std::move(status).error());
}

Result<Site> read_site(const Node& node) {
  Fields fields(node);
  Site site;
  site.zone = fields.text("zone", site.zone);
  if (const auto child = fields.child("jurisdiction")) {
    fields.take(site.jurisdiction, read_jurisdiction(*child));
  }
  if (const auto tariff = fields.child("tariff")) {
    if (tariff->is_map()) {
      Fields parts(*tariff);
      site.currency = parts.text("currency", site.currency);
      if (!is_currency(site.currency))
        parts.fail(parts.child("currency")
                       ->error(fmt::format(
                           "expected the three capitals of a currency, as EUR or USD, got '{}'",
                           site.currency)));
      if (const auto price = parts.required("per_kwh"))
        parts.take(site.tariff_per_kwh, read_hours(*price, kEnergyPrice));
      close(fields, parts);
    } else {
      fields.take(site.tariff_per_kwh, read_hours(*tariff, kEnergyPrice));
    }
  }
  site.pue = fields.number("pue", site.pue, kPue);
  if (const auto limit = fields.child("power_limit_kw"))
    fields.take(site.power_limit_kw, read_hours(*limit, kPositive));
  if (const auto carbon = fields.child("carbon_g_per_kwh"))
    fields.take(site.carbon_g_per_kwh, read_hours(*carbon, kCarbon));
  MEDLEY_TRY_STATUS(fields.finish());
  return site;
}

// A target: a duration, `none` to take the default away, or absent to keep it.
void read_target(Fields& fields, std::string_view key, std::optional<Duration>& target) {
  const auto node = fields.child(key);
  if (!node)
    return;
  if (const auto word = node->text(); word.ok() && *word == "none") {
    target.reset();
    return;
  }
  double seconds = 0;
  fields.take(seconds, node->seconds(kPositive));
  target = round_to_duration(Seconds(seconds));
}

// Of a kept promise, in any currency. Beyond these it is a slip of a key, and sums over millions of
// requests and many seeds lose their digits.
constexpr Bounds kClassValue{.min = 1e-9, .max = 1e6};

Status read_class(const Node& node, ClassPolicy& policy) {
  Fields fields(node);
  read_target(fields, "ttft_s", policy.targets.ttft);
  read_target(fields, "tpot_s", policy.targets.tpot);
  read_target(fields, "deadline_s", policy.targets.deadline);
  policy.value = Money(fields.number("value", policy.value.value(), kClassValue));
  return fields.finish();
}

Status read_classes(const Node& node, Fleet& fleet) {
  Fields fields(node);
  for (const ServiceClass service_class : kServiceClasses) {
    const auto child = fields.child(name_of(service_class));
    if (!child)
      continue;
    Status status = read_class(*child, fleet.classes[index_of(service_class)]);
    if (!status.ok())
      fields.fail(std::move(status).error());
  }
  return fields.finish();
}

Result<std::vector<Label>> read_labels(const Node& node) {
  std::vector<Label> labels;
  MEDLEY_TRY(const auto entries, node.entries());
  if (entries.empty())
    return node.error("expected at least one label");
  for (const auto& [name, value] : entries) {
    Label label{name, false, {}};
    Fields fields(value);
    if (const auto zones = fields.required("zones")) {
      if (zones->is_list()) {
        fields.take(label.zones, zones->texts());
      } else if (const auto word = zones->text(); word.ok() && *word == "any") {
        label.any_zone = true;
      } else {
        fields.fail(zones->error("expected a list of zones, or any"));
      }
    }
    MEDLEY_TRY_STATUS(fields.finish());
    labels.push_back(std::move(label));
  }
  return labels;
}

// The default tenant first, whether it is named or not.
Result<std::vector<Tenant>> read_tenants(const Node& node) {
  std::vector<Tenant> tenants{{std::string(kDefaultTenant)}};
  MEDLEY_TRY(const auto entries, node.entries());
  for (const auto& [name, value] : entries) {
    Tenant tenant{name};
    if (!value.is_null()) {
      Fields fields(value);
      tenant.weight = fields.number("weight", 1, {.max = 1e6, .above_min = true});
      MEDLEY_TRY_STATUS(fields.finish());
    }
    if (name == kDefaultTenant)
      tenants.front() = std::move(tenant);
    else
      tenants.push_back(std::move(tenant));
  }
  if (tenants.size() > kMostTenants)
    return node.error(fmt::format("expected at most {} tenants, '{}' among them, got {}",
                                  kMostTenants, kDefaultTenant, tenants.size()));
  return tenants;
}

// "${env:X}" and "${file:PATH}" stand for what they name; anything else for itself.
Result<std::string> read_secret(const Node& node, const FleetOptions& options) {
  MEDLEY_TRY(const std::string text, node.text());
  if (!text.starts_with("${"))
    return options.resolve_secrets ? text : std::string();
  const std::string_view inner = std::string_view(text).substr(2, text.size() - 3);
  const std::size_t colon = inner.find(':');
  const std::string kind(inner.substr(0, colon));
  if (!text.ends_with('}') || colon == std::string_view::npos ||
      (kind != "env" && kind != "file")) {
    return node.error("expected ${env:NAME} or ${file:PATH}");
  }
  const std::string name(inner.substr(colon + 1));
  if (name.empty())
    return node.error("expected ${env:NAME} or ${file:PATH}");
  if (!options.resolve_secrets)
    return std::string();
  if (kind == "env") {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr)
      return node.error(fmt::format("environment variable '{}' is not set", name));
    return std::string(value);
  }
  auto content = read_file(node.resolve(name), 64 << 10);
  if (!content.ok())
    return node.error(content.error().message);
  std::string secret = std::move(content).value();
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r'))
    secret.pop_back();
  if (secret.empty())
    return node.error(fmt::format("{} is empty", node.resolve(name)));
  return secret;
}

// A shorter window costs more to announce than to compute; a longer one is no pace to read at.
constexpr double kLeastTokenWindow_s = 100e-6, kMostTokenWindow_s = 10;

// Engines of this process, which read a model file themselves.
bool computes_here(EngineType type) {
  return type == EngineType::kLlamaEmbedded || type == EngineType::kStaticSchedule;
}

const std::vector<std::string> kCacheNames = {"f16", "f32"};

Result<EngineSpec> read_engine(const Node& node, const FleetOptions& options, EngineSpec engine) {
  if (node.is_scalar()) {
    MEDLEY_TRY(const std::size_t type, node.choice(kEngineNames));
    engine.type = static_cast<EngineType>(type);
    if (engine.type == EngineType::kOpenaiHttp)
      return node.error("openai_http needs a map with its urls");
    return engine;
  }
  Fields fields(node);
  const auto type = fields.required_choice("type", kEngineNames);
  engine.type = static_cast<EngineType>(type.value_or(0));
  const bool http = engine.type == EngineType::kOpenaiHttp;
  const bool own = computes_here(engine.type);
  const auto only_for = [&](std::string_view key, bool allowed, std::string_view owner) {
    const auto child = fields.child(key);
    if (child && !allowed && type)
      fields.fail(child->key_error(fmt::format("only for engines of type {}", owner)));
    return child && allowed ? child : std::nullopt;
  };
  if (const auto urls = only_for("urls", http, "openai_http")) {
    const auto nodes = urls->items();
    if (!nodes.ok())
      fields.fail(nodes.error());
    for (std::size_t i = 0; nodes.ok() && i < nodes->size(); ++i) {
      std::string url;
      fields.take(url, (*nodes)[i].text());
      const std::size_t scheme = url.starts_with("http://")    ? 7
                                 : url.starts_with("https://") ? 8
                                                               : 0;
      if (scheme == 0 || url.size() == scheme) {
        fields.fail((*nodes)[i].error(
            fmt::format("expected an http:// or https:// address, got '{}'", url)));
      }
      while (url.ends_with('/'))
        url.pop_back();
      engine.urls.push_back(std::move(url));
    }
    if (nodes.ok() && nodes->empty())
      fields.fail(urls->error("expected at least one url"));
  } else if (http) {
    fields.required("urls");
  }
  if (const auto key = only_for("key", http, "openai_http"))
    fields.take(engine.key, read_secret(*key, options));
  if (const auto name = only_for("upstream_model", http, "openai_http")) {
    fields.take(engine.upstream_model, name->text());
  }
  if (const auto metrics = only_for("metrics", http, "openai_http")) {
    std::size_t place = 0;
    fields.take(place, metrics->choice(kMetricsNames));
    if (place > 0)
      engine.metrics = kMetricsNames[place];
  }
  if (const auto threads = only_for("threads", own, "llama_embedded or static_schedule")) {
    long long count = 1;
    fields.take(count, threads->whole({1, 1024}));
    engine.threads = static_cast<int>(count);
  }
  const bool scheduled = engine.type == EngineType::kStaticSchedule;
  if (const auto window = only_for("token_window", scheduled, "static_schedule")) {
    double seconds = 0;
    fields.take(seconds, window->seconds({.min = kLeastTokenWindow_s, .max = kMostTokenWindow_s}));
    engine.token_window_s = seconds;
  }
  if (const auto ahead = only_for("run_ahead", scheduled, "static_schedule")) {
    long long windows = 1;
    fields.take(windows, ahead->whole({1, 64}));
    engine.run_ahead = static_cast<int>(windows);
  }
  if (const auto cores = only_for("cores", scheduled, "static_schedule")) {
    const auto nodes = cores->items();
    if (!nodes.ok())
      fields.fail(nodes.error());
    for (std::size_t i = 0; nodes.ok() && i < nodes->size(); ++i) {
      long long core = 0;
      fields.take(core, (*nodes)[i].whole({0, 4095}));
      engine.cores.push_back(static_cast<int>(core));
    }
    if (nodes.ok() && engine.cores.size() != static_cast<std::size_t>(engine.threads)) {
      fields.fail(cores->error(
          fmt::format("expected {} of them, one a thread, got {}", engine.threads, nodes->size())));
    }
  }
  if (const auto prefill = only_for("prefill", scheduled, "static_schedule")) {
    Fields parts(*prefill);
    engine.prefill = PrefillSpec{
        .from_tokens = parts.required_whole("from_tokens", {2, kMaxTokens}),
        .threads = static_cast<int>(parts.whole("threads", 1, {1, 1024})),
    };
    close(fields, parts);
  }
  if (const auto cache =
          only_for("kv_cache", engine.type == EngineType::kLlamaEmbedded, "llama_embedded")) {
    std::size_t place = 0;
    fields.take(place, cache->choice(kCacheNames));
    engine.full_kv = place > 0;
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return engine;
}

// The batching keys, wherever they stand: inside `batching` or beside it.
void read_batching_keys(Fields& fields, Batching& batching) {
  batching.chunk_tokens = fields.whole("chunk_tokens", batching.chunk_tokens, {1, kMaxTokens});
  batching.max_batched_tokens =
      fields.whole("max_batched_tokens", batching.max_batched_tokens, {1, kMaxTokens});
  batching.max_running =
      static_cast<int>(fields.whole("max_running", batching.max_running, {1, 1 << 30}));
  batching.kv_blocks = fields.whole("kv_blocks", Whole{1, kMaxTokens});
  batching.block_tokens = fields.whole("block_tokens", batching.block_tokens, {1, 1 << 20});
  batching.watermark = fields.number("watermark", batching.watermark, {.max = 0.99});
  batching.reuse_blocks = fields.flag("reuse_blocks", batching.reuse_blocks);
  batching.prefix_caching = fields.flag("prefix_caching", batching.prefix_caching);
  const bool one_by_one =
      batching.kind == BatchingKind::kChunkedPrefill || batching.kind == BatchingKind::kTokenBudget;
  if (batching.prefix_caching && (!one_by_one || batching.reuse_blocks)) {
    fields.fail(fields.child("prefix_caching")
                    ->error(one_by_one ? "expected no reuse_blocks beside it, which it includes"
                                       : fmt::format("expected chunked_prefill or token_budget, "
                                                     "not {}",
                                                     name_of(batching.kind))));
  }
  if (batching.reuse_blocks && batching.kv_blocks > kMostBlocksToReuse) {
    fields.fail(fields.child("kv_blocks")
                    ->error(fmt::format("expected at most {} where reuse_blocks tells them apart",
                                        kMostBlocksToReuse)));
  }
}

// Why it could only be ignored there; empty where it can be.
std::string_view why_no_prefix_caching(const Pool& pool) {
  if (pool.engine.type == EngineType::kLlamaEmbedded)
    return "engine llama_embedded computes all of every prompt";
  if (pool.engine.type == EngineType::kStaticSchedule)
    return "engine static_schedule computes all of every prompt";
  if (pool.metered)
    return "a rented service's time to first token and price are those of 'metered', whatever it "
           "caches";
  if (!pool.table && pool.statically_scheduled())
    return "a statically scheduled device passes every prompt through its lane whole";
  return "";
}

void read_batching(Fields& pool, Batching& batching) {
  static const std::vector<std::string> beside = {
      "chunk_tokens", "max_batched_tokens", "max_running",  "kv_blocks",
      "block_tokens", "watermark",          "reuse_blocks", "prefix_caching"};
  const auto node = pool.child("batching");
  const auto kind = [&](std::optional<std::size_t> place) {
    if (place)
      batching.kind = static_cast<BatchingKind>(*place);
  };
  if (!node || !node->is_map()) {
    kind(pool.choice("batching", kBatchingNames));
    read_batching_keys(pool, batching);
    return;
  }
  Fields fields(*node);
  kind(fields.required_choice("kind", kBatchingNames));
  read_batching_keys(fields, batching);
  close(pool, fields);
  for (const std::string& key : beside) {
    if (const auto stray = pool.child(key)) {
      pool.fail(stray->key_error("belongs inside batching, which is a map here"));
    }
  }
}

Result<StepTable> read_table(const Node& node) {
  Fields fields(node);
  StepTable table;
  const auto format = fields.required_choice("format", kTableNames);
  if (format)
    table.format = kTableNames[*format];
  if (const auto path = fields.required("path")) {
    const auto text = path->text();
    if (text.ok()) {
      table.path = node.resolve(*text);
    } else {
      fields.fail(text.error());
    }
  }
  const bool splitwise = table.format == "splitwise_perf_model";
  table.layers = static_cast<int>(fields.whole("layers", 0, {1, 100'000}));
  table.model = fields.text("model");
  table.hardware = fields.text("hardware");
  table.tensor_parallel = static_cast<int>(fields.whole("tensor_parallel", 0, {1, 1 << 20}));
  const bool vllm = table.format == "vllm_layer_profile";
  const auto only_for = [&](std::string_view key, bool allowed, std::string_view owners) {
    const auto stray = fields.child(key);
    if (stray && !allowed && format)
      fields.fail(stray->key_error(fmt::format("only for {}", owners)));
  };
  for (const char* key : {"model", "hardware", "tensor_parallel"}) {
    if (splitwise)
      fields.required(key);
    only_for(key, splitwise, "splitwise_perf_model");
  }
  if (format && !splitwise)
    fields.required("layers");
  only_for("layers", !splitwise, "vidur_tables and vllm_layer_profile");
  only_for("all_reduce", vllm, "vllm_layer_profile");
  if (const auto child = fields.child("all_reduce")) {
    Fields parts(*child);
    StepTable::AllReduce all_reduce;
    all_reduce.ranks = static_cast<int>(parts.required_whole("ranks", {1, 1 << 20}));
    all_reduce.bytes_per_token = parts.required_number("bytes_per_token");
    all_reduce.bandwidth_gb_per_s = parts.required_number("bandwidth_GBps", kPositive);
    all_reduce.latency_us = parts.number("latency_us", 0);
    close(fields, parts);
    table.all_reduce = all_reduce;
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return table;
}

void read_labels_and_default(Fields& fields, Fleet& fleet) {
  if (const auto labels = fields.child("labels")) {
    fields.take(fleet.labels, read_labels(*labels));
  } else {
    fleet.labels = {Label{"internal", false, {fleet.site.zone}}};
  }
  const auto node = fields.child("default_label");
  if (fields.failed())
    return;
  std::vector<std::string> names;
  for (const Label& label : fleet.labels)
    names.push_back(label.name);
  if (node) {
    std::size_t place = 0;
    fields.take(place, node->choice(names));
    fleet.default_label = LabelId(place);
    return;
  }
  const auto internal = std::find(names.begin(), names.end(), "internal");
  if (internal != names.end()) {
    fleet.default_label = LabelId(static_cast<std::uint64_t>(internal - names.begin()));
  } else if (names.size() > 1) {
    fields.required("default_label");
  }
}

// Fills a Fleet from the keys of one map.
class FleetReader {
 public:
  FleetReader(Fields& fields, const Catalog& catalog, const FleetOptions& options, Fleet& fleet)
      : fields_(fields), catalog_(catalog), options_(options), fleet_(fleet) {}

  void read() {
    read_frame_keys(fields_, fleet_);
    if (const auto tenants = fields_.child("tenants"))
      fields_.take(fleet_.tenants, read_tenants(*tenants));
    read_pools();
    read_placement();
    const auto accept = fields_.child("accept");
    if (fields_.failed())
      return;  // what follows relies on the pools
    if (accept)
      check(read_accept(*accept));
    offer_every_model();
  }

 private:
  void check(Status status) {
    if (!status.ok())
      fields_.fail(std::move(status).error());
  }

  void read_placement() {
    const bool tables = std::any_of(fleet_.pools.begin(), fleet_.pools.end(),
                                    [](const Pool& pool) { return pool.table.has_value(); });
    if (const auto named = read_placement_policy(fields_))
      fleet_.placement = *named;
    else if (tables)
      fleet_.placement = PlacementKind::kRoundRobin;
    if (tables && !counts_only(fleet_.placement.kind)) {
      fields_.fail(fields_.child("placement")
                       ->error("pools with step_times are placed by round_robin, least_queued, "
                               "least_outstanding or "
                               "least_pending_tokens"));
    }
  }

  void read_pools() {
    const auto list = fields_.required("pools");
    if (!list)
      return;
    const auto nodes = list->items();
    if (!nodes.ok()) {
      fields_.fail(nodes.error());
      return;
    }
    if (nodes->empty())
      fields_.fail(list->error("expected at least one pool"));
    std::set<std::string> names;
    long long replicas = 0;
    for (const Node& node : *nodes) {
      auto pool = read_pool(node);
      if (!pool.ok()) {
        fields_.fail(std::move(pool).error());
        return;
      }
      if (!names.insert(pool->name).second) {
        fields_.fail(node.find("name")->error(
            fmt::format("the name '{}' is taken by an earlier pool", pool->name)));
      }
      replicas += pool->replicas;
      if (replicas > kMaxReplicas) {
        fields_.fail(node.error(fmt::format("more than {} replicas in all", kMaxReplicas)));
      }
      fleet_.pools.push_back(std::move(pool).value());
    }
  }

  Result<Pool> read_pool(const Node& node) {
    Fields fields(node);
    Pool pool;
    pool.name = fields.required_text("name");
    if (const auto table = fields.child("step_times"))
      fields.take(pool.table, read_table(*table));
    read_device(fields, pool);
    read_model(fields, pool);
    pool.tensor_parallel = static_cast<int>(fields.whole("tensor_parallel", 1, {1, 1 << 16}));
    const auto chips = fields.whole("chips", Whole{1, 1 << 24});
    if (chips)
      pool.chips = static_cast<int>(*chips);
    if (const auto slots = fields.whole("slots", Whole{1, 1 << 24}))
      pool.slots = static_cast<int>(*slots);
    pool.max_context = fields.whole("max_context", Whole{2, kMaxTokens});
    pool.prefill_tokens_per_s =
        fields.number("prefill_tokens_per_s", Bounds{.max = 1e9, .above_min = true});
    if (const auto law = fields.choice("schedule", kScheduleNames))
      pool.schedule_law = *law == 0 ? ScheduleLaw::kCompiled : ScheduleLaw::kPublished;
    pool.shared = fields.flag("shared", pool.shared);
    read_place(fields, pool);
    read_measured_speed(fields, pool);
    read_batching(fields, pool.batching);
    if (pool.table && !pool.batching.kv_blocks) {
      fields.fail(fields.node().error("missing key 'kv_blocks', which step_times needs"));
    }
    const bool metered = pool.device == kMetered;
    if (pool.shared && (metered || pool.table)) {
      fields.fail(fields.child("shared")->error(
          metered ? "expected false: a rented service has others anyway, within its 'metered' law"
                  : "expected false: there is no step model to tell what others' work does"));
    }
    if (const auto child = fields.child("metered")) {
      if (metered) {
        fields.take(pool.metered, read_metered(*child));
      } else {
        fields.fail(child->key_error("only for pools with device: metered"));
      }
    } else if (metered) {
      fields.required("metered");
    }
    if (pool.device == kThisMachine)
      pool.engine.type = EngineType::kLlamaEmbedded;
    if (const auto engine = fields.child("engine")) {
      fields.take(pool.engine, read_engine(*engine, options_, pool.engine));
    }
    read_replicas(fields, pool);
    MEDLEY_TRY_STATUS(fields.finish());
    resolve_constants(pool);
    if (const std::string_view why = why_no_prefix_caching(pool);
        pool.batching.prefix_caching && !why.empty()) {
      const auto batching = node.find("batching");
      return (batching && batching->is_map() ? *batching : node)
          .find("prefix_caching")
          ->error(fmt::format("expected false: {}", why));
    }
    if (computes_here(pool.engine.type) && pool.model_path.empty()) {
      return node.error(fmt::format("engine {} needs a GGUF file as model, got '{}'",
                                    name_of(pool.engine.type), pool.model.id));
    }
    if (pool.engine.type == EngineType::kStaticSchedule && pool.device != kThisMachine) {
      return node.find("device")->error(
          fmt::format("engine static_schedule computes on {}", kThisMachine));
    }
    if (pool.engine.type == EngineType::kStaticSchedule && pool.measured) {
      return node.find("measured")
          ->key_error("not for engine static_schedule, whose schedule is its own");
    }
    if (pool.engine.type == EngineType::kOpenaiHttp && pool.engine.upstream_model.empty()) {
      pool.engine.upstream_model = pool.model.id;
    }
    const bool of_chips = !pool.table && pool.accelerator && pool.statically_scheduled();
    if (pool.prefill_tokens_per_s && !of_chips) {
      return node.find("prefill_tokens_per_s")
          ->key_error("only for pools of statically scheduled devices, which have such a lane");
    }
    if (pool.schedule_law != ScheduleLaw::kAny && !of_chips) {
      return node.find("schedule")->key_error("only for pools of statically scheduled devices");
    }
    if (pool.schedule_law == ScheduleLaw::kCompiled && pool.prefill_tokens_per_s) {
      return node.find("prefill_tokens_per_s")
          ->key_error("not with schedule: compiled, whose prompts have a rate of their own");
    }
    return pool;
  }

  void read_device(Fields& fields, Pool& pool) {
    const auto node = pool.table ? fields.child("device") : fields.required("device");
    if (!node)
      return;
    std::string device;
    fields.take(device, node->text());
    if (device.empty())
      return;
    pool.device = device;
    if (device == kThisMachine || device == kMetered)
      return;
    auto accelerator = catalog_.accelerator(device);
    if (accelerator.ok()) {
      pool.device = accelerator->id;
      if (!pool.table)
        pool.accelerator = std::move(accelerator).value();
    } else if (!pool.table) {
      fields.fail(node->error(accelerator.error().message, ErrorCode::kNotFound));
    }
  }

  void read_model(Fields& fields, Pool& pool) {
    const auto node = pool.table ? fields.child("model") : fields.required("model");
    std::string reference;
    if (node)
      fields.take(reference, node->text());
    if (pool.table) {  // a table says how fast it is: facts are welcome, not needed
      pool.model.id = reference.empty() ? std::string(kTableModel) : reference;
      if (!reference.empty() && catalog_.has_model(reference))
        pool.model = *catalog_.model(reference);
    } else if (!reference.empty()) {
      auto facts = model_facts(reference, catalog_, node->folder());
      if (facts.ok()) {
        pool.model = std::move(facts->model);
        pool.model_path = std::move(facts->gguf_path);
      } else {
        fields.fail(node->error(facts.error().message, facts.error().code));
      }
    }
    pool.precision = pool.model.native_precision.value_or(Precision::kBf16);
    const auto precision = fields.child("precision");
    if (!precision)
      return;
    std::string name;
    fields.take(name, precision->text());
    const auto format = catalog_.number_format(name);
    if (!format.ok()) {
      std::vector<std::string> names;
      for (const NumberFormat& known : catalog_.number_formats())
        names.push_back(known.id);
      fields.fail(
          precision->error(fmt::format("unknown value '{}'{}", name, suggestion(name, names))));
      return;
    }
    pool.precision = format->precision;
    const double bytes = format->weight_bytes_per_parameter;
    if (!pool.model.weight_bytes && bytes != bytes_per_number(pool.precision)) {
      pool.model.weight_bytes = Bytes(pool.model.parameters * bytes);  // block scales, odd formats
    }
  }

  // What `medley perf measure` saw of it, in place of constants of the catalogue.
  void read_measured_speed(Fields& fields, Pool& pool) {
    const auto node = fields.child("measured");
    if (!node)
      return;
    const bool scheduled = pool.accelerator && pool.accelerator->kind == AcceleratorKind::kLpu;
    if (pool.table || pool.device == kMetered || scheduled) {
      fields.fail(node->key_error("only for pools of batching devices, or of this_machine"));
      return;
    }
    std::string path;
    fields.take(path, node->text());
    if (fields.failed())
      return;
    auto measured = read_measured(node->resolve(path));
    if (!measured.ok()) {
      fields.fail(node->error(measured.error().message, measured.error().code));
      return;
    }
    pool.measured = measured->constants;
    if (measured->limit_seen && measured->most_running > 0)
      pool.batching.max_running = measured->most_running;
    if (measured->chunk_tokens > 0)
      pool.batching.chunk_tokens = measured->chunk_tokens;
  }

  void read_place(Fields& fields, Pool& pool) {
    pool.zone = fields.text("zone", fleet_.site.zone);
    if (const auto node = fields.child("jurisdiction")) {
      fields.take(pool.jurisdiction, read_jurisdiction(*node));
    } else if (pool.zone == fleet_.site.zone) {
      pool.jurisdiction = fleet_.site.jurisdiction;
    }
  }

  // One url a replica; a single url for several is a load balancer before them.
  static void read_replicas(Fields& fields, Pool& pool) {
    const auto given = fields.whole("replicas", Whole{1, kMaxReplicas});
    const std::size_t urls = pool.engine.urls.size();
    if (given)
      pool.replicas = static_cast<int>(*given);
    if (urls == 0)
      return;
    if (!given)
      pool.replicas = static_cast<int>(urls);
    if (urls == 1) {
      pool.engine.urls.resize(static_cast<std::size_t>(pool.replicas),
                              std::string(pool.engine.urls.front()));
    } else if (pool.replicas != static_cast<int>(urls)) {
      fields.fail(
          fields.child("replicas")
              ->error(fmt::format("expected {}, one for each url, got '{}'", urls, pool.replicas)));
    }
  }

  void resolve_constants(Pool& pool) {
    if (pool.table || pool.device == kMetered)
      return;
    Accelerator accelerator;
    if (pool.accelerator) {
      accelerator = *pool.accelerator;
    } else {
      accelerator.id = kThisMachine;
      accelerator.kind = AcceleratorKind::kCpu;
    }
    const std::string engine = computes_here(pool.engine.type) ? "llama_cpp" : pool.engine.metrics;
    pool.constants = catalog_.constants_for(accelerator, engine, pool.precision);
  }

  // Pools whose model goes by that name: as an id or alias of it.
  std::vector<PoolId> pools_serving(const std::string& name) const {
    std::string id = name;
    if (catalog_.has_model(name))
      id = catalog_.model(name)->id;
    std::vector<PoolId> pools;
    for (std::size_t pool = 0; pool < fleet_.pools.size(); ++pool) {
      const std::string& served = fleet_.pools[pool].model.id;
      if (served == id || served == name)
        pools.emplace_back(pool);
    }
    return pools;
  }

  Status read_accept(const Node& node) {
    std::vector<std::string> served;
    for (const Pool& pool : fleet_.pools)
      served.push_back(pool.model.id);
    MEDLEY_TRY(const auto entries, node.entries());
    for (const auto& [name, value] : entries) {
      Offer offer;
      offer.name = name;
      const auto fill = [&](const Node& list, std::vector<PoolId>& pools) -> Status {
        MEDLEY_TRY(const std::vector<Node> models, list.items());
        for (const Node& model : models) {
          MEDLEY_TRY(const std::string wanted, model.text());
          const std::vector<PoolId> serving = pools_serving(wanted);
          // A known model that nobody runs yet is fine: the file may list what a plan will add.
          if (serving.empty() && !catalog_.has_model(wanted)) {
            return model.error(
                fmt::format("no pool serves '{}'{}", wanted, suggestion(wanted, served)));
          }
          for (const PoolId pool : serving) {
            if (std::find(pools.begin(), pools.end(), pool) == pools.end())
              pools.push_back(pool);
          }
        }
        return Done{};
      };
      if (value.is_list()) {  // one list for all classes
        for (auto& pools : offer.pools)
          MEDLEY_TRY_STATUS(fill(value, pools));
      } else {
        Fields fields(value);
        for (const ServiceClass service_class : kServiceClasses) {
          const auto list = fields.child(name_of(service_class));
          if (!list)
            continue;
          Status status = fill(*list, offer.pools[index_of(service_class)]);
          if (!status.ok())
            fields.fail(std::move(status).error());
        }
        MEDLEY_TRY_STATUS(fields.finish());
      }
      fleet_.offers.push_back(std::move(offer));
    }
    return Done{};
  }

  // A model's own name reaches the pools that run it, for every class; `accept` may have said
  // otherwise.
  void offer_every_model() {
    for (const Pool& pool : fleet_.pools) {
      const bool known =
          std::any_of(fleet_.offers.begin(), fleet_.offers.end(),
                      [&](const Offer& offer) { return offer.name == pool.model.id; });
      if (known)
        continue;
      Offer offer;
      offer.name = pool.model.id;
      offer.pools.fill(pools_serving(pool.model.id));
      fleet_.offers.push_back(std::move(offer));
    }
  }

  Fields& fields_;
  const Catalog& catalog_;
  const FleetOptions& options_;
  Fleet& fleet_;
};

template <typename Id, typename T>
Result<Id> place_named(const std::vector<T>& all, std::string_view noun, const std::string& name) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name == name)
      return Id(i);
    names.push_back(all[i].name);
  }
  return Error{ErrorCode::kNotFound,
               fmt::format("no {} '{}' in the fleet{}", noun, name, suggestion(name, names)),
               {}};
}

}  // namespace

bool is_currency(std::string_view text) {
  return text.size() == 3 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

Result<Jurisdiction> read_jurisdiction(const Node& node) {
  Fields fields(node);
  Jurisdiction jurisdiction;
  jurisdiction.place = fields.text("place");
  jurisdiction.operated_by = fields.text("operator");
  MEDLEY_TRY_STATUS(fields.finish());
  return jurisdiction;
}

Result<std::array<double, 24>> read_hours(const Node& node, const Bounds& bounds) {
  std::array<double, 24> hours{};
  if (!node.is_list()) {
    MEDLEY_TRY(const double all, node.number(bounds));
    hours.fill(all);
    return hours;
  }
  MEDLEY_TRY(const std::vector<Node> nodes, node.items());
  if (nodes.size() != hours.size()) {
    return node.error(
        fmt::format("expected one number, or 24 for the hours of the day, got {}", nodes.size()));
  }
  for (std::size_t hour = 0; hour < hours.size(); ++hour) {
    MEDLEY_TRY(hours[hour], nodes[hour].number(bounds));
  }
  return hours;
}

Result<Metered> read_metered(const Node& node) {
  Fields fields(node);
  Metered metered;
  metered.per_million_prompt = fields.required_number("per_million_prompt");
  metered.per_million_output = fields.required_number("per_million_output");
  metered.tokens_per_minute = fields.whole("tokens_per_minute", Whole{1, kMaxTokens});
  metered.requests_per_day = fields.whole("requests_per_day", Whole{1, kMaxTokens});
  if (const auto ttft = fields.child("ttft_s")) {
    if (ttft->is_map()) {
      Fields law(*ttft);
      metered.ttft_median_s = law.seconds("median", metered.ttft_median_s, kPositive);
      metered.ttft_sigma = law.number("sigma", metered.ttft_sigma, {.max = 5});
      close(fields, law);
    } else {
      metered.ttft_sigma = 0;
      fields.take(metered.ttft_median_s, ttft->seconds(kPositive));
    }
  }
  metered.tpot_s = fields.seconds("tpot_s", metered.tpot_s, kPositive);
  MEDLEY_TRY_STATUS(fields.finish());
  return metered;
}

void read_frame_keys(Fields& fields, Fleet& fleet) {
  if (const auto site = fields.child("site"))
    fields.take(fleet.site, read_site(*site));
  if (const auto classes = fields.child("classes")) {
    Status status = read_classes(*classes, fleet);
    if (!status.ok())
      fields.fail(std::move(status).error());
  }
  read_labels_and_default(fields, fleet);
}

void read_fleet_keys(Fields& fields, const Catalog& catalog, const FleetOptions& options,
                     Fleet& fleet) {
  FleetReader(fields, catalog, options, fleet).read();
}

Result<Fleet> read_fleet(const Node& node, const Catalog& catalog, const FleetOptions& options) {
  Fields fields(node);
  Fleet fleet;
  read_fleet_keys(fields, catalog, options, fleet);
  MEDLEY_TRY_STATUS(fields.finish());
  return fleet;
}

std::optional<PlacementPolicy> read_placement_policy(Fields& fields) {
  const auto node = fields.child("placement");
  if (!node)
    return std::nullopt;
  std::string name;
  fields.take(name, node->text());
  if (fields.failed())
    return std::nullopt;
  const auto policy = placement_named(name);
  if (!policy)
    fields.fail(node->choice(placement_names()).error());
  return policy;
}

Result<Fleet> read_fleet(const std::string& path, const Catalog& catalog,
                         const FleetOptions& options) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  return read_fleet(node, catalog, options);
}

Result<OfferId> offer_named(const Fleet& fleet, const std::string& name) {
  auto offer = place_named<OfferId>(fleet.offers, "model", name);
  if (offer.ok())
    return offer;
  // An alias of a pool's model, where no offer goes by that name.
  for (const Pool& pool : fleet.pools) {
    const auto& aliases = pool.model.aliases;
    if (std::find(aliases.begin(), aliases.end(), name) == aliases.end())
      continue;
    return place_named<OfferId>(fleet.offers, "model", pool.model.id);
  }
  return offer;
}

Result<LabelId> label_named(const Fleet& fleet, const std::string& name) {
  return place_named<LabelId>(fleet.labels, "label", name);
}

Result<TenantId> tenant_named(const Fleet& fleet, const std::string& name) {
  return place_named<TenantId>(fleet.tenants, "tenant", name);
}

}  // namespace medley::data
