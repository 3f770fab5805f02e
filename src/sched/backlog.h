// Work that has been admitted and waits for a replica.
//
// Groups of a class, a label, a model and about one length, so that work which waits for one pool
// never stands in the way of work that another could take. Within a group each tenant has a line of
// its own, by priority and then in order of arrival; whose line comes first is a matter of fair
// shares. Bounded by class: a burst turns into rejections the client can see and not into latency
// nobody asked for.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/plant.h"
#include "domain/fleet.h"
#include "domain/request.h"
#include "sched/explanation.h"
#include "sched/fair_shares.h"

namespace medley::sched {

struct Waiting {
  Request request;                   // with the targets that apply
  Instant expires_at;                // from then on its targets are out of reach
  std::vector<ReplicaId> failed_on;  // replicas that refused or broke it: not tried again
  int failures = 0;                  // dispatches that failed, those on lost replicas too
  int preemptions = 0;               // how often guaranteed work took its place
};

class Backlog {
 public:
  explicit Backlog(const Fleet& fleet) : shares_(fleet) {}

  // By priority, then as they came.
  using Requests = std::map<std::pair<long long, long long>, Waiting>;
  // Of one class, label, model and about one length.
  struct Group {
    ServiceClass service_class{};
    std::size_t size = 0;
    // What its owner remembers of its looks at the head, for as long as the group is not empty.
    Instant looked_at;            // at all replicas
    std::size_t tried = 0;        // of the round in progress, from its head on
    std::vector<double> margins;  // by pool: how near the last look there came

   private:
    friend class Backlog;
    struct Line {
      explicit Line(TenantId of) : tenant(of) {}
      TenantId tenant;
      Requests requests;
      Requests::iterator at;  // where the present walk is
    };
    // Never shrinks: there are only so many tenants. A deque: lines that are added during a walk
    // leave the others and their iterators where they are.
    std::deque<Line> lines;
  };

  bool has_room(ServiceClass service_class) const {
    return planted(Bug::kBacklogUnbounded) || size(service_class) < capacity(service_class);
  }
  // Who goes where there is no room for one more: the last of the tenant with the most waiting work
  // of this class per weight, the newcomer counted in. Empty: the newcomer itself.
  std::optional<RequestId> who_yields(const Request& newcomer) const;
  // Precondition: has_room() for its class. Answers its group.
  Group& push(Waiting waiting);
  // Before its equals, whatever the capacity: a request that was dispatched and came back.
  Group& push_front(Waiting waiting);
  // Removes and answers it; empty when it does not wait here.
  std::optional<Waiting> remove(RequestId request);

  bool empty() const { return where_.empty(); }
  std::size_t size(ServiceClass service_class) const { return sizes_[index_of(service_class)]; }
  // What of its own kind would come before a request that comes now.
  Ahead ahead_of(const Request& request);
  // The groups that are not empty, in no order that means anything. Valid until the next change.
  const std::vector<Group*>& groups() { return occupied_; }
  // Precondition for both: the group is not empty.
  const Waiting& head(const Group& group) const;
  // Whether the head of `a` comes before that of `b`: dearer classes first, then whose turn it is,
  // then by priority, then who came first.
  bool before(const Group& a, const Group& b) const;

  // Goes through a group in order: start(), then next() for each, null at the end. What next()
  // answered may be removed. at() is what next() would answer.
  void start(Group& group) const;
  const Waiting* at(const Group& group) const;
  const Waiting* next(Group& group) const;

  // Who expires first, and when; empty when nothing waits.
  std::optional<std::pair<Instant, RequestId>> next_expiry() const;
  // Prompt tokens waiting in this class and those before it.
  long long prompt_tokens_ahead(ServiceClass service_class) const;
  FairShares& shares() { return shares_; }

  static std::size_t capacity(ServiceClass service_class);

 private:
  using Key = std::tuple<ServiceClass, LabelId, OfferId, int>;
  static Key key_of(const Request& request);
  struct Place {
    Group* group;
    std::size_t line;
    Requests::iterator at;
  };
  Group& insert(Waiting waiting, bool before_equals);
  // Of the lines that `begin` says are not at their end, the first.
  template <typename Begin>
  const Group::Line* first_line(const Group& group, const Begin& begin) const;

  FairShares shares_;
  std::map<Key, Group> groups_;  // never shrinks: there are only so many kinds
  std::vector<Group*> occupied_;
  std::unordered_map<RequestId, Place> where_;
  std::set<std::pair<Instant, RequestId>> expiries_;
  std::array<std::size_t, kServiceClassCount> sizes_{};
  std::array<long long, kServiceClassCount> prompt_tokens_{};
  long long came_ = 0;
};

}  // namespace medley::sched
