// What every room of the program is stated in, worked out once from the requirements.
//
// Owns: periods, shifts and spans, places, the unit of each demand's columns, bounds on replicas,
// and money and load by the piece. Nothing here fails. It refers to the requirements, types and
// options that it was made of, which outlive it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "plan/program.h"
#include "plan/program_hours.h"

namespace medley::plan {

inline constexpr double kJoulesAKwh = 3.6e6;
inline constexpr double kLittle = 1e-6;

// Money for a demand's mean request.
double metered_price(const Metered& metered, const data::Demand& demand);

// Devices of one offer in one zone.
struct Place {
  std::size_t offer;
  std::string zone;
};

struct Terms {
  Terms(const data::Requirements& requirements, const std::vector<PoolType>& types,
        const PlanOptions& options);

  const data::Requirements& requirements;
  const std::vector<PoolType>& types;
  const PlanOptions& options;
  std::vector<Period> periods;
  std::vector<Span> spans;
  std::vector<Shift> shifts;
  std::vector<double> safety;  // by demand
  std::vector<double> unit;    // by demand: requests/s for a 1 in its columns
  std::vector<Place> places;
  // By type: more than all that could use it need, its loss and all jobs included, never helps.
  std::vector<int> most;

  const data::DeviceOffer& offer(const Place& place) const {
    return requirements.devices[place.offer];
  }
  // Whether a type stands on devices of that place.
  bool stands_at(std::size_t type, std::size_t place) const;
  // A service that a caller holds at none is not used, whatever is lost.
  bool left_out(std::size_t type) const;
  bool bought(const PoolType& type) const;
  // Money for a joule at the meter of the devices, in that period: what is rented comes with its
  // energy.
  double per_joule(bool owned, const std::string& zone, const std::vector<int>& hours) const;
  // For a watt of owned devices in a zone through the year.
  double per_watt(const std::string& zone) const;
  // Replica-seconds a second that one request a second takes.
  double load(std::size_t demand, std::size_t type) const;
  // So little of a replica that it could come too near to a solver's tolerance.
  bool is_small(std::size_t demand, std::size_t type) const;
  // Requests of a day that one unit of a column takes from a quota: exactly so many, or more where
  // simulation asked for room.
  double of_quota(std::size_t demand, std::size_t period) const;
};

}  // namespace medley::plan
