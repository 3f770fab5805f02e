#include "plan/training_rows.h"

#include <fmt/format.h>

#include <algorithm>

namespace medley::plan {

std::string hours_in_words(const std::array<bool, 24>& hours) {
  if (std::count(hours.begin(), hours.end(), true) == 24)
    return "all day";
  std::string out;
  for (std::size_t from = 0; from < 24; ++from) {
    if (!hours[from] || hours[(from + 23) % 24])
      continue;
    std::size_t to = from;
    while (hours[to % 24])
      ++to;
    out += fmt::format("{}{}-{}", out.empty() ? "" : ", ", from, to <= 24 ? to : to % 24);
  }
  return out;
}

std::string days_in_words(const data::TrainingJob& job) {
  const auto days = [](int count) {
    return count == 1 ? std::string("day") : fmt::format("{} days", count);
  };
  if (job.once()) {
    return fmt::format("once, in {} {}{}", job.deadline_days,
                       job.deadline_days == 1 ? "day" : "days",
                       job.start_day > 0 ? fmt::format(" after day {}", job.start_day) : "");
  }
  return "every " + days(job.every_days) +
         (job.deadline_days < job.every_days ? ", in " + fmt::format("{}", job.deadline_days) : "");
}

std::vector<std::string> training_titles() {
  return {"training",     "asked",   "on",   "zone",     "hours of day",
          "device-hours", "at once", "done", "kWh a run"};
}

std::vector<std::vector<std::string>> training_rows(const data::Requirements& requirements,
                                                    const Plan& plan) {
  std::vector<std::vector<std::string>> rows;
  for (const Plan::Training& of : plan.training) {
    const data::TrainingJob& job = requirements.jobs[of.job];
    rows.push_back({job.name, days_in_words(job), requirements.devices[of.device].name, of.zone,
                    hours_in_words(of.hours), fmt::format("{:.4g}", of.device_hours),
                    job.gang > 0 ? std::to_string(job.gang) : "any",
                    job.once()               ? fmt::format("day {}", of.done_day)
                    : job.deadline_days == 1 ? "the same day"
                                             : fmt::format("in {} days", job.deadline_days),
                    fmt::format("{:.4g}", of.kwh)});
  }
  return rows;
}

std::string trainers_in_words(const data::Requirements& requirements, const Plan& plan) {
  std::string out;
  for (const auto& [place, devices] : plan.trainers) {
    out += fmt::format("{}{} of {} in {}", out.empty() ? "" : ", ",
                       devices == 1 ? "1 device" : fmt::format("{} devices", devices),
                       requirements.devices[place.first].name, place.second);
  }
  const bool one = plan.trainers.size() == 1 && plan.trainers.begin()->second == 1;
  return out.empty() ? out : out + (one ? " only trains." : " only train.");
}

std::string lent_in_words(const std::vector<Period>& periods, const std::vector<int>& lent) {
  const int most = lent.empty() ? 0 : *std::max_element(lent.begin(), lent.end());
  if (most == 0)
    return {};
  std::array<bool, 24> hours{};
  for (std::size_t t = 0; t < periods.size(); ++t) {
    for (const int hour : periods[t].hours)
      hours[static_cast<std::size_t>(hour)] = lent[t] > 0;
  }
  return fmt::format("training ({} lent, {})", most, hours_in_words(hours));
}

}  // namespace medley::plan
