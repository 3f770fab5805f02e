// The name a user most likely meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace medley {

// The candidate with the smallest edit distance (insert, delete, replace, swap neighbours; case
// ignored), or empty when none is near: more than a third of the longer name's letters would have
// to change. Ties go to the earlier candidate.
std::string_view nearest_name(std::string_view given, std::span<const std::string> candidates);

// ", did you mean 'x'?" for the nearest name, else "; known: a, b, c" (all of them up to 32: more
// than there are policies).
std::string suggestion(std::string_view given, std::span<const std::string> candidates);

}  // namespace medley
