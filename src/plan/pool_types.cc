#include "plan/pool_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "data/fleet_file.h"
#include "data/yaml.h"
#include "lpu/chip/pool_schedule.h"
#include "perf/dataflow.h"

namespace medley::plan {
namespace {

using data::DeviceOffer, data::Requirements;

std::string hours_text(const std::array<double, 24>& hours) {
  if (std::all_of(hours.begin(), hours.end(), [&](double hour) { return hour == hours[0]; }))
    return fmt::format("{:.9g}", hours[0]);
  std::string out;
  for (const double hour : hours)
    out += fmt::format("{}{:.9g}", out.empty() ? "" : ", ", hour);
  return "[" + out + "]";
}

std::string target_text(const std::optional<Duration>& target) {
  if (!target)
    return "none";
  return fmt::format("{:.9g}", std::chrono::duration<double>(*target).count());
}

// Empty where nothing is known of it.
std::string jurisdiction_text(const Jurisdiction& of) {
  std::string parts;
  if (!of.place.empty())
    parts = "place: " + quoted(of.place);
  if (!of.operated_by.empty())
    parts += (parts.empty() ? "operator: " : ", operator: ") + quoted(of.operated_by);
  return parts.empty() ? parts : "jurisdiction: {" + parts + "}";
}
// Of a pool in a zone that states its own, as the end of the pool's keys.
std::string zone_text(const Requirements& requirements, const std::string& zone) {
  const auto& own = requirements.zones.at(zone).jurisdiction;
  const std::string of = own ? jurisdiction_text(*own) : std::string();
  return of.empty() ? of : ", " + of;
}

// The limit of the site's power, where all devices stand there: a scheduler counts those of other
// zones against it, too, and the plan has kept it anyway.
std::string power_text(const Requirements& requirements, const std::vector<PoolType>& types,
                       const std::vector<int>& replicas) {
  const Site& site = requirements.frame.site;
  const auto found = requirements.zones.find(site.zone);
  if (found == requirements.zones.end() || !found->second.power_limit_kw)
    return {};
  for (std::size_t p = 0; p < types.size(); ++p) {
    if (replicas[p] > 0 && types[p].device && types[p].pool.zone != site.zone)
      return {};
  }
  const double limit = *found->second.power_limit_kw;
  const auto& hours = site.power_limit_kw;
  const bool as_stated = hours && *std::min_element(hours->begin(), hours->end()) == limit;
  return fmt::format("  power_limit_kw: {}\n",
                     as_stated ? hours_text(*hours) : fmt::format("{:.9g}", limit));
}

// A class promises what its demands ask for, the tightest of them: a fleet whose classes promised
// something else would keep that, for requests that state no targets and in what it expects of
// those to come. As stated where it has no demands.
Targets promised(const Requirements& requirements, ServiceClass service_class) {
  const auto tighter = [](std::optional<Duration>& of, const std::optional<Duration>& asked) {
    if (asked)
      of = of ? std::min(*of, *asked) : *asked;
  };
  Targets tightest;
  bool any = false;
  for (const data::Demand& demand : requirements.demands) {
    if (demand.service_class != service_class)
      continue;
    any = true;
    tighter(tightest.ttft, demand.targets.ttft);
    tighter(tightest.tpot, demand.targets.tpot);
    tighter(tightest.deadline, demand.targets.deadline);
  }
  return any ? tightest : requirements.frame.policy(service_class).targets;
}

std::string frame_text(const Requirements& requirements, const std::string& power) {
  const Fleet& frame = requirements.frame;
  const Site& site = frame.site;
  std::string out = fmt::format("site:\n  zone: {}\n", quoted(site.zone));
  if (const std::string of = jurisdiction_text(site.jurisdiction); !of.empty())
    out += "  " + of + "\n";
  out += fmt::format("  tariff: {{currency: {}, per_kwh: {}}}\n  pue: {:.9g}\n",
                     quoted(site.currency), hours_text(site.tariff_per_kwh), site.pue);
  out += power;
  if (site.carbon_g_per_kwh)
    out += fmt::format("  carbon_g_per_kwh: {}\n", hours_text(*site.carbon_g_per_kwh));
  out += "classes:\n";
  for (const ServiceClass service_class : kServiceClasses) {
    const Targets targets = promised(requirements, service_class);
    out += fmt::format("  {}: {{ttft_s: {}, tpot_s: {}, deadline_s: {}, value: {:.9g}}}\n",
                       name_of(service_class), target_text(targets.ttft), target_text(targets.tpot),
                       target_text(targets.deadline), frame.policy(service_class).value.value());
  }
  out += "labels:\n";
  for (const Label& label : frame.labels) {
    std::string zones;
    for (const std::string& zone : label.zones)
      zones += (zones.empty() ? "" : ", ") + quoted(zone);
    out += fmt::format("  {}: {{zones: {}}}\n", quoted(label.name),
                       label.any_zone ? "any" : "[" + zones + "]");
  }
  out +=
      fmt::format("default_label: {}\n", quoted(frame.labels[frame.default_label.number()].name));
  if (!requirements.accept.empty())
    out += "accept:\n";
  for (const auto& [name, by_class] : requirements.accept) {
    out += fmt::format("  {}: {{", quoted(name));
    bool first = true;
    for (const ServiceClass service_class : kServiceClasses) {
      const auto& models = by_class[index_of(service_class)];
      if (models.empty())
        continue;
      out += fmt::format("{}{}: [{}]", first ? "" : ", ", name_of(service_class),
                         fmt::join(models, ", "));
      first = false;
    }
    out += "}\n";
  }
  return out;
}

// Step times and joules as many times those of a model as was observed; watts are the model's.
class SlowerSteps final : public perf::StepModel {
 public:
  SlowerSteps(double factor, std::shared_ptr<const perf::StepModel> modelled)
      : factor_(factor), modelled_(std::move(modelled)) {}
  perf::StepCost step(const perf::StepShape& shape) const override {
    return slower(modelled_->step(shape));
  }
  std::optional<perf::StepCost> run(const perf::StepShape& first, long long steps) const override {
    const auto cost = modelled_->run(first, steps);
    return cost ? std::optional(slower(*cost)) : std::nullopt;
  }
  Watts idle_power() const override { return modelled_->idle_power(); }

 private:
  perf::StepCost slower(perf::StepCost cost) const {
    cost.time = cost.time * factor_;
    cost.energy = cost.energy * factor_;
    return cost;
  }

  double factor_;
  std::shared_ptr<const perf::StepModel> modelled_;
};

// What was observed of the speed of a model on an offer's device; 1 where nothing was.
double slower_on(const Requirements& requirements, std::size_t device, const std::string& model) {
  double factor = 1;
  for (const data::StandingPool& of : requirements.standing) {
    if (!of.device || requirements.devices[*of.device].accelerator.id !=
                          requirements.devices[device].accelerator.id) {
      continue;
    }
    if (of.pool.model.id == model)
      return of.slower;
    factor = of.slower;
  }
  return factor;
}

// A standing pool's keys as far as a file can say them; its figures are those of the pool itself.
std::string text_of(const Pool& pool) {
  std::string out =
      fmt::format("name: {}, device: {}, model: {}, zone: {}, precision: {}", quoted(pool.name),
                  pool.device, pool.model.id, quoted(pool.zone), name_of(pool.precision));
  if (pool.statically_scheduled() && pool.chips > 0)
    out += fmt::format(", chips: {}", pool.chips);
  else if (pool.tensor_parallel > 1)
    out += fmt::format(", tensor_parallel: {}", pool.tensor_parallel);
  return out;
}

// A candidate before it is read back.
struct Draft {
  std::string name, text;
  std::optional<std::size_t> device, service, standing;
  int width = 0;  // devices a replica; 0: what the model needs
  // Of chips with a schedule compiled for so many streams: the draft that stands for all of these
  // where none can be.
  std::optional<std::size_t> in_place_of;
};

// Streams that schedules are compiled for: each has its chips. Fewer are slots left empty.
constexpr int kStreams[] = {1, 4, 8, 16, 32};
// A schedule takes its whole context for every token, so there is one for each length that some
// demand needs.
constexpr long long kLeastContext = 1024, kMostContext = 1 << 20;

std::vector<long long> contexts_for(const Requirements& requirements, const std::string& model) {
  std::vector<long long> contexts;
  for (const data::Demand& demand : requirements.demands) {
    if (std::find(demand.models.begin(), demand.models.end(), model) == demand.models.end())
      continue;
    long long context = kLeastContext;
    while (context < kMostContext && static_cast<double>(context) < long_request(demand))
      context *= 2;
    if (std::find(contexts.begin(), contexts.end(), context) == contexts.end())
      contexts.push_back(context);
  }
  return contexts;
}

// The number formats in which a model stands on an offer's device: what answers are is not changed
// by moving it.
std::vector<std::string> standing_precisions(const Requirements& requirements, std::size_t device,
                                             const std::string& model) {
  std::vector<std::string> precisions;
  for (const data::StandingPool& of : requirements.standing) {
    const std::string precision(name_of(of.pool.precision));
    if (of.device == device && of.pool.model.id == model &&
        std::find(precisions.begin(), precisions.end(), precision) == precisions.end()) {
      precisions.push_back(precision);
    }
  }
  return precisions;
}

// All models that some demand accepts, each once.
std::vector<std::string> models_asked_for(const Requirements& requirements) {
  std::vector<std::string> models;
  for (const data::Demand& demand : requirements.demands) {
    for (const std::string& model : demand.models) {
      if (std::find(models.begin(), models.end(), model) == models.end())
        models.push_back(model);
    }
  }
  return models;
}

bool is_scheduled(const DeviceOffer& offer) {
  return offer.accelerator.kind == AcceleratorKind::kLpu ||
         offer.accelerator.kind == AcceleratorKind::kWafer;
}

std::vector<Draft> drafts_of(const Requirements& requirements) {
  std::vector<Draft> drafts;
  const auto stands = [&](const std::string& name) {
    return std::any_of(requirements.standing.begin(), requirements.standing.end(),
                       [&](const data::StandingPool& of) { return of.pool.name == name; });
  };
  for (std::size_t i = 0; i < requirements.standing.size(); ++i) {
    const data::StandingPool& of = requirements.standing[i];
    if (!of.device)
      continue;  // one of the services
    drafts.push_back({.name = of.pool.name,
                      .text = text_of(of.pool),
                      .device = of.device,
                      .service = {},
                      .standing = i,
                      .width = devices_of(of.pool)});
  }
  const std::vector<std::string> models = models_asked_for(requirements);
  for (std::size_t i = 0; i < requirements.devices.size(); ++i) {
    const DeviceOffer& offer = requirements.devices[i];
    std::vector<int> widths = offer.widths;
    if (widths.empty() && is_scheduled(offer))
      widths = {0};
    if (widths.empty()) {
      for (int width = 1; width <= offer.per_node; width *= 2)
        widths.push_back(width);
    }
    for (const std::string& model : models) {
      std::vector<std::string> precisions = offer.precisions;
      if (precisions.empty())
        precisions = standing_precisions(requirements, i, model);
      if (precisions.empty())
        precisions = {""};
      for (const std::string& precision : precisions) {
        for (const int width : widths) {
          for (const std::string& zone : offer.zones) {
            Draft draft{.device = i, .width = width};
            draft.name = fmt::format("{}-{}{}{}{}", offer.name, model,
                                     precision.empty() ? "" : "-" + precision,
                                     width > 1 ? fmt::format("-x{}", width) : "",
                                     offer.zones.size() > 1 ? "-" + zone : "");
            if (stands(draft.name))
              draft.name += "-new";
            draft.text = fmt::format("name: {}, device: {}, model: {}, zone: {}",
                                     quoted(draft.name), offer.accelerator.id, model, quoted(zone));
            if (!precision.empty())
              draft.text += ", precision: " + precision;
            if (width > 0)
              draft.text +=
                  fmt::format(", {}: {}", is_scheduled(offer) ? "chips" : "tensor_parallel", width);
            if (offer.slots)
              draft.text += fmt::format(", slots: {}", *offer.slots);
            if (offer.max_running)
              draft.text += fmt::format(", max_running: {}", *offer.max_running);
            if (offer.prefill_tokens_per_s) {
              draft.text +=
                  fmt::format(", prefill_tokens_per_s: {:.9g}", *offer.prefill_tokens_per_s);
            }
            draft.text += zone_text(requirements, zone);
            drafts.push_back(draft);
            if (!is_scheduled(offer) || width > 0 || offer.prefill_tokens_per_s)
              continue;
            const std::size_t base = drafts.size() - 1;
            for (const long long context : contexts_for(requirements, model)) {
              for (const int streams : kStreams) {
                if (offer.slots && streams != kStreams[0])
                  continue;  // the file says how many
                Draft scheduled = draft;
                scheduled.in_place_of = base;
                const std::string name =
                    fmt::format("{}-{}x{}", draft.name, offer.slots.value_or(streams), context);
                scheduled.text.replace(scheduled.text.find(quoted(draft.name)),
                                       quoted(draft.name).size(), quoted(name));
                scheduled.name = name;
                scheduled.text +=
                    fmt::format("{}, max_context: {}, schedule: compiled",
                                offer.slots ? "" : fmt::format(", slots: {}", streams), context);
                drafts.push_back(std::move(scheduled));
              }
            }
          }
        }
      }
    }
  }
  for (std::size_t i = 0; i < requirements.services.size(); ++i) {
    const data::ServiceOffer& offer = requirements.services[i];
    const Metered& metered = offer.metered;
    Draft draft{.name = offer.name, .service = i};
    draft.text = fmt::format(
        "name: {}, device: metered, model: {}, zone: {}, metered: {{per_million_prompt: {:.9g}, "
        "per_million_output: {:.9g}, ttft_s: {{median: {:.9g}, sigma: {:.9g}}}, tpot_s: {:.9g}",
        quoted(offer.name), offer.model, quoted(offer.zone), metered.per_million_prompt,
        metered.per_million_output, metered.ttft_median_s, metered.ttft_sigma, metered.tpot_s);
    if (metered.tokens_per_minute)
      draft.text += fmt::format(", tokens_per_minute: {}", *metered.tokens_per_minute);
    if (metered.requests_per_day)
      draft.text += fmt::format(", requests_per_day: {}", *metered.requests_per_day);
    draft.text += "}" + zone_text(requirements, offer.zone);
    drafts.push_back(std::move(draft));
  }
  return drafts;
}

// What a device draws at most: its TDP, which its board keeps to, or the highest that its law of
// power says. Empty where the catalogue knows neither.
std::optional<double> peak_w(const Pool& pool) {
  if (pool.accelerator->tdp_w)
    return pool.accelerator->tdp_w->high;
  const double cap = pool.constants.power.cap_w;
  return cap > 0 ? std::optional(cap) : std::nullopt;
}

// Whether `a` does all that `b` does, on no more of the same devices, with no more joules and
// nodes and watts: then a fleet needs no `b`, whatever the model. What stands already is never
// beaten. `first`: which of two equals stays.
bool beats(const Requirements& requirements, const PoolType& a, const PoolType& b, bool first) {
  if (b.standing)
    return false;
  if (!a.device || a.device != b.device || a.pool.zone != b.pool.zone ||
      b.devices % a.devices != 0) {
    return false;
  }
  // What serves nobody is not bought either way; it stays to say why.
  if (std::none_of(b.uses.begin(), b.uses.end(), [](const Use& use) { return use.ok(); }))
    return false;
  const DeviceOffer& of = requirements.devices[*a.device];
  if (of.nodes_for(a.devices, b.devices / a.devices) > of.nodes_for(b.devices, 1) ||
      of.replicas_lost(a.devices) * a.devices > of.replicas_lost(b.devices) * b.devices) {
    return false;
  }
  const double copies = static_cast<double>(b.devices) / a.devices;
  bool better = first || copies > 1;
  const auto no_more = [&](double of_a, double of_b) {
    better = better || of_a < of_b * (1 - 1e-12);
    return of_a <= of_b * (1 + 1e-12);
  };
  if (!no_more(a.idle_w * copies, b.idle_w) || !no_more(a.most_w * copies, b.most_w))
    return false;
  for (std::size_t g = 0; g < b.uses.size(); ++g) {
    better = better || (a.uses[g].ok() && !b.uses[g].ok());
    if (!b.uses[g].ok())
      continue;
    const Operation &of_a = a.uses[g].operation, &of_b = b.uses[g].operation;
    if (!a.uses[g].ok() || !no_more(of_b.requests_per_s, of_a.requests_per_s * copies) ||
        !no_more(of_a.joules_per_request, of_b.joules_per_request)) {
      return false;
    }
  }
  return better;
}

}  // namespace

std::string quoted(std::string_view text) {
  const bool plain = !text.empty() &&
                     text.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789_-.") == std::string_view::npos &&
                     ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z')) &&
                     text != "null" && text != "true" && text != "false";
  if (plain)
    return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

int devices_of(const Pool& pool) {
  if (!pool.statically_scheduled())
    return pool.tensor_parallel;
  if (pool.schedule)
    return std::max(pool.chips, pool.schedule->chips);
  return pool.chips > 0 ? pool.chips
                        : perf::chips_needed(*pool.accelerator, pool.model, pool.precision,
                                             pool.constants.dataflow);
}

Result<PoolTypes> pool_types(const Requirements& requirements, const data::Catalog& catalog) {
  const std::vector<Draft> drafts = drafts_of(requirements);
  PoolTypes result;
  if (drafts.empty())
    return result;
  std::string text = frame_text(requirements, "") + "pools:\n";
  for (const Draft& draft : drafts)
    text += "  - {" + draft.text + "}\n";
  MEDLEY_TRY(const data::Node node, data::parse_yaml(text, "candidates of " + requirements.file));
  MEDLEY_TRY(Fleet fleet, data::read_fleet(node, catalog, {.resolve_secrets = false}));
  std::vector<bool> replaced(drafts.size(), false);
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    if (!drafts[i].in_place_of)
      continue;
    // That no chips hold so many streams is no news; that none hold one, the draft it stands for
    // says.
    const bool can_be = lpu::chip::schedule_pool(fleet.pools[i], catalog.folder()).ok();
    replaced[can_be ? *drafts[i].in_place_of : i] = true;
  }
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    if (replaced[i])
      continue;
    if (!drafts[i].in_place_of && !drafts[i].standing)
      MEDLEY_TRY_STATUS(lpu::chip::schedule_pool(fleet.pools[i], catalog.folder()));
    PoolType type;
    type.standing = drafts[i].standing;
    type.pool = type.standing ? requirements.standing[*type.standing].pool : fleet.pools[i];
    type.text = drafts[i].text;
    type.device = drafts[i].device;
    type.service = drafts[i].service;
    auto model = perf::make_pool_model(type.pool);
    if (!model.ok()) {
      result.refused.emplace_back(drafts[i].name, model.error().message);
      continue;
    }
    type.model = std::move(model).value();
    const double slower = type.standing ? requirements.standing[*type.standing].slower
                          : type.device ? slower_on(requirements, *type.device, type.pool.model.id)
                                        : 1;
    if (slower != 1)
      type.model.steps = std::make_shared<const SlowerSteps>(slower, type.model.steps);
    if (type.device) {
      type.devices = drafts[i].width > 0 ? drafts[i].width : devices_of(type.pool);
      const std::optional<double> peak = peak_w(type.pool);
      if (!peak) {
        result.refused.emplace_back(
            drafts[i].name,
            fmt::format("the draw of {} is unknown to the catalogue (power_w.tdp): neither power "
                        "nor energy can be planned with it",
                        type.pool.accelerator->id));
        continue;
      }
      type.idle_w = type.model.steps->idle_power().value();
      type.most_w = std::max(type.idle_w, *peak * type.devices);
    }
    for (const data::Demand& demand : requirements.demands) {
      const Label& label = requirements.frame.labels[demand.label.number()];
      Use use = use_of(type.pool, type.model, demand, requirements.utilisation);
      if (use.obstacle != Obstacle::kModel && !label.allows(type.pool.zone)) {
        use = {};
        use.obstacle = Obstacle::kLabel;
        use.why = fmt::format("label '{}' forbids zone '{}'", label.name, type.pool.zone);
      }
      if (use.ok())
        type.most_w = std::max(type.most_w, use.operation.busy_w);
      type.uses.push_back(std::move(use));
    }
    result.types.push_back(std::move(type));
  }
  const auto as_standing = [&](const PoolType& type) {
    return std::any_of(result.types.begin(), result.types.end(), [&](const PoolType& other) {
      return other.standing && !type.standing && other.device == type.device &&
             other.pool.model.id == type.pool.model.id && other.pool.zone == type.pool.zone &&
             other.pool.precision == type.pool.precision && other.devices == type.devices;
    });
  };
  std::vector<PoolType> kept;
  for (std::size_t b = 0; b < result.types.size(); ++b) {
    if (result.types[b].device && as_standing(result.types[b]))
      continue;
    bool beaten = false;
    for (std::size_t a = 0; a < result.types.size() && !beaten; ++a)
      beaten = a != b && beats(requirements, result.types[a], result.types[b], a < b);
    (beaten ? result.beaten : kept).push_back(result.types[b]);
  }
  result.types = std::move(kept);
  return result;
}

std::string fleet_text(const Requirements& requirements, const std::vector<PoolType>& types,
                       const std::vector<int>& replicas, const std::string& note) {
  std::string out;
  std::istringstream lines(note);
  for (std::string line; std::getline(lines, line);)
    out += "# " + line + "\n";
  out += frame_text(requirements, power_text(requirements, types, replicas)) + "pools:\n";
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (replicas[i] > 0 && types[i].service)
      out += fmt::format("  - {{{}}}\n", types[i].text);
    else if (replicas[i] > 0)
      out += fmt::format("  - {{{}, replicas: {}}}\n", types[i].text, replicas[i]);
  }
  return out;
}

}  // namespace medley::plan
