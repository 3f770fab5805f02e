#include "data/requirements_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "base/nearest.h"
#include "data/fleet_file.h"
#include "data/yaml.h"

namespace medley::data {
namespace {

const std::vector<std::string> kClasses = {"guaranteed", "standard", "flex", "batch"};
const std::vector<std::string> kFormats = {"azure", "mooncake", "servegen", "vllm_workload",
                                           "medley"};
const std::vector<std::string> kRedundancies = {"none", "replica", "node", "zone"};
// Shares of promises to keep where a demand does not say: a plan that keeps all of them buys for
// the worst second of the year.
constexpr double kAttain[] = {0.99, 0.97, 0.95, 0.95};
// What no purchase reaches: money beyond it is a slip of the pen, and a program of doubles has room
// for no more.
constexpr Bounds kMoney{.max = 1e12};
constexpr Bounds kYears{.min = 0.1, .max = 50};
constexpr double kMostRate = 1e6;

class Reader {
 public:
  Reader(const Node& node, const Catalog& catalog) : fields_(node), catalog_(catalog) {}

  Result<Requirements> read(Completeness completeness) {
    out_.file = fields_.node().file();
    out_.name = fields_.text("name", std::filesystem::path(out_.file).stem().string());
    read_frame_keys(fields_, out_.frame);
    out_.utilisation =
        fields_.number("utilisation", out_.utilisation, {.max = 1, .above_min = true});
    if (const auto growth = fields_.child("growth"))
      check(read_growth(*growth));
    if (const auto money = fields_.child("money"))
      check(read_money(*money));
    if (const auto redundancy = fields_.child("redundancy"))
      check(read_redundancy(*redundancy));
    read_zones();
    check_labels();
    if (const auto accept = fields_.child("accept"))
      check(read_accept(*accept));
    each("devices", [&](const Node& node) { return read_device(node); });
    each("services", [&](const Node& node) { return read_service(node); });
    each("demands", [&](const Node& node) { return read_demand(node); });
    each("jobs", [&](const Node& node) { return read_job(node); });
    MEDLEY_TRY_STATUS(fields_.finish());
    if (completeness == Completeness::kWithoutDemands)
      return std::move(out_);
    if (out_.demands.empty() && out_.jobs.empty())
      return fields_.node().error("missing key 'demands': who asks, how often, for what");
    if (out_.devices.empty() && out_.services.empty())
      return fields_.node().error("missing key 'devices': what may be bought or rented");
    return std::move(out_);
  }

 private:
  void check(Status status) {
    if (!status.ok())
      fields_.fail(std::move(status).error());
  }

  template <typename Read>
  void each(const char* key, const Read& read) {
    const auto list = fields_.child(key);
    if (!list || fields_.failed())
      return;
    const auto items = list->items();
    if (!items.ok())
      return fields_.fail(items.error());
    for (const Node& item : *items)
      check(read(item));
  }

  Status read_growth(const Node& node) {
    Fields fields(node);
    out_.growth_per_year = fields.required_number("per_year", {.min = -0.99, .max = 10});
    out_.growth_years = fields.number("years", 1, {.max = 20});
    return fields.finish();
  }

  Status read_money(const Node& node) {
    Fields fields(node);
    MoneySpec& money = out_.money;
    money.interest = fields.number("interest", money.interest, kShare);
    money.useful_life_years = fields.number("useful_life_years", money.useful_life_years, kYears);
    money.integration = fields.number("integration", money.integration, {.max = 10});
    money.maintenance = fields.number("maintenance", money.maintenance, kShare);
    money.staff_per_year = fields.number("staff_per_year", money.staff_per_year, kMoney);
    money.budget = fields.number("budget", kMoney);
    money.per_usd = fields.number("per_usd", Bounds{.max = 1e6, .above_min = true});
    money.horizon_years = fields.number("horizon_years", kYears);
    return fields.finish();
  }

  Status read_redundancy(const Node& node) {
    if (!node.is_map()) {
      MEDLEY_TRY(const std::size_t place, node.choice(kRedundancies));
      out_.redundancy = static_cast<Redundancy>(place);
      return Done{};
    }
    Fields fields(node);
    if (const auto lose = fields.required_choice("lose", kRedundancies))
      out_.redundancy = static_cast<Redundancy>(*lose);
    if (const auto classes = fields.child("classes")) {
      out_.redundant.fill(false);
      MEDLEY_TRY(const std::vector<Node> items, classes->items());
      for (const Node& item : items) {
        MEDLEY_TRY(const std::size_t place, item.choice(kClasses));
        out_.redundant[place] = true;
      }
      if (items.empty())
        return classes->error(
            "expected at least one class whose promises are kept when something is lost; for none "
            "write redundancy: none");
    }
    return fields.finish();
  }

  void read_zones() {
    const Site& site = out_.frame.site;
    out_.zones[site.zone];
    if (site.power_limit_kw) {
      out_.zones[site.zone].power_limit_kw =
          *std::min_element(site.power_limit_kw->begin(), site.power_limit_kw->end());
    }
    const auto node = fields_.child("zones");
    if (fields_.failed())
      return;
    std::vector<std::pair<std::string, Node>> entries;
    if (node)
      fields_.take(entries, node->entries());
    for (const auto& [name, value] : entries) {
      ZoneSpec& zone = out_.zones[name];
      if (value.is_null())
        continue;
      Fields fields(value);
      if (const auto limit = fields.number("power_limit_kw", kPositive)) {
        if (zone.power_limit_kw)
          fields.fail(fields.child("power_limit_kw")->key_error("the site states one already"));
        zone.power_limit_kw = limit;
      }
      if (const auto racks = fields.whole("racks", Whole{0, 1'000'000}))
        zone.racks = static_cast<int>(*racks);
      for (const char* key : {"pue", "tariff", "carbon_g_per_kwh", "jurisdiction"}) {
        if (const auto node_of = fields.child(key); node_of && name == site.zone)
          fields.fail(node_of->key_error("the site states its own, under `site`"));
      }
      zone.pue = fields.number("pue", kPue);
      if (const auto tariff = fields.child("tariff")) {
        zone.tariff_per_kwh.emplace();
        fields.take(*zone.tariff_per_kwh, read_zone_tariff(*tariff));
      }
      if (const auto carbon = fields.child("carbon_g_per_kwh")) {
        zone.carbon_g_per_kwh.emplace();
        fields.take(*zone.carbon_g_per_kwh, read_hours(*carbon, kCarbon));
      }
      if (const auto jurisdiction = fields.child("jurisdiction")) {
        zone.jurisdiction.emplace();
        fields.take(*zone.jurisdiction, read_jurisdiction(*jurisdiction));
      }
      check(fields.finish());
    }
  }

  // As the site's, but in its currency.
  static Result<std::array<double, 24>> read_zone_tariff(const Node& node) {
    if (!node.is_map())
      return read_hours(node, kEnergyPrice);
    Fields fields(node);
    std::array<double, 24> hours{};
    if (const auto currency = fields.child("currency"))
      fields.fail(currency->key_error("money is counted in the site's: leave it out"));
    if (const auto price = fields.required("per_kwh"))
      fields.take(hours, read_hours(*price, kEnergyPrice));
    MEDLEY_TRY_STATUS(fields.finish());
    return hours;
  }

  // A label that names a place which is nowhere else is a slip of the pen, or a wish that nobody
  // can meet; both are better said now.
  void check_labels() {
    const auto node = fields_.child("labels");
    if (!node || fields_.failed())
      return;
    for (const Label& label : out_.frame.labels) {
      for (const std::string& zone : label.zones) {
        if (!out_.zones.contains(zone))
          fields_.fail(unknown_zone(*node, zone, fmt::format("label '{}' allows ", label.name)));
      }
    }
  }

  Error unknown_zone(const Node& node, const std::string& zone, std::string_view what = {}) const {
    std::vector<std::string> names;
    for (const auto& [name, spec] : out_.zones)
      names.push_back(name);
    return node.error(fmt::format("{}zone '{}', which is neither the site's nor under `zones`{}",
                                  what, zone, suggestion(zone, names)));
  }

  Result<std::vector<std::string>> models_of(const Node& node) const {
    MEDLEY_TRY(const std::vector<Node> items, node.items());
    std::vector<std::string> models;
    for (const Node& item : items) {
      MEDLEY_TRY(const std::string name, item.text());
      const Result<Model> model = catalog_.model(name);
      if (!model.ok())
        return item.error(model.error().message, model.error().code);
      models.push_back(model->id);
    }
    if (models.empty())
      return node.error("expected at least one model");
    return models;
  }

  Status read_accept(const Node& node) {
    MEDLEY_TRY(const auto entries, node.entries());
    for (const auto& [name, value] : entries) {
      std::array<std::vector<std::string>, kServiceClassCount> models;
      if (value.is_list()) {
        MEDLEY_TRY(models[0], models_of(value));
        models.fill(std::vector<std::string>(models[0]));
      } else {
        Fields fields(value);
        for (const ServiceClass service_class : kServiceClasses) {
          if (const auto list = fields.child(name_of(service_class)))
            fields.take(models[index_of(service_class)], models_of(*list));
        }
        MEDLEY_TRY_STATUS(fields.finish());
      }
      out_.accept.emplace_back(name, std::move(models));
    }
    return Done{};
  }

  Result<std::vector<std::string>> read_zone_names(Fields& fields, const char* key) const {
    std::vector<std::string> zones;
    const auto list = fields.child(key);
    if (!list)
      return std::vector<std::string>{out_.frame.site.zone};
    MEDLEY_TRY(const std::vector<Node> items, list->items());
    for (const Node& item : items) {
      MEDLEY_TRY(const std::string zone, item.text());
      if (!out_.zones.contains(zone))
        return unknown_zone(item, zone);
      MEDLEY_TRY_STATUS(add_new(zones, zone, item));
    }
    if (zones.empty())
      return list->error("expected at least one zone");
    return zones;
  }

  static bool has_digit(const Node& node) {
    const auto text = node.text();
    return text.ok() && text->find_first_of("0123456789") != std::string::npos;
  }

  // Lists of ways to try: an empty one tries nothing, and the same way twice is a slip of the pen.
  template <typename T>
  static Status add_new(std::vector<T>& all, T item, const Node& node) {
    if (std::find(all.begin(), all.end(), item) != all.end())
      return node.error(fmt::format("'{}' stands in the list already", item));
    all.push_back(std::move(item));
    return Done{};
  }

  // One price, or what it lies between.
  static Result<Range> read_price(const Node& node) {
    constexpr std::string_view kForm =
        "expected a price as 30000, or the range it lies in as [20000, 45000]; leave the key out "
        "for the catalogue's";
    if (node.is_map() || (node.is_scalar() && !node.number().ok() && !has_digit(node)))
      return node.error(kForm);
    if (!node.is_list()) {
      MEDLEY_TRY(const double price, node.number(kMoney));
      return Range{price, price};
    }
    MEDLEY_TRY(const std::vector<Node> pair, node.items());
    if (pair.size() != 2)
      return node.error(kForm);
    Range range;
    MEDLEY_TRY(range.low, pair[0].number(kMoney));
    MEDLEY_TRY(range.high, pair[1].number(kMoney));
    if (range.high < range.low)
      return node.error(fmt::format("a range begins with its low end: write [{:g}, {:g}]",
                                    range.high, range.low));
    return range;
  }

  Status read_device(const Node& node) {
    Fields fields(node);
    DeviceOffer offer;
    const auto device = fields.required("device");
    std::string id;
    if (device)
      fields.take(id, device->text());
    if (!id.empty()) {
      auto accelerator = catalog_.accelerator(id);
      if (accelerator.ok()) {
        offer.accelerator = std::move(accelerator).value();
      } else {
        fields.fail(device->error(accelerator.error().message, accelerator.error().code));
      }
    }
    const bool rented = fields.has("rent_per_hour");
    offer.deal = rented ? DeviceOffer::Deal::kRent : DeviceOffer::Deal::kBuy;
    offer.name = fields.text("name", offer.accelerator.id + (rented ? "-rented" : ""));
    fields.take(offer.zones, read_zone_names(fields, "zones"));
    if (const auto rent = fields.child("rent_per_hour"))
      fields.take(offer.price, read_price(*rent));
    offer.owned = static_cast<int>(fields.whole("owned", 0, {0, 1'000'000}));
    if (offer.owned > 0 && rented)
      fields.fail(fields.child("owned")->key_error("not of rented devices"));
    if (const auto price = fields.child("price")) {
      if (rented)
        fields.fail(
            price->key_error("an offer has either a price or rent_per_hour; write two offers"));
      fields.take(offer.price, read_price(*price));
    } else if (!rented && !fields.failed()) {
      fields.take(offer.price, catalogue_price(node, offer));
      offer.price_from_catalogue = true;
    }
    if (!rented && offer.accelerator.availability == Availability::kCloud && !fields.failed()) {
      fields.fail(device->error(
          fmt::format("{} can only be rented (docs: catalog/accelerators.yaml); give rent_per_hour",
                      offer.accelerator.id)));
    }
    offer.per_node = static_cast<int>(fields.whole("per_node", 1, {1, 100'000}));
    if (offer.owned % offer.per_node != 0) {
      fields.fail(fields.child("owned")->key_error(
          fmt::format("{} devices are no whole number of nodes of {} (per_node)", offer.owned,
                      offer.per_node)));
    }
    offer.host_w = fields.number("host_w", 0, {.max = 1e5});
    const auto optional_int = [&](const char* key, const Whole& range) -> std::optional<int> {
      const auto value = fields.whole(key, range);
      return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
    };
    offer.stock = optional_int("stock", {0, 1'000'000});
    if (offer.stock && *offer.stock > 0 && *offer.stock < offer.per_node) {
      fields.fail(fields.child("stock")->error(fmt::format(
          "whole nodes are bought, of {0} devices (per_node): expected at least {0}, or "
          "0 for none",
          offer.per_node)));
    }
    offer.per_rack = optional_int("per_rack", {1, 1'000'000});
    if (offer.per_rack && *offer.per_rack < offer.per_node) {
      fields.fail(fields.child("per_rack")
                      ->error(fmt::format("a node of {} devices (per_node) does not fit a rack of "
                                          "{}: nodes are not split over "
                                          "racks",
                                          offer.per_node, *offer.per_rack)));
    }
    offer.slots = optional_int("slots", {1, 1 << 24});
    offer.max_running = optional_int("max_running", {1, 1 << 20});
    offer.lead_weeks = fields.number("lead_weeks", 0, {.max = 1000});
    const std::optional<double>& horizon = out_.money.horizon_years;
    if (horizon && offer.lead_weeks >= *horizon * MoneySpec::kWeeksAYear) {
      fields.fail(
          fields.child("lead_weeks")
              ->error(fmt::format(
                  "what comes in {:g} weeks is of no use, since the horizon ends after {:.4g} "
                  "(money.horizon_years: {:g}): leave the offer out, or where devices of it are "
                  "owned "
                  "give stock: 0 and no lead_weeks",
                  offer.lead_weeks, *horizon * MoneySpec::kWeeksAYear, *horizon)));
    }
    offer.prefill_tokens_per_s =
        fields.number("prefill_tokens_per_s", Bounds{.max = 1e9, .above_min = true});
    if (const auto list = fields.child("widths")) {
      MEDLEY_TRY(const std::vector<Node> items, list->items());
      for (const Node& item : items) {
        MEDLEY_TRY(const long long width, item.whole({1, 1 << 16}));
        MEDLEY_TRY_STATUS(add_new(offer.widths, static_cast<int>(width), item));
      }
      if (items.empty())
        return list->error("expected at least one width, or no such key: then 1, 2, 4 … are tried");
    }
    if (const auto list = fields.child("precisions")) {
      MEDLEY_TRY(const std::vector<Node> items, list->items());
      for (const Node& item : items) {
        MEDLEY_TRY(const std::string name, item.text());
        const auto format = catalog_.number_format(name);
        if (!format.ok())
          return item.error(format.error().message, format.error().code);
        MEDLEY_TRY_STATUS(add_new(offer.precisions, format->id, item));
      }
      if (items.empty())
        return list->error("expected at least one format, or no such key: then the model's own");
    }
    MEDLEY_TRY_STATUS(fields.finish());
    for (const std::string& zone : offer.zones) {
      if (out_.zones.at(zone).racks && !offer.per_rack) {
        return node.error(fmt::format(
            "zone '{}' has a limit of racks: give {} per_rack, devices a rack", zone, offer.name));
      }
    }
    return add_named(out_.devices, std::move(offer), node);
  }

  Result<Range> catalogue_price(const Node& node, const DeviceOffer& offer) const {
    const Accelerator& accelerator = offer.accelerator;
    if (!accelerator.price_usd) {
      return node.error(fmt::format(
          "the price of {} is unknown to the catalogue: give `price`, one number or a range as "
          "[30000, 60000], or `rent_per_hour`",
          accelerator.id));
    }
    const bool dollars = out_.frame.site.currency == "USD";
    if (!dollars && !out_.money.per_usd) {
      return node.error(fmt::format(
          "the catalogue's price of {} is in USD: give money.per_usd ({} for a dollar), or `price`",
          accelerator.id, out_.frame.site.currency));
    }
    const double factor = dollars ? 1 : *out_.money.per_usd;
    return Range{accelerator.price_usd->low * factor, accelerator.price_usd->high * factor};
  }

  template <typename T>
  static Status add_named(std::vector<T>& all, T item, const Node& node) {
    for (const T& other : all) {
      if (other.name == item.name)
        return node.error(fmt::format("the name '{}' is taken; give each a `name`", item.name));
    }
    all.push_back(std::move(item));
    return Done{};
  }

  Status read_service(const Node& node) {
    Fields fields(node);
    ServiceOffer offer;
    offer.name = fields.required_text("name");
    if (const auto model = fields.required("model")) {
      std::string name;
      fields.take(name, model->text());
      const auto known = catalog_.model(name);
      if (known.ok())
        offer.model = known->id;
      else if (!name.empty())
        fields.fail(model->error(known.error().message, known.error().code));
    }
    offer.zone = fields.text("zone", out_.frame.site.zone);
    if (!out_.zones.contains(offer.zone))
      fields.fail(unknown_zone(*fields.child("zone"), offer.zone));
    if (const auto metered = fields.required("metered"))
      fields.take(offer.metered, data::read_metered(*metered));
    MEDLEY_TRY_STATUS(fields.finish());
    return add_named(out_.services, std::move(offer), node);
  }

  LabelId read_label(Fields& fields) const {
    LabelId label = out_.frame.default_label;
    if (const auto node = fields.child("label")) {
      std::string name;
      fields.take(name, node->text());
      const auto known = label_named(out_.frame, name);
      if (known.ok())
        label = *known;
      else
        fields.fail(node->error(known.error().message, known.error().code));
    }
    return label;
  }

  Status read_demand(const Node& node) {
    Fields fields(node);
    Demand demand;
    demand.name = fields.required_text("name");
    demand.service_class = kServiceClasses[fields.choice("class", kClasses)
                                               .value_or(index_of(ServiceClass::kStandard))];
    const std::size_t of_class = index_of(demand.service_class);
    demand.label = read_label(fields);
    if (const auto model = fields.required("model")) {
      fields.take(demand.model, model->text());
      fields.take(demand.models, accepted(*model, demand.model, of_class));
    }
    demand.targets = out_.frame.classes[of_class].targets;
    const auto target = [&](const char* key, std::optional<Duration>& of) {
      // No device is faster than a microsecond a token, and nobody waits for a century.
      if (const auto seconds = fields.seconds(key, Bounds{.min = 1e-6, .max = 3e9}))
        of = round_to_duration(Seconds(*seconds));
    };
    target("ttft_s", demand.targets.ttft);
    target("tpot_s", demand.targets.tpot);
    target("deadline_s", demand.targets.deadline);
    demand.attain = fields.number("attain", kAttain[of_class], {.max = 0.9999, .above_min = true});
    demand.gap_cv = fields.number("gap_cv", 1, {.max = 20});
    const double scale = fields.number("scale", 1, Bounds{.max = 1e6, .above_min = true});
    if (const auto trace = fields.child("trace")) {
      for (const char* key : {"rate_per_s", "prompt_tokens", "output_tokens"}) {
        if (const auto stray = fields.child(key))
          fields.fail(stray->key_error("comes from the trace; leave one of the two out"));
      }
      if (!fields.failed())
        check_in(fields, read_from_trace(*trace, demand));
    } else {
      if (const auto rate = fields.required("rate_per_s"))
        fields.take(demand.rate_per_s, read_hours(*rate, {.max = kMostRate}));
      if (const auto law = fields.required("prompt_tokens"))
        fields.take(demand.prompt_tokens, read_lengths(*law));
      if (const auto law = fields.required("output_tokens"))
        fields.take(demand.output_tokens, read_outputs(*law));
    }
    for (double& rate : demand.rate_per_s)
      rate *= scale;
    MEDLEY_TRY_STATUS(fields.finish());
    if (std::all_of(demand.rate_per_s.begin(), demand.rate_per_s.end(),
                    [](double rate) { return !(rate > 0); })) {
      return node.error(
          fmt::format("'{}' has no traffic in any hour: give rate_per_s above 0, or "
                      "leave the demand out",
                      demand.name));
    }
    const double busiest = *std::max_element(demand.rate_per_s.begin(), demand.rate_per_s.end());
    if (busiest < kLeastRate || busiest > kMostRate) {
      return node.error(fmt::format(
          "'{}' asks {:.3g} times a second in its busiest hour: expected {:g} to {:g}, `scale` "
          "counted",
          demand.name, busiest, kLeastRate, kMostRate));
    }
    return add_named(out_.demands, std::move(demand), node);
  }

  static void check_in(Fields& fields, Status status) {
    if (!status.ok())
      fields.fail(std::move(status).error());
  }

  Result<std::vector<std::string>> accepted(const Node& node, const std::string& name,
                                            std::size_t of_class) const {
    for (const auto& [offer, models] : out_.accept) {
      if (offer != name)
        continue;
      if (models[of_class].empty())
        return node.error(
            fmt::format("accept.{} offers nothing to class {}", name, kClasses[of_class]));
      return models[of_class];
    }
    const auto model = catalog_.model(name);
    if (!model.ok()) {
      std::vector<std::string> names;
      for (const auto& [offer, models] : out_.accept)
        names.push_back(offer);
      return node.error(
          fmt::format("'{}' is neither a name under `accept` nor a model of the "
                      "catalogue{}",
                      name, suggestion(name, names)));
    }
    return std::vector<std::string>{model->id};
  }

  // Rates by hour of day where the trace lasts a day, else its mean; lengths by their quantiles.
  static Status read_from_trace(const Node& node, Demand& demand) {
    Fields fields(node);
    TraceSpec spec;
    spec.path = node.resolve(fields.required_text("path"));
    if (const auto format = fields.choice("format", kFormats))
      spec.format = static_cast<TraceFormat>(*format);
    spec.time_scale = fields.number("time_scale", 1, {.max = 1e6, .above_min = true});
    spec.max_request_tokens = fields.whole("max_request_tokens", Whole{2, 1 << 30});
    MEDLEY_TRY_STATUS(fields.finish());
    auto rows = read_trace(spec);
    if (!rows.ok())
      return node.error(rows.error().message, rows.error().code);
    const double span = rows->empty() ? 0 : rows->back().arrived_s - rows->front().arrived_s;
    if (!(span > 0))
      return node.error("the trace has no two requests at different times: no rate follows");
    constexpr double kDay = 86400;
    if (span >= kDay) {
      const double days = std::floor(span / kDay);
      for (const TraceRequest& row : *rows) {
        const double at = row.arrived_s - rows->front().arrived_s;
        if (at < days * kDay)
          demand.rate_per_s[static_cast<std::size_t>(at / 3600) % 24] += 1 / (3600 * days);
      }
    } else {
      demand.rate_per_s.fill(static_cast<double>(rows->size()) / span);
    }
    const auto law = [&](auto length) {
      std::vector<double> values;
      for (const TraceRequest& row : *rows)
        values.push_back(static_cast<double>(length(row).count()));
      std::sort(values.begin(), values.end());
      LengthLaw lengths;
      for (const double share :
           {0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0}) {
        const auto place = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
        lengths.quantiles.points.emplace_back(share, values[place]);
      }
      lengths.max = static_cast<long long>(values.back());
      return lengths;
    };
    demand.prompt_tokens = law([](const TraceRequest& row) { return row.prompt; });
    demand.output_tokens = {{0, law([](const TraceRequest& row) { return row.output; })}};
    demand.trace = std::move(spec);
    return Done{};
  }

  Status read_job(const Node& node) {
    Fields fields(node);
    TrainingJob job;
    job.name = fields.required_text("name");
    job.label = read_label(fields);
    if (const auto hours = fields.required("device_hours")) {
      MEDLEY_TRY(const auto entries, hours->entries());
      for (const auto& [device, value] : entries) {
        const auto accelerator = catalog_.accelerator(device);
        if (!accelerator.ok())
          return value.key_error(accelerator.error().message, accelerator.error().code);
        MEDLEY_TRY(job.device_hours[accelerator->id], value.number(kPositive));
      }
      if (entries.empty())
        return hours->error("expected device-hours of a run by device, as {h100_sxm: 40}");
    }
    if (const auto window = fields.child("between")) {
      MEDLEY_TRY(const std::vector<Node> pair, window->items());
      if (pair.size() != 2)
        return window->error("expected two hours of the day, as [20, 6]");
      MEDLEY_TRY(const long long from, pair[0].whole({0, 23}));
      MEDLEY_TRY(const long long to, pair[1].whole({0, 24}));
      job.from_hour = static_cast<int>(from);
      job.hours = static_cast<int>((to - from + 24) % 24);
      if (job.hours == 0)
        job.hours = 24;
    }
    read_days(fields, job);
    MEDLEY_TRY_STATUS(fields.finish());
    return add_named(out_.jobs, std::move(job), node);
  }

  // A job with a deadline is done once unless it says how often it comes back; one that says
  // neither comes back every day.
  static void read_days(Fields& fields, TrainingJob& job) {
    job.gang = static_cast<int>(fields.whole("gang", 0, {1, 100'000}));
    const auto every = fields.whole("every_days", Whole{1, kDaysAYear});
    const auto deadline = fields.whole("deadline_days", Whole{1, kDaysAYear});
    job.every_days = static_cast<int>(every.value_or(deadline ? 0 : 1));
    job.deadline_days = static_cast<int>(deadline.value_or(job.once() ? 1 : job.every_days));
    job.start_day = static_cast<int>(fields.whole("start_day", 0, {0, kDaysAYear - 1}));
    if (fields.failed())
      return;
    if (const auto start = fields.child("start_day"); start && !job.once()) {
      fields.fail(
          start->key_error("is of a job that is done once: give deadline_days and no every_days"));
    } else if (!job.once() && job.deadline_days > job.every_days) {
      fields.fail(fields.child("deadline_days")
                      ->error(fmt::format("a run that may take {} days is not done when the next "
                                          "one comes, every {} days: write {} at most",
                                          job.deadline_days, job.every_days, job.every_days)));
    } else if (job.start_day + job.deadline_days > kDaysAYear) {
      fields.fail(
          fields.child("deadline_days")
              ->error(fmt::format("a plan is of {} days: day {} and {} more are beyond them",
                                  kDaysAYear, job.start_day, job.deadline_days)));
    }
  }

  Fields fields_;
  const Catalog& catalog_;
  Requirements out_;
};

// Standard normal distribution: at or below.
double normal_share(double z) { return 0.5 * std::erfc(-z / std::sqrt(2)); }

}  // namespace

std::string_view name_of(Redundancy redundancy) {
  return kRedundancies[static_cast<std::size_t>(redundancy)];
}

int Demand::hours_to_serve() const {
  if (service_class != ServiceClass::kBatch)
    return 1;
  if (!targets.deadline)
    return 24;
  return static_cast<int>(std::clamp<long long>(*targets.deadline / std::chrono::hours(1), 1, 24));
}

std::optional<Duration> Demand::deadline_left() const {
  if (!targets.deadline)
    return std::nullopt;
  return *targets.deadline - std::chrono::hours(hours_to_serve() - 1);
}

double Requirements::pue(const std::string& zone) const {
  return zones.at(zone).pue.value_or(frame.site.pue);
}

const std::array<double, 24>& Requirements::tariff_per_kwh(const std::string& zone) const {
  const auto& stated = zones.at(zone).tariff_per_kwh;
  return stated ? *stated : frame.site.tariff_per_kwh;
}

const std::optional<std::array<double, 24>>& Requirements::carbon_g_per_kwh(
    const std::string& zone) const {
  const auto& stated = zones.at(zone).carbon_g_per_kwh;
  return stated ? stated : frame.site.carbon_g_per_kwh;
}

double Requirements::growth() const { return std::pow(1 + growth_per_year, growth_years); }

double mean_of(const LengthLaw& law) {
  if (!law.quantiles.empty()) {
    double mean = 0;
    for (std::size_t i = 1; i < law.quantiles.points.size(); ++i) {
      const auto& [low_share, low] = law.quantiles.points[i - 1];
      const auto& [high_share, high] = law.quantiles.points[i];
      mean += (high_share - low_share) * (low + high) / 2;
    }
    return std::max(1.0, std::min(mean, static_cast<double>(law.max)));
  }
  const double most = static_cast<double>(law.max);
  if (law.sigma == 0)
    return std::min(law.median, most);
  // Of a log-normal number, what is above `max` counting as `max`.
  const double z = std::log(most / law.median) / law.sigma;
  return std::max(1.0,
                  law.median * std::exp(law.sigma * law.sigma / 2) * normal_share(z - law.sigma) +
                      most * (1 - normal_share(z)));
}

double mean_of(const Demand& demand, bool output) {
  if (!output)
    return mean_of(demand.prompt_tokens);
  // By prompt: the ranges weigh by the share of prompts that fall into them.
  double mean = 0, below = 0;
  for (const OutputRange& range : demand.output_tokens) {
    double share = 1;
    if (&range != &demand.output_tokens.back()) {
      constexpr int kSteps = 200;
      int inside = 0;
      for (int i = 0; i < kSteps; ++i) {
        const double at = (i + 0.5) / kSteps;
        const LengthLaw& law = demand.prompt_tokens;
        double length = 0;
        if (!law.quantiles.empty()) {
          length = law.quantiles.at(at);
        } else {  // log-normal, by bisection on its distribution
          double low = -8, high = 8;
          for (int step = 0; step < 40; ++step) {
            const double middle = (low + high) / 2;
            (normal_share(middle) < at ? low : high) = middle;
          }
          length = law.median * std::exp(law.sigma * low);
        }
        inside += length <= static_cast<double>(range.up_to) ? 1 : 0;
      }
      share = static_cast<double>(inside) / kSteps;
    }
    mean += std::max(0.0, share - below) * mean_of(range.tokens);
    below = share;
  }
  return std::max(1.0, mean);
}

long long long_of(const LengthLaw& law) {
  constexpr double kZ99 = 2.326;
  const double length =
      law.quantiles.empty() ? law.median * std::exp(law.sigma * kZ99) : law.quantiles.at(0.99);
  return std::max(1LL, static_cast<long long>(std::min(length, static_cast<double>(law.max))));
}

double default_attain(ServiceClass service_class) { return kAttain[index_of(service_class)]; }

Result<Requirements> read_requirements(const std::string& path, const Catalog& catalog,
                                       Completeness completeness) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  return Reader(node, catalog).read(completeness);
}

Result<Requirements> parse_requirements(std::string_view text, const std::string& name,
                                        const Catalog& catalog, Completeness completeness) {
  MEDLEY_TRY(const Node node, parse_yaml(text, name));
  return Reader(node, catalog).read(completeness);
}

}  // namespace medley::data
