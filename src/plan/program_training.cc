#include "plan/program_training.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace medley::plan {

using data::DeviceOffer;

namespace {

bool runs(const data::TrainingJob& job, const Shift& shift) {
  return job.runs_at(shift.of_day.front());
}

bool runs(const data::TrainingJob& job, const Span& span) {
  return !job.once() || (job.start_day <= span.from_day &&
                         span.from_day + span.days <= job.start_day + job.deadline_days);
}

// Of a run, in device-hours at a place; 0: it cannot run there.
double device_hours(const Terms& terms, const data::TrainingJob& job, std::size_t place) {
  const auto hours = job.device_hours.find(terms.offer(terms.places[place]).accelerator.id);
  const Label& label = terms.requirements.frame.labels[job.label.number()];
  return hours == job.device_hours.end() || !label.allows(terms.places[place].zone) ? 0
                                                                                    : hours->second;
}

// However little a demand takes of a replica: where it is served one is not lent.
void keep_a_replica(const Terms& terms, Draft& draft, std::size_t p, std::size_t period, int lent) {
  for (std::size_t g = 0; g < draft.x.size(); ++g) {
    if (!terms.is_small(g, p) || draft.x[g][p][period] < 0)
      continue;
    const int there = draft.row(-kUnlimited, 0);
    draft.entry(draft.x[g][p][period], there,
                terms.requirements.demands[g].movable()
                    ? static_cast<double>(terms.periods[period].hours.size()) / 24
                    : terms.unit[g] / terms.periods[period].rate_per_s[g]);
    draft.entry(lent, there, 1);
    draft.entry(draft.replicas[p], there, -1);
  }
}

// Jobs that run on so many devices at once take turns on gangs of as many devices or more, which
// are the same on every day.
void add_gangs(const Terms& terms, Draft& draft, Training& training, std::size_t place) {
  std::set<int> sizes;
  for (const data::TrainingJob& job : terms.requirements.jobs) {
    if (job.gang > 0 && device_hours(terms, job, place) > 0)
      sizes.insert(job.gang);
  }
  for (std::size_t shift = 0; shift < terms.shifts.size() && !sizes.empty(); ++shift) {
    const int devices = draft.row(-kUnlimited, 0);
    for (const Training::Source& source : training.sources) {
      if (source.place == place && source.count[shift] >= 0)
        draft.entry(source.count[shift], devices,
                    source.type ? -terms.types[*source.type].devices : -1);
    }
    for (const int size : sizes) {
      const int count = draft.column({.whole = true});
      draft.entry(count, devices, size);
      training.gangs.push_back(
          {place, shift, size, count, std::vector<std::vector<int>>(terms.spans.size())});
    }
    for (std::size_t k = 0; k < terms.spans.size(); ++k) {
      std::map<int, int> turns;  // rows: by size
      for (const Training::Gang& gang : training.gangs) {
        if (gang.place == place && gang.shift == shift) {
          turns[gang.size] = draft.row(-kUnlimited, 0);
          draft.entry(gang.count, turns[gang.size], -terms.shifts[shift].hours());
        }
      }
      for (std::size_t j = 0; j < terms.requirements.jobs.size(); ++j) {
        const data::TrainingJob& job = terms.requirements.jobs[j];
        if (job.gang == 0 || device_hours(terms, job, place) <= 0 ||
            !runs(job, terms.shifts[shift]) || !runs(job, terms.spans[k]))
          continue;
        const int all = draft.row(0, 0);
        for (const Training::Work& work : training.work) {
          if (work.job == j && work.shift == shift && work.span == k &&
              training.sources[work.source].place == place)
            draft.entry(work.column, all, 1);
        }
        const auto [once, fresh] = training.one_at_a_time.try_emplace({j, shift, k}, 0);
        if (fresh)
          once->second = draft.row(-kUnlimited, terms.shifts[shift].hours());
        for (Training::Gang& gang : training.gangs) {
          if (gang.place != place || gang.shift != shift || gang.size < job.gang)
            continue;
          const int made = draft.column({});
          gang.hours[k].push_back(made);
          draft.entry(made, all, -job.gang);
          draft.entry(made, turns[gang.size], 1);
          draft.entry(made, once->second, 1);
        }
      }
    }
  }
}

}  // namespace

Training add_training(const Terms& terms, const std::vector<std::vector<int>>& single,
                      Draft& draft) {
  Training training;
  const auto& jobs = terms.requirements.jobs;
  // Of what is done once: its share of work is 1; of what comes back, 1/days on each of its days.
  std::vector<std::vector<int>> done(jobs.size());
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    for (std::size_t k = 0; k < (jobs[j].once() ? 1 : terms.spans.size()); ++k)
      done[j].push_back(draft.row(1, kUnlimited));
  }
  for (std::size_t i = 0; i < terms.places.size(); ++i) {
    const DeviceOffer& of = terms.offer(terms.places[i]);
    const auto may_run = [&](std::size_t shift) {
      return std::any_of(jobs.begin(), jobs.end(), [&](const data::TrainingJob& job) {
        return device_hours(terms, job, i) > 0 && runs(job, terms.shifts[shift]);
      });
    };
    const auto add = [&](std::optional<std::size_t> type) {
      training.sources.push_back({i, type, std::vector<int>(terms.shifts.size(), -1)});
      for (std::size_t s = 0; s < terms.shifts.size(); ++s) {
        if (!may_run(s))
          continue;
        const int made = draft.column(
            {.most = type ? static_cast<double>(terms.most[*type]) : kUnlimited, .whole = true});
        training.sources.back().count[s] = made;
        if (!type) {
          draft.entry(made, single[i][s], 1);
          draft.draw(terms, made, terms.places[i].zone, training_w(terms, i), s);
          continue;
        }
        for (const std::size_t t : terms.shifts[s].periods) {
          draft.entry(made, draft.capacity[*type][t], 1);
          keep_a_replica(terms, draft, *type, t, made);
        }
      }
    };
    const std::size_t first = training.sources.size();
    add(std::nullopt);
    for (std::size_t p = 0; p < terms.types.size(); ++p) {
      if (terms.stands_at(p, i) && terms.most[p] > 0)
        add(p);
    }
    for (std::size_t from = first; from < training.sources.size(); ++from) {
      const Training::Source& source = training.sources[from];
      const int width = source.type ? terms.types[*source.type].devices : 1;
      for (std::size_t s = 0; s < terms.shifts.size(); ++s) {
        if (source.count[s] < 0)
          continue;
        for (std::size_t k = 0; k < terms.spans.size(); ++k) {
          const int there = draft.row(-kUnlimited, 0);
          draft.entry(source.count[s], there, -width * terms.shifts[s].hours());
          for (std::size_t j = 0; j < jobs.size(); ++j) {
            const double whole_run = device_hours(terms, jobs[j], i);
            if (whole_run <= 0 || !runs(jobs[j], terms.shifts[s]) || !runs(jobs[j], terms.spans[k]))
              continue;
            const bool owned = of.deal == DeviceOffer::Deal::kBuy;
            const int made = draft.column(
                {.cost = added_w(terms, source) * 3600 * days_a_year(jobs[j], terms.spans[k]) *
                         terms.per_joule(owned, terms.places[i].zone, terms.shifts[s].of_day)});
            training.work.push_back({j, from, s, k, made});
            draft.entry(made, there, 1);
            draft.entry(made, done[j][jobs[j].once() ? 0 : k],
                        (jobs[j].once() ? terms.spans[k].days : jobs[j].deadline_days) / whole_run);
          }
        }
      }
    }
    add_gangs(terms, draft, training, i);
  }
  return training;
}

std::vector<std::vector<int>> trained_on(const Terms& terms, const Training& training,
                                         const std::function<double(int)>& at) {
  std::vector<std::vector<int>> counts;  // by source and shift
  for (const Training::Source& source : training.sources) {
    counts.emplace_back();
    for (const int column : source.count)
      counts.back().push_back(column < 0 ? 0 : static_cast<int>(std::llround(at(column))));
  }
  const auto up = [](double value) { return static_cast<int>(std::ceil(value - kLittle)); };
  for (std::size_t shift = 0; shift < terms.shifts.size(); ++shift) {
    std::vector<std::vector<double>> used(training.sources.size(),
                                          std::vector<double>(terms.spans.size(), 0));
    for (const Training::Work& work : training.work) {
      if (work.shift == shift)
        used[work.source][work.span] += at(work.column);
    }
    std::vector<int> spare(training.sources.size(), 0), devices(terms.places.size(), 0);
    for (std::size_t s = 0; s < training.sources.size(); ++s) {
      const int width =
          training.sources[s].type ? terms.types[*training.sources[s].type].devices : 1;
      int& count = counts[s][shift];
      const int need = up(*std::max_element(used[s].begin(), used[s].end()) /
                          (terms.shifts[shift].hours() * width));
      spare[s] = std::max(0, count - need);
      count -= spare[s];
      devices[training.sources[s].place] += count * width;
    }
    std::vector<int> in_gangs(terms.places.size(), 0);
    for (const Training::Gang& gang : training.gangs) {
      if (gang.shift != shift)
        continue;
      double most = 0;
      for (const std::vector<int>& columns : gang.hours) {
        double hours = 0;
        for (const int column : columns)
          hours += at(column);
        most = std::max(most, hours);
      }
      in_gangs[gang.place] += gang.size * up(most / terms.shifts[shift].hours());
    }
    for (std::size_t s = 0; s < training.sources.size(); ++s) {
      const int width =
          training.sources[s].type ? terms.types[*training.sources[s].type].devices : 1;
      const std::size_t place = training.sources[s].place;
      const int back =
          std::clamp((in_gangs[place] - devices[place] + width - 1) / width, 0, spare[s]);
      counts[s][shift] += back;
      devices[place] += back * width;
    }
  }
  return counts;
}

double days_a_year(const data::TrainingJob& job, const Span& span) {
  return span.days * (job.once() ? 1.0 : static_cast<double>(job.deadline_days) / job.every_days);
}

double training_w(const Terms& terms, std::size_t place) {
  const std::optional<Range>& tdp = terms.offer(terms.places[place]).accelerator.tdp_w;
  return tdp ? tdp->high : 0;
}

double added_w(const Terms& terms, const Training::Source& source) {
  const double idle =
      source.type ? terms.types[*source.type].idle_w / terms.types[*source.type].devices : 0;
  return std::max(0.0, training_w(terms, source.place) - idle);
}

}  // namespace medley::plan
