// Where figures come from, for people: keys of a catalogue's tables of sources and what they stand
// for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/catalog.h"

namespace medley::cli {

// "A, B" -> {"A", "B"}.
std::vector<std::string> split_sources(const std::string& joined);

// A line a key, in the order given; a key the table lacks is "unknown".
std::string sources_text(const std::vector<std::string>& keys, const data::SourceTable& table);

// The letter of a group of an accelerator's figures; that of a finer group where it has one. Empty:
// ungraded.
std::string confidence_of(const Accelerator& accelerator, std::string_view group,
                          std::string_view finer = {});

}  // namespace medley::cli
