// JSON out, the same everywhere: Boost.JSON's values, written with the shortest digits that read
// back the same (8.5, not 8.5E0) and null for what is not finite.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace medley::data {

// On one line.
std::string json_text(const boost::json::value& value);
// Indented by two spaces, short arrays and objects without structure on one line, a line end at the
// end.
std::string json_pretty(const boost::json::value& value);

}  // namespace medley::data
