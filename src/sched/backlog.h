// Work that has been admitted and waits for a replica.
//
// Groups of a class, a label and a model, each in order of arrival, so that work which waits for
// one pool never stands in the way of work that another could take. Bounded by class: a burst turns
// into rejections the client can see and not into latency nobody asked for.
#pragma once

#include <array>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/plant.h"
#include "domain/request.h"

namespace medley::sched {

struct Waiting {
  Request request;                   // with the targets that apply
  Instant expires_at;                // from then on its targets are out of reach
  std::vector<ReplicaId> failed_on;  // replicas that refused or broke it: not tried again
  int failures = 0;                  // dispatches that failed, those on lost replicas too
};

class Backlog {
 public:
  using Requests = std::list<Waiting>;
  // Of one class, label, model and about one length.
  struct Group {
    ServiceClass service_class{};
    Requests requests;  // in order of arrival
    // What its owner remembers of its looks at the head, for as long as the group is not empty.
    Instant looked_at;            // at all replicas
    std::vector<double> margins;  // by pool: how near the last look there came
  };

  bool has_room(ServiceClass service_class) const {
    return planted(Bug::kBacklogUnbounded) || size(service_class) < capacity(service_class);
  }
  // Precondition: has_room() for its class. Answers its group.
  Group& push(Waiting waiting);
  // At the head of its group, whatever the capacity: a request that was dispatched and came back.
  Group& push_front(Waiting waiting);
  // Removes and answers it; empty when it does not wait here.
  std::optional<Waiting> remove(RequestId request);

  bool empty() const { return where_.empty(); }
  std::size_t size(ServiceClass service_class) const { return sizes_[index_of(service_class)]; }
  bool group_empty(const Request& request) const;
  // The groups that are not empty, in no order that means anything. Valid until the next change.
  const std::vector<Group*>& groups() { return occupied_; }
  // Who expires first, and when; empty when nothing waits.
  std::optional<std::pair<Instant, RequestId>> next_expiry() const;
  // Prompt tokens waiting in this class and those before it.
  long long prompt_tokens_ahead(ServiceClass service_class) const;

  static std::size_t capacity(ServiceClass service_class);

 private:
  using Key = std::tuple<ServiceClass, LabelId, OfferId, int>;
  static Key key_of(const Request& request);
  struct Place {
    Group* group;
    Requests::iterator at;
  };
  Group& insert(Waiting waiting, bool at_front);

  std::map<Key, Group> groups_;  // never shrinks: there are only so many kinds
  std::vector<Group*> occupied_;
  std::unordered_map<RequestId, Place> where_;
  std::set<std::pair<Instant, RequestId>> expiries_;
  std::array<std::size_t, kServiceClassCount> sizes_{};
  std::array<long long, kServiceClassCount> prompt_tokens_{};
};

}  // namespace medley::sched
