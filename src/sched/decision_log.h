// The decision log's lines: one JSON object each, what `medley explain` reads. Text only; drivers
// write the file.
#pragma once

#include <optional>
#include <string>

#include "domain/fleet.h"
#include "sched/explanation.h"

namespace medley::sched {

// What became of a request, as far as its driver saw it.
struct LoggedResult {
  RequestId request;
  std::string outcome;  // "completed", "rejected", "failed", "cancelled"
  std::optional<double> ttft_s, tpot_s, e2e_s, joules, money;
  std::optional<long long> output_tokens;
  std::optional<long long> handed_over;  // tokens of the prompt that another engine read
};

// The first line: which driver wrote it, and the pools and labels that later lines name by number.
std::string log_header(const Fleet& fleet, std::string_view driver);
std::string log_line(const Explanation& explanation, const Fleet& fleet);
std::string log_line(const LoggedResult& result);

}  // namespace medley::sched
