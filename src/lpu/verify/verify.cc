#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "lpu/verify/verifier.h"

namespace medley::lpu::verify {

Certificate Verifier::run() {
  weights_ = target_.format(schedule_.weights);
  cache_ = target_.format(schedule_.cache);
  if (weights_ == nullptr || cache_ == nullptr) {
    find("the target has no such number format");
    return std::move(certificate_);
  }
  if (schedule_.group < 1 || schedule_.node != std::min(schedule_.group, target_.node_chips) ||
      schedule_.group % schedule_.node != 0) {
    find("a group that is neither part of a node nor whole nodes");
    return std::move(certificate_);
  }
  parts_ = static_cast<int>(std::count_if(
      schedule_.segments.begin(), schedule_.segments.end(),
      [](const Segment& s) { return s.kind == SegmentKind::kHead && s.tokens == 1; }));
  for (const Segment& segment : schedule_.segments) {
    segment_ = &segment;
    check_form();
    if (!certificate_.valid())
      break;  // what follows counts on it
    check_units();
    check_memory();
    check_times();
    check_planes();
    check_places();
    check_order();
    for (int chip = 0; chip < schedule_.group; ++chip)
      check_values(chip);
    check_matrices();
    check_attention();
    check_constants();
    check_table();
    check_exchanges();
  }
  segment_ = nullptr;
  check_stages();
  if (certificate_.valid())
    check_chunks();  // counts on the runs
  return std::move(certificate_);
}

void Verifier::find(const std::string& message, int instruction) {
  if (certificate_.findings.size() >= Certificate::kMostFindings)
    return;
  std::string where;
  if (segment_ != nullptr)
    where = segment_->name + ": ";
  if (instruction >= 0) {
    const Instruction& in = segment_->instructions[static_cast<std::size_t>(instruction)];
    where +=
        fmt::format("instruction {} ({}) at cycle {}: ", instruction, name_of(in.op), in.start);
  }
  certificate_.findings.push_back(where + message);
}

std::int64_t Verifier::link_cycles(int bytes) const {
  const auto whole = static_cast<std::int64_t>(bytes / target_.link_bytes_per_cycle);
  return std::max<std::int64_t>(
      1, whole + (static_cast<double>(whole) * target_.link_bytes_per_cycle < bytes ? 1 : 0));
}

void Verifier::check_taken(std::vector<Taken>& taken, const char* what) {
  std::sort(taken.begin(), taken.end(), [](const Taken& a, const Taken& b) {
    return std::tie(a.key, a.begin, a.end, a.instruction) <
           std::tie(b.key, b.begin, b.end, b.instruction);
  });
  for (std::size_t i = 1; i < taken.size(); ++i) {
    const Taken &a = taken[i - 1], &b = taken[i];
    if (a.key == b.key && b.begin < a.end) {
      find(fmt::format("{} is taken by instruction {} in cycle {} too", what, a.instruction,
                       b.begin),
           b.instruction);
      return;
    }
  }
}

const chip::NumberFormat& Verifier::format_of(const Instruction& in) const {
  const Instruction& installed =
      in.op == Op::kMultiply ? segment_->instructions[static_cast<std::size_t>(in.tile)] : in;
  return installed.accesses.front().area == Area::kCache ? *cache_ : *weights_;
}

Certificate verify(const chip::Schedule& schedule, const Target& target, const Shape& shape) {
  return Verifier(schedule, target, shape).run();
}

}  // namespace medley::lpu::verify
