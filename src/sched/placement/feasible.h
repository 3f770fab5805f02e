// Whether a replica can take a request and keep its targets, by the point forecast: what policies
// that work with thresholds share.
#pragma once

#include "sched/placement/placement.h"

namespace medley::sched {

// Which share of each target a forecast may take up.
struct Margins {
  double ttft = 1, tpot = 1;
};

// Time since arrival and the forecast of the rest, against the targets; a deadline has the margin
// of the first token.
bool keeps_targets(const View& view, const Request& request, const Forecast& forecast,
                   const Margins& margins);

// A sequence is free and prompt and answer fit the KV cache. An empty replica has room for one
// request that fits at all.
bool has_room(const View& view, const Request& request, const ReplicaAccount& account);

}  // namespace medley::sched
