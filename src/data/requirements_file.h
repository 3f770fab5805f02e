// Requirements files: what is to be served, what may be bought or rented, and under which limits;
// the input of `medley plan`. docs/plan.md lists the keys.
//
// The keys `site`, `classes`, `labels`, `default_label` and `accept` are those of a fleet file,
// since the answer is one.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "data/trace.h"
#include "data/workload_file.h"
#include "domain/fleet.h"

namespace medley::data {

// Requests of one kind: who asks, how often, how long, and what was promised to them.
struct Demand {
  std::string name;
  ServiceClass service_class = ServiceClass::kStandard;
  LabelId label;
  std::string model;                    // the name asked for
  std::vector<std::string> models;      // that may answer it: catalogue ids
  std::array<double, 24> rate_per_s{};  // by hour of day, growth not counted
  double gap_cv = 1;                    // deviation / mean of the gaps between arrivals
  LengthLaw prompt_tokens;
  std::vector<OutputRange> output_tokens;
  Targets targets;                 // the class's, with what the demand says of its own
  double attain = 0.99;            // share of its promises that the plan is to keep
  std::optional<TraceSpec> trace;  // where rates and lengths come from one

  // Hours in which it may be served, from the one it comes in on: batch may be moved as far as what
  // came at the beginning of its hour is still done by its deadline, and no farther than a day.
  int hours_to_serve() const;
  bool movable() const { return hours_to_serve() > 1; }
  // What is left of its deadline when it is served as late as that. Empty: no deadline.
  std::optional<Duration> deadline_left() const;
};

// A year, as a plan counts it: days of 24 hours, all alike to who is served.
inline constexpr int kDaysAYear = 365;

// Training and fine-tuning: every day, every so many days, or once.
struct TrainingJob {
  std::string name;
  LabelId label;
  std::map<std::string, double> device_hours;  // of a run, by device id; others cannot run it
  int from_hour = 0, hours = 24;               // of each day, when it may run
  int start_day = 0;                           // days from now; only of what is done once
  int deadline_days = 1;                       // after the start of a run it is done
  int every_days = 1;                          // it comes back; 0: it is done once
  int gang = 0;                                // devices that it runs on at once; 0: any number

  bool once() const { return every_days == 0; }
  bool runs_at(int hour) const { return (hour - from_hour + 24) % 24 < hours; }
  double runs_a_year() const { return once() ? 1 : static_cast<double>(kDaysAYear) / every_days; }
  // Hours in which a run may use a device.
  double hours_to_deadline() const { return static_cast<double>(deadline_days) * hours; }
};

// One way to get one kind of device.
struct DeviceOffer {
  enum class Deal { kBuy, kRent };
  std::string name;  // unique: the device's id, or as the file says
  Accelerator accelerator;
  Deal deal = Deal::kBuy;
  Range price;  // of one device: to buy, or of an hour; the site's currency
  bool price_from_catalogue = false;
  int per_node = 1;             // devices that are bought and lost together
  double host_w = 0;            // of the node, by device
  std::optional<int> stock;     // devices that can be had
  double lead_weeks = 0;        // until they stand
  std::optional<int> per_rack;  // devices; a whole node at least
  int owned = 0;                // devices that are there already: no capital is spent on them
  std::vector<std::string> zones;
  std::vector<std::string> precisions;  // number formats to try; empty: each model's own
  std::vector<int> widths;              // tensor_parallel, or chips; empty: what fits, to per_node
  std::optional<int> slots;
  std::optional<double> prefill_tokens_per_s;
  std::optional<int> max_running;

  // Replicas of so many devices that stand on one node; 0: one is wider than a node.
  int replicas_on_node(int width) const { return per_node / width; }
  // Nodes that so many replicas take when nothing else stands on them. One that is wider than a
  // node has all of its nodes for itself, the last one too.
  int nodes_for(int width, int replicas) const {
    const int fit = replicas_on_node(width);
    return fit > 0 ? (replicas + fit - 1) / fit : replicas * ((width + per_node - 1) / per_node);
  }
  // Nodes that stand in one rack, whole. Precondition: per_rack is known.
  int nodes_in_rack() const { return *per_rack / per_node; }
  // Replicas of one pool that are lost with a node, which holds no other pool then.
  int replicas_lost(int width) const { return std::max(1, replicas_on_node(width)); }
};

struct ServiceOffer {
  std::string name, model, zone;
  Metered metered;
};

// A pool that serves already: `medley plan --from-usage` knows of some, a file of none.
struct StandingPool {
  Pool pool;
  std::optional<std::size_t> device;  // of Requirements::devices; a rented service has none
  double slower = 1;                  // observed step times by those of its step model
};

// What is empty is the site's.
struct ZoneSpec {
  std::optional<double> power_limit_kw;  // at the meter, PUE included; empty: no limit
  std::optional<int> racks;              // empty: no limit
  std::optional<double> pue;
  std::optional<std::array<double, 24>> tariff_per_kwh;  // in the site's currency, by hour of day
  std::optional<std::array<double, 24>> carbon_g_per_kwh;
  std::optional<Jurisdiction> jurisdiction;
};

struct MoneySpec {
  double interest = 0.08;         // a year
  double useful_life_years = 4;   // of what is bought
  double integration = 0;         // on top of the price, share
  double maintenance = 0.05;      // of the price, a year
  double staff_per_year = 0;      // shared by all that is owned, whenever anything is
  std::optional<double> budget;   // capital at most
  std::optional<double> per_usd;  // the site's currency for a dollar of the catalogue
  // After so many years nothing of what is bought is of use any more, whatever its life.
  std::optional<double> horizon_years;
  // Of what stands after so many weeks.
  double years_paid_back(double lead_weeks = 0) const {
    return horizon_years ? std::min(*horizon_years - lead_weeks / kWeeksAYear, useful_life_years)
                         : useful_life_years;
  }
  static constexpr double kWeeksAYear = 365.0 / 7;
};

enum class Redundancy { kNone, kReplica, kNode, kZone };
std::string_view name_of(Redundancy redundancy);

struct Requirements {
  std::string name, file;
  // Site, classes, labels; no pools. A class with demands promises the tightest of their targets.
  Fleet frame;
  // A name asked for to the models that may answer it, by class; as in fleet files.
  std::vector<std::pair<std::string, std::array<std::vector<std::string>, kServiceClassCount>>>
      accept;
  std::vector<Demand> demands;
  std::vector<TrainingJob> jobs;
  std::vector<DeviceOffer> devices;
  std::vector<ServiceOffer> services;
  std::vector<StandingPool> standing;
  std::map<std::string, ZoneSpec> zones;  // the site's among them
  MoneySpec money;
  double growth_per_year = 0, growth_years = 0;  // the plan serves the load of that time
  Redundancy redundancy = Redundancy::kNone;     // what may be lost at peak
  std::array<bool, kServiceClassCount> redundant{true, true, false, false};  // promises kept then
  double utilisation = 0.85;  // of a replica's throughput that is planned with

  double growth() const;  // factor on all rates
  // Of a zone, else the site's; carbon is empty where nobody knows it.
  double pue(const std::string& zone) const;
  const std::array<double, 24>& tariff_per_kwh(const std::string& zone) const;
  const std::optional<std::array<double, 24>>& carbon_g_per_kwh(const std::string& zone) const;
};

// Of a demand in its busiest hour, requests a second: less is a slip of the pen, and nothing that a
// program of doubles could weigh.
inline constexpr double kLeastRate = 1e-15;

// Share of its promises that the plan is to keep of a class, where a demand does not say.
double default_attain(ServiceClass service_class);

// Whether a file has to say who asks and what may be had; not where a record says it.
enum class Completeness { kWhole, kWithoutDemands };

// The catalogue must outlive nothing: everything is copied.
Result<Requirements> read_requirements(const std::string& path, const Catalog& catalog,
                                       Completeness completeness = Completeness::kWhole);
Result<Requirements> parse_requirements(std::string_view text, const std::string& name,
                                        const Catalog& catalog,
                                        Completeness completeness = Completeness::kWhole);

// What is expected of a length: over the law's distribution, cut at its maximum.
double mean_of(const LengthLaw& law);
double mean_of(const Demand& demand, bool output);
// A length that all but one in a hundred stay below.
long long long_of(const LengthLaw& law);

}  // namespace medley::data
