#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "lpu/verify/verifier.h"

namespace medley::lpu::verify {

// Banks, ports, streams. Rows differ between the chips of a group, banks and cycles do not.
void Verifier::check_memory() {
  std::vector<Taken> banks, ports, streams;
  const auto each_cycle = [](std::vector<Taken>& taken, std::int64_t key, const Instruction& in,
                             const Access& a, int index) {
    const std::int64_t start = in.start + a.cycle;
    if (a.period == 1) {
      taken.push_back({key, start, start + a.rows, index});
      return;
    }
    for (std::int64_t row = 0; row < a.rows; ++row)
      taken.push_back({key, start + row * a.period, start + row * a.period + 1, index});
  };
  for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
    const Instruction& in = segment_->instructions[i];
    const int index = static_cast<int>(i);
    for (const Access& a : in.accesses) {
      // What is handed on arrives at a chip of another group.
      const std::int64_t place = in.op == Op::kHandOn && a.write ? 1 : 0;
      for (int slice = a.slice; slice < a.slice + a.slices; ++slice) {
        const std::int64_t of_slice = (place * 16 + a.hemisphere) * 65536 + slice;
        each_cycle(banks, of_slice * 64 + a.bank, in, a, index);
        // One bank of a scattered table answers, whichever it is.
        if (in.op != Op::kEmbed || !a.indirect || a.bank == 0)
          each_cycle(ports, of_slice * 2 + (a.write ? 1 : 0), in, a, index);
      }
      // From slices outward to an edge, or inward to the middle; between the hemispheres both.
      std::vector<std::pair<int, bool>> legs;
      if (in.unit.kind == UnitKind::kVector) {
        legs = {{a.hemisphere, a.write}};
      } else {
        const int from = a.write ? in.unit.hemisphere : a.hemisphere;
        const int to = a.write ? a.hemisphere : in.unit.hemisphere;
        if (from == to)
          legs = {{from, !a.write}};
        else
          legs = {{from, false}, {to, true}};
      }
      for (std::size_t leg = 0; leg < legs.size(); ++leg) {
        const int first = a.stream[leg];
        if (first < 0 || first + a.streams > target_.streams) {
          find("there are no such streams", index);
          continue;
        }
        for (int s = first; s < first + a.streams; ++s) {
          each_cycle(streams,
                     ((place * 16 + legs[leg].first) * 2 + (legs[leg].second ? 1 : 0)) * 65536 + s,
                     in, a, index);
        }
      }
    }
  }
  check_taken(banks, "a bank");
  check_taken(ports, "a slice's port");
  check_taken(streams, "a stream");
}

// What is addressed by data: the token's own keys and values are in the cache before it is read,
// and the experts are known before their weights are fetched.
void Verifier::check_order() {
  std::map<std::pair<bool, int>, std::int64_t> appended;  // (keys, head): the last write
  std::map<std::tuple<bool, int, int, int, int>, std::pair<int, int>> reached;  // rows, by place
  std::int64_t routed = -1;
  for (const Instruction& in : segment_->instructions) {
    if (in.start + in.busy > segment_->cycles)
      find(fmt::format("is at work after the segment's {} cycles", segment_->cycles),
           static_cast<int>(&in - segment_->instructions.data()));
    for (const Access& a : in.accesses) {
      const std::int64_t end = in.start + last_of(a);
      if (end >= segment_->cycles)
        find(fmt::format("moves a vector after the segment's {} cycles", segment_->cycles),
             static_cast<int>(&in - segment_->instructions.data()));
      if (a.write && (in.op == Op::kAppendKey || in.op == Op::kAppendValue)) {
        auto& last = appended[{in.op == Op::kAppendKey, in.head}];
        last = std::max(last, end);
        reached[{in.op == Op::kAppendKey, in.head, a.hemisphere, a.bank, a.slice}] = {
            a.row, a.row + a.range};
      }
      if (a.write && in.op == Op::kRoute)
        routed = std::max(routed, end);
    }
  }
  for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
    const Instruction& in = segment_->instructions[i];
    if (in.op != Op::kInstall)
      continue;
    if (in.accesses.front().area == Area::kCache) {
      const auto found = appended.find({in.weight == Weight::kKey, in.head});
      if (found == appended.end() || in.start + in.accesses.front().cycle <= found->second)
        find("reads the cache before the token is in it", static_cast<int>(i));
      const Access& a = in.accesses.front();
      const auto rows =
          reached.find({in.weight == Weight::kKey, in.head, a.hemisphere, a.bank, a.slice});
      if (rows == reached.end() || a.row < rows->second.first ||
          a.row + a.rows > rows->second.second)
        find("reads a cache that no token is put into", static_cast<int>(i));
    }
    if (in.chosen >= 0 && (routed < 0 || in.start <= routed))
      find("fetches the weights of an expert before it is chosen", static_cast<int>(i));
  }
}

// Tiles and caches have their rows for themselves, inside what the segment says it takes.
void Verifier::check_places() {
  struct Place {
    std::int64_t key, begin, end;
    std::tuple<int, int, int, int> what;
    int instruction;
  };
  std::vector<Place> places, cached_tiles;
  std::set<int> scratch_slices, constant_slices;
  const int stripes = target_.planes * target_.install_streams;
  const auto rows_of = [&](Area area) { return segment_->rows[static_cast<int>(area)]; };
  for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
    const Instruction& in = segment_->instructions[i];
    const int index = static_cast<int>(i);
    for (const Access& a : in.accesses) {
      const std::int64_t peers =
          a.peer == chip::kNoPeer ? 0 : std::int64_t{a.peer_rows} * (schedule_.group - 1);
      const std::int64_t end = a.row + (a.range > 0 ? a.range : a.rows + peers);
      if (end > rows_of(a.area)) {
        find(fmt::format("row {} of {} has only {}", end, name_of(a.area), rows_of(a.area)), index);
        return;
      }
      if (striped(a.area) != (a.slice + a.slices <= stripes)) {
        find("lies in slices of another use", index);
        return;
      }
      if (a.area == Area::kScratch)
        scratch_slices.insert(a.slice);
      if (a.area == Area::kConstants)
        constant_slices.insert(a.slice);
      if (a.area == Area::kScratch)
        continue;
      const bool cached = a.area == Area::kCache;
      const bool keys = in.op == Op::kAppendKey || (cached && in.weight == Weight::kKey);
      std::tuple<int, int, int, int> what{0, 0, 0, 0};
      if (in.op == Op::kInstall && !cached)
        what = {static_cast<int>(in.weight), in.n, in.k, 0};
      else if (cached)  // all of a head's keys share a range, and so do its values
        what = {keys ? -1 : -2, in.head, 0, 0};
      else if (a.area == Area::kConstants)
        what = {static_cast<int>(in.weight), 0, 0, 0};
      const std::int64_t key =
          ((static_cast<std::int64_t>(a.area) * 16 + a.hemisphere) * 65536 + a.slice) * 64 + a.bank;
      places.push_back({key, a.row, end, what, index});
      if (cached && in.op == Op::kInstall)
        cached_tiles.push_back({key, a.row, end, {keys ? -1 : -2, in.head, in.n, 0}, index});
    }
  }
  for (const int slice : constant_slices) {
    if (scratch_slices.contains(slice))
      find(fmt::format("constants and scratch share slice {}", slice));
  }
  for (std::vector<Place>* each : {&places, &cached_tiles}) {
    std::sort(each->begin(), each->end(), [](const Place& a, const Place& b) {
      return std::tie(a.key, a.begin, a.end) < std::tie(b.key, b.begin, b.end);
    });
    for (std::size_t i = 1; i < each->size(); ++i) {
      // The longest so far of the key reaches furthest.
      Place& b = (*each)[i];
      const Place& a = (*each)[i - 1];
      if (a.key != b.key || b.begin >= a.end)
        continue;
      if (a.what != b.what) {
        find(fmt::format("shares row {} with instruction {}", b.begin, a.instruction),
             b.instruction);
        return;
      }
      if (a.end > b.end)
        b.end = a.end;
    }
  }
}

// Scratch, as one chip sees it: each byte that is read was written by whoever should have.
void Verifier::check_values(int chip) {
  struct Write {
    std::int64_t cell, cycle;
    int value, lane, lanes, instruction;
  };
  std::vector<Write> writes;
  struct Read {
    std::int64_t cell, cycle;
    int value, lane, lanes, instruction;
  };
  std::vector<Read> reads;
  const auto first_row = [&](const Access& a, int sender) {
    const int turn = a.peer == chip::kNoPeer ? 0 : peer_of(sender, a.peer);
    return a.row + turn * a.peer_rows;
  };
  const auto cell_of = [&](const Access& a, int slice, std::int64_t row) {
    return ((a.hemisphere * 65536LL + slice) * 64 + a.bank) * (std::int64_t{1} << 24) + row;
  };
  const auto add_cells = [&](auto& list, const Access& a, std::int64_t start, int sender, int index,
                             bool at_once) {
    const std::int64_t row0 = first_row(a, sender);
    for (int slice = a.slice; slice < a.slice + a.slices; ++slice) {
      for (std::int64_t row = 0; row < a.rows; ++row) {
        list.push_back({cell_of(a, slice, row0 + row), at_once ? start : start + cycle_of(a, row),
                        a.value, a.lane, a.lanes, index});
      }
    }
  };
  for (const Access& input : segment_->inputs)
    add_cells(writes, input, -1, chip, -1, true);
  for (const Access& output : segment_->outputs)
    add_cells(reads, output, segment_->cycles, chip, -1, true);
  for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
    const Instruction& in = segment_->instructions[i];
    for (const Access& a : in.accesses) {
      if (a.area != Area::kScratch) {
        if (a.write && a.area != Area::kCache && chip == 0)
          find("writes where nothing is written", static_cast<int>(i));
        continue;
      }
      if (in.op == Op::kHandOn && a.write)
        continue;  // on another group's chip
      int sender = chip;
      for (int other = 0; a.remote && other < schedule_.group; ++other) {
        if (peer_of(other, in.detail) == chip)
          sender = other;
      }
      if (a.write)
        add_cells(writes, a, in.start, sender, static_cast<int>(i), false);
      else
        add_cells(reads, a, in.start, sender, static_cast<int>(i), false);
    }
  }
  std::sort(writes.begin(), writes.end(), [](const Write& a, const Write& b) {
    return std::tie(a.cell, a.cycle, a.instruction) < std::tie(b.cell, b.cycle, b.instruction);
  });
  for (const Read& read : reads) {
    auto last = std::lower_bound(
        writes.begin(), writes.end(), std::pair(read.cell, read.cycle),
        [](const Write& write, const auto& at) { return std::pair(write.cell, write.cycle) < at; });
    // Back through the writes of the cell until all lanes are accounted for.
    std::vector<std::pair<int, int>> open{{read.lane, read.lane + read.lanes}};
    while (!open.empty() && last != writes.begin() && (last - 1)->cell == read.cell) {
      --last;
      std::vector<std::pair<int, int>> still;
      bool touched = false;
      for (const auto& [begin, end] : open) {
        const int from = std::max(begin, last->lane), to = std::min(end, last->lane + last->lanes);
        if (from >= to) {
          still.emplace_back(begin, end);
          continue;
        }
        touched = true;
        if (begin < from)
          still.emplace_back(begin, from);
        if (to < end)
          still.emplace_back(to, end);
      }
      if (touched && last->value != read.value) {
        find(fmt::format("chip {}: reads value {} where instruction {} has put value {}", chip,
                         read.value, last->instruction, last->value),
             read.instruction);
        return;
      }
      open = std::move(still);
    }
    if (!open.empty()) {
      find(fmt::format("chip {}: reads what was not written by cycle {}", chip, read.cycle),
           read.instruction);
      return;
    }
  }
}

}  // namespace medley::lpu::verify
