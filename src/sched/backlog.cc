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

Backlog::Group& Backlog::insert(Waiting waiting, bool at_front) {
  Group& group = groups_[key_of(waiting.request)];
  if (group.requests.empty()) {
    group.service_class = waiting.request.service_class;
    group.looked_at = {};
    group.margins.clear();
    occupied_.push_back(&group);
  }
  const Requests::iterator at = group.requests.insert(
      at_front ? group.requests.begin() : group.requests.end(), std::move(waiting));
  const std::size_t index = index_of(at->request.service_class);
  where_.emplace(at->request.id, Place{&group, at});
  expiries_.emplace(at->expires_at, at->request.id);
  ++sizes_[index];
  prompt_tokens_[index] += at->request.prompt_tokens.count();
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
  const auto [group, at] = found->second;
  Waiting waiting = std::move(*at);
  group->requests.erase(at);
  if (group->requests.empty())
    std::erase(occupied_, group);
  where_.erase(found);
  expiries_.erase({waiting.expires_at, request});
  const std::size_t index = index_of(waiting.request.service_class);
  --sizes_[index];
  prompt_tokens_[index] -= waiting.request.prompt_tokens.count();
  return waiting;
}

bool Backlog::group_empty(const Request& request) const {
  const auto found = groups_.find(key_of(request));
  return found == groups_.end() || found->second.requests.empty();
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
