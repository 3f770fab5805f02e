#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "lpu/verify/verifier.h"

namespace medley::lpu::verify {
namespace {

// Which unit carries out what.
UnitKind unit_for(Op op) {
  switch (op) {
    case Op::kInstall:
      return UnitKind::kInstall;
    case Op::kMultiply:
      return UnitKind::kMultiply;
    case Op::kSwap:
    case Op::kShift:
    case Op::kAppendKey:
    case Op::kAppendValue:
      return UnitKind::kSwitch;
    case Op::kSend:
      return UnitKind::kLink;
    case Op::kHandOn:
      return UnitKind::kNext;
    case Op::kEmbed:
    case Op::kCopy:
    case Op::kZero:
    case Op::kNorm:
    case Op::kSum:
    case Op::kAngles:
    case Op::kRotate:
    case Op::kSoftmax:
    case Op::kScale:
    case Op::kGate:
    case Op::kRoute:
    case Op::kChoose:
      break;
  }
  return UnitKind::kVector;
}

}  // namespace

// Indices that all else relies on.
void Verifier::check_form() {
  const int count = static_cast<int>(segment_->instructions.size());
  for (int i = 0; i < count; ++i) {
    const Instruction& in = segment_->instructions[static_cast<std::size_t>(i)];
    ++certificate_.instructions;
    bool sound = in.start >= 0 && in.busy >= 1;
    switch (in.unit.kind) {
      case UnitKind::kInstall:
      case UnitKind::kMultiply:
        sound = sound && in.unit.hemisphere < target_.hemispheres && in.unit.index >= 0 &&
                in.unit.count >= 1 && in.unit.index + in.unit.count <= target_.planes;
        break;
      case UnitKind::kSwitch:
        sound = sound && in.unit.hemisphere < target_.hemispheres && in.unit.index == 0 &&
                in.unit.count == 1;
        break;
      case UnitKind::kLink:
        // Within the node by the link of the distance, else by one of those that lead out.
        sound = sound && in.detail >= 1 && in.detail < schedule_.group &&
                (in.detail < schedule_.node
                     ? in.unit.index == in.detail
                     : in.unit.index >= target_.node_chips &&
                           in.unit.index < target_.node_chips + target_.far_links) &&
                in.unit.hemisphere < target_.hemispheres && in.unit.count == 1;
        break;
      case UnitKind::kNext:
        sound = sound && (in.detail == 0 || in.detail == 1);
        [[fallthrough]];
      case UnitKind::kVector:  // there is one of each
        sound = sound && in.unit == chip::Unit{.kind = in.unit.kind};
        break;
    }
    if (!sound)
      find("there is no such unit", i);
    if (in.unit.kind != unit_for(in.op))
      find(fmt::format("a {} unit cannot do it", name_of(in.unit.kind)), i);
    const bool reads = std::any_of(in.accesses.begin(), in.accesses.end(),
                                   [](const Access& a) { return !a.write; });
    if (!reads && in.op != Op::kZero && in.op != Op::kAngles)
      find("reads nothing", i);
    if (in.op == Op::kMultiply &&
        (in.tile < 0 || in.tile >= count ||
         segment_->instructions[static_cast<std::size_t>(in.tile)].op != Op::kInstall)) {
      find("multiplies with what was not installed", i);
    }
    for (const Access& a : in.accesses) {
      ++certificate_.accesses;
      certificate_.vectors += std::int64_t{a.rows} * std::max<int>(1, a.streams);
      if (a.remote && in.unit.kind == UnitKind::kLink)
        certificate_.hops += std::int64_t{a.rows} * schedule_.group;
      if (a.hemisphere >= target_.hemispheres || a.bank >= target_.banks || a.slice < 0 ||
          a.slices < 1 || a.slice + a.slices > target_.slices || a.row < 0 || a.rows < 1 ||
          a.period < 1 || a.cycle < 0 || a.lane < 0 || a.lane + a.lanes > target_.lanes) {
        find("there is no such place in SRAM", i);
      }
      if (a.remote && in.unit.kind != UnitKind::kLink && in.unit.kind != UnitKind::kNext)
        find("writes on another chip without a link", i);
      const bool one_of_many = a.indirect && in.op != Op::kInstall;
      if (one_of_many ? a.streams < 0 : a.streams != a.slices)
        find(fmt::format("{} slices on {} streams", a.slices, a.streams), i);
    }
  }
}

void Verifier::check_units() {
  std::vector<Taken> taken;
  for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
    const Instruction& in = segment_->instructions[i];
    // A link is the same from either hemisphere.
    const int hemisphere = in.unit.kind == UnitKind::kLink ? 0 : in.unit.hemisphere;
    for (int n = 0; n < in.unit.count; ++n) {
      const std::int64_t key =
          (static_cast<std::int64_t>(in.unit.kind) * 4096 + hemisphere) * 4096 + in.unit.index + n;
      taken.push_back({key, in.start, in.start + in.busy, static_cast<int>(i)});
    }
    std::int64_t work = 1;
    for (const Access& a : in.accesses) {
      if (in.op == Op::kInstall || in.op == Op::kMultiply) {
        const int cycles = in.op == Op::kMultiply ? format_of(in).cycles_per_vector : 1;
        if (a.period < cycles)
          find(fmt::format("a vector every {} cycles through a plane that takes {}", a.period,
                           cycles),
               static_cast<int>(i));
        if (!a.write)
          work = last_of(a) + cycles;
      } else if (in.unit.kind == UnitKind::kLink || in.unit.kind == UnitKind::kNext) {
        const std::int64_t cycles = link_cycles(a.slices * target_.lanes);
        work = std::max(work, a.rows * cycles);
        if (a.period < cycles)
          find(fmt::format("a vector every {} cycles on a link that takes {}", a.period, cycles),
               static_cast<int>(i));
      } else if (!a.write) {
        work = std::max(work, last_of(a) + 1);
      } else {
        work = std::max<std::int64_t>(work, in.op == Op::kAppendValue ? a.rows : 1);
      }
    }
    if (in.op == Op::kInstall) {
      const Access& a = in.accesses.front();
      const std::int64_t bytes = std::int64_t{in.columns} * format_of(in).bytes;
      if (std::int64_t{a.rows} * a.slices < bytes)
        find(fmt::format("{} vectors of a tile of {}", a.rows * a.slices, bytes),
             static_cast<int>(i));
      if (in.unit.count != format_of(in).planes ||
          a.slices != in.unit.count * target_.install_streams ||
          a.hemisphere != in.unit.hemisphere) {
        find("takes weights from slices that are not its planes'", static_cast<int>(i));
      }
      if (in.lanes > target_.lanes || in.columns > target_.columns)
        find("is a tile larger than a plane", static_cast<int>(i));
    }
    if (in.busy < work)
      find(fmt::format("keeps its unit {} cycles for work of {}", in.busy, work),
           static_cast<int>(i));
  }
  check_taken(taken, "its unit");
}

// Results no sooner than the units have them.
void Verifier::check_times() {
  for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
    const Instruction& in = segment_->instructions[i];
    const int index = static_cast<int>(i);
    std::int64_t latency = 0;
    switch (in.unit.kind) {
      case UnitKind::kInstall:
        continue;
      case UnitKind::kMultiply:
        latency = target_.matrix_latency;
        break;
      case UnitKind::kVector:
        latency = target_.vector_latency + (in.op == Op::kEmbed ? target_.gather_latency : 0);
        break;
      case UnitKind::kSwitch:
        latency = target_.switch_latency;
        break;
      case UnitKind::kLink:
      case UnitKind::kNext:
        // Whether a hop leaves the node is checked by where the chips of each stage stand.
        latency = in.detail >= (in.unit.kind == UnitKind::kNext ? 1 : schedule_.node)
                      ? target_.far_latency
                      : target_.link_latency;
        latency += link_cycles(in.accesses.front().slices * target_.lanes);
        break;
    }
    std::vector<const Access*> reads, writes;
    for (const Access& a : in.accesses)
      (a.write ? writes : reads).push_back(&a);
    const auto too_early = [&](std::int64_t at, std::int64_t earliest) {
      if (at < earliest)
        find(fmt::format("a result after {} cycles that takes {}", at, earliest), index);
    };
    // A second pass begins when the first is known across all lanes.
    const bool two_passes = in.op == Op::kNorm || in.op == Op::kSoftmax;
    if (two_passes && reads.size() >= 2)
      too_early(reads[1]->cycle, last_of(*reads[0]) + latency + target_.reduce_cycles);
    for (std::size_t w = 0; w < writes.size(); ++w) {
      const Access& write = *writes[w];
      if (reads.empty() || (two_passes && w == 1)) {
        const std::int64_t from = reads.empty() ? 0 : last_of(*reads[1]) + target_.reduce_cycles;
        too_early(write.cycle, from + latency);
        continue;
      }
      for (std::size_t r = two_passes ? 1 : 0; r < reads.size(); ++r) {
        const Access& read = *reads[r];
        if (in.op == Op::kChoose || in.op == Op::kRoute) {
          const std::int64_t turns = in.op == Op::kRoute ? write.rows : 1;
          too_early(write.cycle, last_of(read) + latency + turns * target_.reduce_cycles);
        } else if (read.rows == write.rows) {
          too_early(write.cycle, read.cycle + latency);
          too_early(last_of(write), last_of(read) + latency);
        } else {
          too_early(write.cycle, read.cycle + latency);
        }
      }
    }
  }
}

// Weights in a plane: one tile that is multiplied with, and one that waits.
void Verifier::check_planes() {
  std::map<std::pair<int, int>, std::vector<int>> by_plane;
  for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
    const Instruction& in = segment_->instructions[i];
    if (in.op != Op::kInstall && in.op != Op::kMultiply)
      continue;
    for (int n = 0; n < in.unit.count; ++n)
      by_plane[{in.unit.hemisphere, in.unit.index + n}].push_back(static_cast<int>(i));
  }
  for (auto& [plane, list] : by_plane) {
    std::stable_sort(list.begin(), list.end(),
                     [&](int a, int b) { return instruction(a).start < instruction(b).start; });
    int active = -1, waiting = -1;
    for (const int i : list) {
      const Instruction& in = instruction(i);
      if (in.op == Op::kInstall) {
        // One multiplied with in this very cycle has made room.
        if (waiting >= 0 && !starts_multiply(list, waiting, in.start)) {
          find(
              fmt::format("replaces the weights of instruction {} before they were multiplied with",
                          waiting),
              i);
          break;
        }
        if (waiting >= 0)
          active = waiting;
        waiting = i;
        continue;
      }
      if (in.tile != active && in.tile == waiting) {
        active = waiting;
        waiting = -1;
      }
      if (in.tile != active) {
        find(fmt::format("the weights of instruction {} are not in the plane", in.tile), i);
        break;
      }
      const Instruction& tile = instruction(in.tile);
      if (tile.start + tile.busy > in.start) {
        find("multiplies before its weights are in the plane", i);
        break;
      }
    }
  }
}

bool Verifier::starts_multiply(const std::vector<int>& list, int tile, std::int64_t cycle) const {
  return std::any_of(list.begin(), list.end(), [&](int i) {
    const Instruction& in = instruction(i);
    return in.op == Op::kMultiply && in.tile == tile && in.start <= cycle;
  });
}

}  // namespace medley::lpu::verify
