// The baselines by name, for the factory: each in the file of its name.
//
// `live`: signals that are polled as published are seen as they are at every decision.
#pragma once

#include <memory>

#include "sched/placement/placement.h"

namespace medley::sched {

std::unique_ptr<Placement> make_p2c();
std::unique_ptr<Placement> make_skypilot_instance_aware();
std::unique_ptr<Placement> make_smg_least_load(bool live);
enum class CacheAware { kCommandLine, kLibrary };  // whose defaults
std::unique_ptr<Placement> make_smg_cache_aware(CacheAware defaults);
std::unique_ptr<Placement> make_dynamo_kv();
std::unique_ptr<Placement> make_static_grid();
std::unique_ptr<Placement> make_llmd_default(bool live);
enum class Headroom { kLeast, kMost };
std::unique_ptr<Placement> make_llmd_headroom(Headroom headroom, bool live);
std::unique_ptr<Placement> make_aibrix_slo();
std::unique_ptr<Placement> make_aibrix_prefix_cache();
enum class Samples { kAsPublished, kRepaired };
std::unique_ptr<Placement> make_litellm_latency(Samples samples);
std::unique_ptr<Placement> make_litellm_cost();
std::unique_ptr<Placement> make_multi_factor();
std::unique_ptr<Placement> make_splitwise();
std::unique_ptr<Placement> make_polyserve();
std::unique_ptr<Placement> make_greedy_cheapest();

}  // namespace medley::sched
