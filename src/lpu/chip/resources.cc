#include "lpu/chip/resources.h"

#include "base/check.h"
#include "lpu/chip/plant.h"

namespace medley::lpu::chip {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// How much later than `from` the rows of an access find the resource free.
std::int64_t wait(const Timeline& timeline, std::int64_t from, const Access& access) {
  if (access.period == 1)
    return timeline.fit(from, access.rows) - from;
  for (int i = 0; i < access.rows; ++i) {
    const std::int64_t cycle = from + std::int64_t{i} * access.period;
    if (const std::int64_t free = timeline.fit(cycle, 1); free != cycle)
      return free - cycle;
  }
  return 0;
}

void take(Timeline& timeline, std::int64_t from, const Access& access) {
  if (access.period == 1)
    return timeline.take(from, access.rows);
  for (int i = 0; i < access.rows; ++i)
    timeline.take(from + std::int64_t{i} * access.period, 1);
}

bool overlap(const Access& a, const Access& b) {
  const auto end = [](const Access& access) {
    return access.cycle + std::int64_t{access.rows - 1} * access.period;
  };
  return a.cycle <= end(b) && b.cycle <= end(a);
}

}  // namespace

Resources::Resources(const Target& target)
    : target_(target),
      installs_(at(target.hemispheres * target.planes)),
      multiplies_(installs_.size()),
      switches_(at(target.hemispheres)),
      links_(at(target.node_chips + target.far_links)),
      banks_(at(target.hemispheres * target.slices * target.banks)),
      ports_(at(target.hemispheres * target.slices * 2)),
      streams_(at(target.hemispheres * target.streams * 2)) {}

int Resources::legs(const Instruction& instruction, const Access& access, Leg (&out)[2]) const {
  if (!at_edge(instruction.unit.kind)) {
    out[0] = {access.hemisphere, access.write};
    return 1;
  }
  if (access.hemisphere == instruction.unit.hemisphere) {
    out[0] = {access.hemisphere, !access.write};
    return 1;
  }
  // Through the middle: back from the one edge's side, out to the other.
  out[0] = {access.write ? instruction.unit.hemisphere : access.hemisphere, false};
  out[1] = {access.write ? access.hemisphere : instruction.unit.hemisphere, true};
  return 2;
}

Timeline& Resources::unit(const Unit& unit, int number) {
  const int plane = unit.hemisphere * target_.planes + unit.index + number;
  switch (unit.kind) {
    case UnitKind::kInstall:
      return installs_[at(plane)];
    case UnitKind::kMultiply:
      return multiplies_[at(plane)];
    case UnitKind::kVector:
      return vector_;
    case UnitKind::kSwitch:
      return switches_[unit.hemisphere];
    case UnitKind::kLink:
      if (planted(ScheduleBug::kLinkTwice) && unit.hemisphere == 1)
        return next_;
      return links_[at(unit.index)];
    case UnitKind::kNext:
      break;
  }
  return next_;
}

Timeline& Resources::bank(int hemisphere, int slice, int bank) {
  return banks_[at((hemisphere * target_.slices + slice) * target_.banks + bank)];
}

Timeline& Resources::port(int hemisphere, int slice, bool write) {
  return ports_[at((hemisphere * target_.slices + slice) * 2 + (write ? 1 : 0))];
}

Timeline& Resources::stream(const Leg& leg, int number) {
  return streams_[at((leg.hemisphere * 2 + (leg.outward ? 1 : 0)) * target_.streams + number)];
}

std::int64_t Resources::delay(Instruction& instruction, std::int64_t start, int preferred) {
  std::int64_t late = 0;
  const bool unit_ignored =
      planted(ScheduleBug::kUnitTakenTwice) && instruction.unit.kind == UnitKind::kVector;
  for (int i = 0; i < instruction.unit.count && !unit_ignored; ++i)
    late = std::max(late, unit(instruction.unit, i).fit(start, instruction.busy) - start);
  if (late > 0)
    return late;
  for (const Access& access : instruction.accesses) {
    for (int slice = access.slice; slice < access.slice + access.slices; ++slice) {
      const std::int64_t from = start + access.cycle;
      if (!(planted(ScheduleBug::kBankConflict) && !access.write))
        late = std::max(late, wait(bank(access.hemisphere, slice, access.bank), from, access));
      if (!planted(ScheduleBug::kPortConflict))
        late = std::max(late, wait(port(access.hemisphere, slice, access.write), from, access));
    }
  }
  if (late > 0)
    return late;
  // Streams last: each leg takes the first ones that are free all the while.
  struct Picked {
    const Access* access;
    Leg leg;
    int first;
  };
  std::vector<Picked> picked;
  for (Access& access : instruction.accesses) {
    Leg way[2];
    const int count = legs(instruction, access, way);
    for (int l = 0; l < count; ++l) {
      std::int64_t least = -1;  // until some are free
      int found = -1;
      for (int turn = -1; (turn + 1) * access.streams <= target_.streams && found < 0; ++turn) {
        const int first = turn < 0 ? preferred : turn * access.streams;
        if (first < 0 || first + access.streams > target_.streams)
          continue;
        std::int64_t later = 0;
        for (const Picked& other : picked) {
          if (other.leg.hemisphere == way[l].hemisphere && other.leg.outward == way[l].outward &&
              other.first < first + access.streams && first < other.first + other.access->streams &&
              overlap(*other.access, access)) {
            later = 1;
          }
        }
        for (int i = first; i < first + access.streams; ++i)
          later = std::max(later, wait(stream(way[l], i), start + access.cycle, access));
        if (later == 0 || planted(ScheduleBug::kStreamTakenTwice))
          found = first;
        else if (least < 0 || later < least)
          least = later;
      }
      if (found < 0)
        return std::max<std::int64_t>(1, least);
      access.stream[l] = static_cast<std::int16_t>(found);
      picked.push_back({&access, way[l], found});
    }
  }
  return 0;
}

void Resources::place(Instruction& instruction, std::int64_t ready, int preferred) {
  std::int64_t start = std::max<std::int64_t>(0, ready);
  while (const std::int64_t late = delay(instruction, start, preferred)) {
    start += late;
    // Beyond any schedule: the instruction is in its own way.
    MEDLEY_CHECK(start - ready < (std::int64_t{1} << 40), name_of(instruction.op));
  }
  instruction.start = start;
  for (int i = 0; i < instruction.unit.count; ++i) {
    Timeline& timeline = unit(instruction.unit, i);
    if (timeline.fit(start, instruction.busy) == start)
      timeline.take(start, instruction.busy);
  }
  const auto take_free = [&](Timeline& timeline, const Access& access) {
    // Taken twice only where a bug is planted.
    if (wait(timeline, start + access.cycle, access) == 0)
      take(timeline, start + access.cycle, access);
  };
  for (const Access& access : instruction.accesses) {
    for (int slice = access.slice; slice < access.slice + access.slices; ++slice) {
      take_free(bank(access.hemisphere, slice, access.bank), access);
      take_free(port(access.hemisphere, slice, access.write), access);
    }
    Leg way[2];
    const int count = legs(instruction, access, way);
    for (int l = 0; l < count; ++l) {
      for (int i = access.stream[l]; i < access.stream[l] + access.streams; ++i)
        take_free(stream(way[l], i), access);
    }
  }
}

}  // namespace medley::lpu::chip
