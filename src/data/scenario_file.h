// Scenario files: a fleet, the requests that meet it, what fails when, and what is expected to come
// out.
//
// What a file may leave out:
//   name       the file's name
//   mix        class standard, the default label and tenant, and the one name of `accept`, else the
//   first pool's
//              model
//   placement  the fleet's
//   faults     none
//   outside    nobody
//   signals_every_s  engines report nothing
//   seed       1
//   expected   nothing
// The fleet is a file (`fleet: fleet.yaml`), or its keys stand in the scenario. Secrets are not
// looked up.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "data/trace.h"
#include "data/workload_file.h"
#include "domain/fleet.h"

namespace medley::data {

// Requests that are too long for the class they drew: of another class instead.
struct LongerRule {
  long long than_tokens = 0;  // of the prompt and the answer, this counted as 64 tokens at least
  ServiceClass become = ServiceClass::kStandard;
};
inline constexpr long long kLeastAnswer = 64;  // tokens that a client asks room for, see LongerRule

// How requests get what the trace does not say: drawn in proportion to the weights, which sum up
// to 1.
struct Mix {
  std::array<double, kServiceClassCount> classes{};
  // By the class drawn; applied once, before the model is drawn.
  std::array<std::optional<LongerRule>, kServiceClassCount> longer;
  // Every request states a limit on its answer: the true length, but no less than this. Empty: none
  // does.
  std::optional<long long> max_tokens_at_least;
  std::vector<double> labels;                                  // by LabelId
  std::vector<double> tenants;                                 // by TenantId
  std::array<std::vector<double>, kServiceClassCount> models;  // by class and OfferId
  // Priorities and their weights, in the file's order; empty: all 0.
  std::vector<long long> priorities;
  std::vector<double> priority_weights;
};

// A replica that is lost, or slower by `slowdown`, from `at_s` on for `for_s` seconds, or for good.
struct Fault {
  ReplicaId replica;
  double at_s = 0;
  std::optional<double> for_s;
  std::optional<double> slowdown;  // empty: lost
};

// What others send to a pool's replicas past medley, each request to one of them at random.
struct Outside {
  PoolId pool;
  WorkloadSpec workload;  // says nothing of class, label, model and tenant
};

// What a figure of the report is to be: from `at_least` to `at_most`, which are equal for one
// number.
struct Expected {
  double at_least = -std::numeric_limits<double>::infinity();
  double at_most = std::numeric_limits<double>::infinity();

  // Within 1e-6 of the ends, relative from 1 up, absolute below.
  bool holds(double figure) const;
};
// "0.5", "at least 0.5", "at least 0.5 and at most 0.7".
std::string text_of(const Expected& expected);

class Node;
// The map under `expected`. Nested keys are joined by dots.
Status read_expected(const Node& node, std::map<std::string, Expected>& expected);

struct Scenario {
  std::string name, file;
  Fleet fleet;
  std::optional<TraceSpec> trace;     // exactly one of these two
  std::optional<TraceCopies> copies;  // of the trace
  std::optional<WorkloadSpec> workload;
  Mix mix;
  std::vector<Fault> faults;  // in file order
  std::vector<Outside> outside;
  std::optional<double> signals_every_s;  // engines report their load so often; empty: never
  std::uint64_t seed = 1;
  std::map<std::string, Expected> expected;  // nested keys joined by dots: "ttft_s.p99"
};

Result<Scenario> read_scenario(const std::string& path, const Catalog& catalog);
// The same with the catalogue of a folder, which is read only if the scenario names anything of it:
// pools that are timed by tables do not, and are simulated sooner without.
Result<Scenario> read_scenario(const std::string& path, const std::string& catalog_folder);
// From memory; `name` stands for the file, relative paths start at its folder.
Result<Scenario> parse_scenario(std::string_view text, const std::string& name,
                                const Catalog& catalog);

}  // namespace medley::data
