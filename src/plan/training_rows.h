// What a plan says of training, the same in the table and in the report.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "plan/program.h"

namespace medley::plan {

// "22-6, 12-13"; "all day" of all hours.
std::string hours_in_words(const std::array<bool, 24>& hours);

// "once, in 14 days from day 3 on", "every 7 days", "every day".
std::string days_in_words(const data::TrainingJob& job);

// Titles, and a row for each job and kind of device it runs on.
std::vector<std::string> training_titles();
std::vector<std::vector<std::string>> training_rows(const data::Requirements& requirements,
                                                    const Plan& plan);

// "3 devices of h100_sxm in campus only train."; empty: none do.
std::string trainers_in_words(const data::Requirements& requirements, const Plan& plan);

// Of a pool whose replicas are lent: "training (2 lent, 22-6)"; empty: none are.
std::string lent_in_words(const std::vector<Period>& periods, const std::vector<int>& lent);

}  // namespace medley::plan
