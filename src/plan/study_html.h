// A study as one HTML file for whoever has to sign: the fleet in words, its proof, its day, the
// other fleets, cost against interactivity, what moves the answer. Nothing is loaded from
// elsewhere, no script runs; the same study gives the same bytes.
#pragma once

#include <string>

#include "plan/study.h"

namespace medley::plan {

// `command` is what made it. Precondition: a plan was found.
std::string to_html(const Study& study, const std::string& command);

// The answer in a few sentences, for the page and for docs.
std::string in_words(const Study& study);

}  // namespace medley::plan
