// A door before any policy: its choice is carried out where the forecast says that the request's
// targets will be kept, with a margin. Else the request waits in the core's backlog, and is refused
// once its targets are out of reach. So a policy that dispatches everything at arrival can be
// compared with one that refuses (reference: every published policy gains most by this).
#pragma once

#include <memory>

#include "sched/placement/placement.h"

namespace medley::sched {

class AdmissionPlacement final : public Placement {
 public:
  explicit AdmissionPlacement(std::unique_ptr<Placement> inner) : inner_(std::move(inner)) {}
  Choice choose(const View& view, const Request& request, std::span<const Forbidden> filtered,
                std::span<const ReplicaId> avoid, bool last_chance,
                std::vector<Candidate>* candidates) override;
  bool holds_back() const override { return true; }
  bool predicts() const override { return true; }
  std::optional<double> rank(const View& view, const Request& request,
                             std::span<const Forbidden> filtered) override {
    return inner_->rank(view, request, filtered);
  }
  void dispatched(Instant now, const Resident& resident) override {
    inner_->dispatched(now, resident);
  }
  void left(Instant now, const Resident& resident, std::optional<Tokens> generated) override {
    inner_->left(now, resident, generated);
  }

 private:
  const std::unique_ptr<Placement> inner_;
};

}  // namespace medley::sched
