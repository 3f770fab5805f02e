// The ids of our nouns.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/id.h"

namespace medley {

using RequestId = Id<struct RequestTag>;
using ReplicaId = Id<struct ReplicaTag>;  // counted from 0 through all pools, in file order
using PoolId = Id<struct PoolTag>;        // the pool's place in Fleet::pools
using LabelId = Id<struct LabelTag>;      // the label's place in Fleet::labels
using OfferId = Id<struct OfferTag>;      // the name's place in Fleet::offers
using TenantId = Id<struct TenantTag>;    // the tenant's place in Fleet::tenants

// A request's name on the wire and in logs: "req-" and at least eight hexadecimal digits.
std::string name_of(RequestId request);
// Reads that name, or a plain decimal number (the row of a trace); empty when it is neither.
std::optional<RequestId> request_named(std::string_view text);

}  // namespace medley
