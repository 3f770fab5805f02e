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

void Backlog::inserted(Group::iterator at) {
  const std::size_t index = index_of(at->request.service_class);
  where_.emplace(at->request.id, at);
  expiries_.emplace(at->expires_at, at->request.id);
  ++sizes_[index];
  prompt_tokens_[index] += at->request.prompt_tokens.count();
}

void Backlog::push(Waiting waiting) {
  MEDLEY_CHECK(has_room(waiting.request.service_class));
  Group& group = groups_[key_of(waiting.request)];
  inserted(group.insert(group.end(), std::move(waiting)));
}

void Backlog::push_front(Waiting waiting) {
  Group& group = groups_[key_of(waiting.request)];
  inserted(group.insert(group.begin(), std::move(waiting)));
}

std::optional<Waiting> Backlog::remove(RequestId request) {
  const auto found = where_.find(request);
  if (found == where_.end())
    return std::nullopt;
  const Group::iterator at = found->second;
  Waiting waiting = std::move(*at);
  groups_.at(key_of(waiting.request)).erase(at);
  where_.erase(found);
  expiries_.erase({waiting.expires_at, request});
  const std::size_t index = index_of(waiting.request.service_class);
  --sizes_[index];
  prompt_tokens_[index] -= waiting.request.prompt_tokens.count();
  return waiting;
}

bool Backlog::group_empty(const Request& request) const {
  const auto found = groups_.find(key_of(request));
  return found == groups_.end() || found->second.empty();
}

std::vector<const Backlog::Group*> Backlog::groups(ServiceClass service_class) const {
  std::vector<const Group*> found;
  for (const auto& [key, group] : groups_) {
    if (std::get<ServiceClass>(key) == service_class && !group.empty())
      found.push_back(&group);
  }
  std::stable_sort(found.begin(), found.end(), [](const Group* a, const Group* b) {
    return a->front().request.arrived_at < b->front().request.arrived_at;
  });
  return found;
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
