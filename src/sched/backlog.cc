#include "sched/backlog.h"

#include <algorithm>

#include "base/check.h"

namespace medley::sched {

std::size_t Backlog::capacity(ServiceClass service_class) {
  switch (service_class) {
    // Interactive classes wait for a target of about a second at most: a longer queue could only
    // expire.
    case ServiceClass::kGuaranteed:
      return 256;
    case ServiceClass::kStandard:
      return 1024;
    case ServiceClass::kFlex:
      return 8192;
    case ServiceClass::kBatch:
      return 100'000;
  }
  return 0;
}

Backlog::Key Backlog::key_of(const Request& request) {
  return {request.service_class, request.label, request.model,
          length_bucket(request.prompt_tokens)};
}

Backlog::Group& Backlog::insert(Waiting waiting, bool before_equals) {
  const Request& request = waiting.request;
  Group& group = groups_[key_of(request)];
  if (group.size == 0) {
    group.service_class = request.service_class;
    group.looked_at = {};
    group.tried = 0;
    group.margins.clear();
    occupied_.push_back(&group);
  }
  const TenantId taker = shares_.taker(request);
  const auto line = std::find_if(group.lines.begin(), group.lines.end(),
                                 [&](const Group::Line& l) { return l.tenant == taker; });
  const auto place = static_cast<std::size_t>(line - group.lines.begin());
  if (line == group.lines.end()) {
    Group::Line& added = group.lines.emplace_back(taker);
    added.at = added.requests.end();  // not a part of the present walk
  }
  Requests& requests = group.lines[place].requests;
  ++came_;
  const std::pair key(request.priority, before_equals ? -came_ : came_);
  const std::size_t index = index_of(request.service_class);
  expiries_.emplace(waiting.expires_at, request.id);
  ++sizes_[index];
  prompt_tokens_[index] += request.prompt_tokens.count();
  ++group.size;
  shares_.waits(request);
  const Requests::iterator at = requests.emplace_hint(
      before_equals ? requests.begin() : requests.end(), key, std::move(waiting));
  where_.emplace(at->second.request.id, Place{&group, place, at});
  return group;
}

Backlog::Group& Backlog::push(Waiting waiting) {
  MEDLEY_CHECK(has_room(waiting.request.service_class));
  return insert(std::move(waiting), false);
}

Backlog::Group& Backlog::push_front(Waiting waiting) { return insert(std::move(waiting), true); }

std::optional<Waiting> Backlog::remove(RequestId request) {
  const auto found = where_.find(request);
  if (found == where_.end())
    return std::nullopt;
  const auto [group, line, at] = found->second;
  Waiting waiting = std::move(at->second);
  group->lines[line].requests.erase(at);
  if (--group->size == 0)
    std::erase(occupied_, group);
  where_.erase(found);
  expiries_.erase({waiting.expires_at, request});
  const std::size_t index = index_of(waiting.request.service_class);
  --sizes_[index];
  prompt_tokens_[index] -= waiting.request.prompt_tokens.count();
  shares_.waits_no_more(waiting.request);
  return waiting;
}

template <typename Begin>
const Backlog::Group::Line* Backlog::first_line(const Group& group, const Begin& begin) const {
  const Group::Line* first = nullptr;
  for (const Group::Line& line : group.lines) {
    if (begin(line) != line.requests.end() &&
        (first == nullptr || shares_.before(group.service_class, line.tenant, first->tenant)))
      first = &line;
  }
  return first;
}

const Waiting& Backlog::head(const Group& group) const {
  const Group::Line* line = first_line(
      group, [](const Group::Line& l) -> Requests::const_iterator { return l.requests.begin(); });
  MEDLEY_CHECK(line != nullptr);
  return line->requests.begin()->second;
}

bool Backlog::before(const Group& a, const Group& b) const {
  if (a.service_class != b.service_class)
    return index_of(a.service_class) < index_of(b.service_class);
  const Request& first = head(a).request;
  const Request& second = head(b).request;
  const TenantId one = shares_.taker(first), other = shares_.taker(second);
  if (one != other)
    return shares_.before(a.service_class, one, other);
  return std::tuple(first.priority, first.arrived_at, first.id.number()) <
         std::tuple(second.priority, second.arrived_at, second.id.number());
}

void Backlog::start(Group& group) const {
  for (Group::Line& line : group.lines)
    line.at = line.requests.begin();
}

const Waiting* Backlog::at(const Group& group) const {
  const Group::Line* line =
      first_line(group, [](const Group::Line& l) -> Requests::const_iterator { return l.at; });
  return line == nullptr ? nullptr : &line->at->second;
}

const Waiting* Backlog::next(Group& group) const {
  const Group::Line* first =
      first_line(group, [](const Group::Line& l) -> Requests::const_iterator { return l.at; });
  for (Group::Line& line : group.lines) {
    if (&line == first)
      return &(line.at++)->second;
  }
  return nullptr;
}

Ahead Backlog::ahead_of(const Request& request) {
  const auto found = groups_.find(key_of(request));
  if (found == groups_.end() || found->second.size == 0)
    return Ahead::kNothing;
  shares_.lift(request);
  const Request& first = head(found->second).request;
  const TenantId taker = shares_.taker(request), holder = shares_.taker(first);
  if (taker == holder)
    return request.priority < first.priority ? Ahead::kNothing : Ahead::kItsKind;
  return shares_.before(request.service_class, taker, holder) ? Ahead::kNothing
                                                              : Ahead::kAnothersTurn;
}

std::optional<RequestId> Backlog::who_yields(const Request& newcomer) const {
  const TenantId taker = shares_.taker(newcomer);
  const Waiting* last = nullptr;  // of the tenant with the most
  TenantId of = taker;
  double most = shares_.waiting(newcomer.service_class, taker, 1);
  const auto comes_later = [](const Request& a, const Request& b) {
    return std::tuple(a.priority, a.arrived_at, a.id.number()) >
           std::tuple(b.priority, b.arrived_at, b.id.number());
  };
  for (const Group* group : occupied_) {
    if (group->service_class != newcomer.service_class)
      continue;
    for (const Group::Line& line : group->lines) {
      if (line.requests.empty())
        continue;
      const double waiting =
          shares_.waiting(newcomer.service_class, line.tenant, line.tenant == taker ? 1 : 0);
      const Waiting& here = line.requests.rbegin()->second;
      const bool more = line.tenant != of && waiting > most;
      if (more || (line.tenant == of &&
                   comes_later(here.request, last == nullptr ? newcomer : last->request))) {
        last = &here;
        most = waiting;
        of = line.tenant;
      }
    }
  }
  return last == nullptr ? std::nullopt : std::optional(last->request.id);
}

std::optional<std::pair<Instant, RequestId>> Backlog::next_expiry() const {
  if (expiries_.empty())
    return std::nullopt;
  return *expiries_.begin();
}

long long Backlog::prompt_tokens_ahead(ServiceClass service_class) const {
  long long sum = 0;
  for (std::size_t i = 0; i <= index_of(service_class); ++i)
    sum += prompt_tokens_[i];
  return sum;
}

}  // namespace medley::sched
