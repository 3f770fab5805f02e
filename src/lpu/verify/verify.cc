#include "lpu/verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace medley::lpu::verify {
namespace {

using chip::Access;
using chip::Area;
using chip::Instruction;
using chip::Op;
using chip::Segment;
using chip::Target;
using chip::UnitKind;
using chip::Weight;

std::int64_t cycle_of(const Access& access, std::int64_t row) {
  return access.cycle + row * access.period;
}
std::int64_t last_of(const Access& access) { return cycle_of(access, access.rows - 1); }

// Cycles [begin, end) in which something is taken.
struct Taken {
  std::int64_t key, begin, end;
  int instruction;
};

class Verifier {
 public:
  Verifier(const chip::Schedule& schedule, const Target& target)
      : schedule_(schedule), target_(target) {}

  Certificate run() {
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
    }
    segment_ = nullptr;
    check_stages();
    return std::move(certificate_);
  }

 private:
  void find(const std::string& message, int instruction = -1) {
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

  std::int64_t link_cycles(int bytes) const {
    const auto whole = static_cast<std::int64_t>(bytes / target_.link_bytes_per_cycle);
    return std::max<std::int64_t>(
        1, whole + (static_cast<double>(whole) * target_.link_bytes_per_cycle < bytes ? 1 : 0));
  }

  // Reports the first pair of each key that overlaps.
  void check_taken(std::vector<Taken>& taken, const char* what) {
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

  // Indices that all else relies on.
  void check_form() {
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
          sound = sound && in.unit.hemisphere < target_.hemispheres;
          break;
        case UnitKind::kLink:
          // Within the node by the link of the distance, else by one of those that lead out.
          sound = sound && in.detail >= 1 && in.detail < schedule_.group &&
                  (in.detail < schedule_.node
                       ? in.unit.index == in.detail
                       : in.unit.index >= target_.node_chips &&
                             in.unit.index < target_.node_chips + target_.far_links) &&
                  in.unit.hemisphere < target_.hemispheres;
          break;
        case UnitKind::kVector:
        case UnitKind::kNext:
          break;
      }
      if (!sound)
        find("there is no such unit", i);
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

  void check_units() {
    std::vector<Taken> taken;
    for (std::size_t i = 0; i < segment_->instructions.size(); ++i) {
      const Instruction& in = segment_->instructions[i];
      for (int n = 0; n < in.unit.count; ++n) {
        const std::int64_t key =
            (static_cast<std::int64_t>(in.unit.kind) * 4096 + in.unit.hemisphere) * 4096 +
            in.unit.index + n;
        taken.push_back({key, in.start, in.start + in.busy, static_cast<int>(i)});
      }
      std::int64_t work = 1;
      for (const Access& a : in.accesses) {
        if (in.op == Op::kInstall || in.op == Op::kMultiply) {
          if (!a.write)
            work = std::int64_t{a.rows} *
                   (in.op == Op::kMultiply ? format_of(in).cycles_per_vector : 1);
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

  const chip::NumberFormat& format_of(const Instruction& in) const {
    const Instruction& installed =
        in.op == Op::kMultiply ? segment_->instructions[static_cast<std::size_t>(in.tile)] : in;
    return installed.accesses.front().area == Area::kCache ? *cache_ : *weights_;
  }

  // Banks, ports, streams. Rows differ between the chips of a group, banks and cycles do not.
  void check_memory() {
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
            each_cycle(
                streams,
                ((place * 16 + legs[leg].first) * 2 + (legs[leg].second ? 1 : 0)) * 65536 + s, in,
                a, index);
          }
        }
      }
    }
    check_taken(banks, "a bank");
    check_taken(ports, "a slice's port");
    check_taken(streams, "a stream");
  }

  // Results no sooner than the units have them.
  void check_times() {
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
          latency = in.unit.kind == UnitKind::kNext ? target_.next_latency
                    : in.detail >= schedule_.node   ? target_.far_latency
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
  void check_planes() {
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
            find(fmt::format(
                     "replaces the weights of instruction {} before they were multiplied with",
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
  const Instruction& instruction(int i) const {
    return segment_->instructions[static_cast<std::size_t>(i)];
  }
  bool starts_multiply(const std::vector<int>& list, int tile, std::int64_t cycle) const {
    return std::any_of(list.begin(), list.end(), [&](int i) {
      const Instruction& in = instruction(i);
      return in.op == Op::kMultiply && in.tile == tile && in.start <= cycle;
    });
  }

  // What is addressed by data: the token's own keys and values are in the cache before it is read,
  // and the experts are known before their weights are fetched.
  void check_order() {
    std::map<std::pair<bool, int>, std::int64_t> appended;  // (keys, head): the last write
    std::int64_t routed = -1;
    for (const Instruction& in : segment_->instructions) {
      for (const Access& a : in.accesses) {
        const std::int64_t end = in.start + last_of(a);
        if (a.write && (in.op == Op::kAppendKey || in.op == Op::kAppendValue)) {
          auto& last = appended[{in.op == Op::kAppendKey, in.head}];
          last = std::max(last, end);
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
      }
      if (in.chosen >= 0 && (routed < 0 || in.start <= routed))
        find("fetches the weights of an expert before it is chosen", static_cast<int>(i));
    }
  }

  // Tiles and caches have their rows for themselves, inside what the segment says it takes.
  void check_places() {
    struct Place {
      std::int64_t key, begin, end;
      std::tuple<int, int, int, int> what;
      int instruction;
    };
    std::vector<Place> places;
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
          find(fmt::format("row {} of {} has only {}", end, name_of(a.area), rows_of(a.area)),
               index);
          return;
        }
        const bool striped =
            a.area == Area::kWeights || a.area == Area::kExperts || a.area == Area::kCache;
        if (striped != (a.slice + a.slices <= stripes)) {
          find("lies in slices of another use", index);
          return;
        }
        if (a.area == Area::kScratch)
          scratch_slices.insert(a.slice);
        if (a.area == Area::kConstants)
          constant_slices.insert(a.slice);
        if (!striped)
          continue;
        const bool cached = a.area == Area::kCache;
        const bool keys = in.op == Op::kAppendKey || (cached && in.weight == Weight::kKey);
        std::tuple<int, int, int, int> what{0, 0, 0, 0};
        if (in.op == Op::kInstall && !cached)
          what = {static_cast<int>(in.weight), in.n, in.k, 0};
        else if (cached)  // all of a head's keys share a range, and so do its values
          what = {keys ? -1 : -2, in.head, 0, 0};
        const std::int64_t key =
            ((static_cast<std::int64_t>(a.area) * 16 + a.hemisphere) * 65536 + a.slice) * 64 +
            a.bank;
        places.push_back({key, a.row, end, what, index});
      }
    }
    for (const int slice : constant_slices) {
      if (scratch_slices.contains(slice))
        find(fmt::format("constants and scratch share slice {}", slice));
    }
    std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
      return std::tie(a.key, a.begin, a.end) < std::tie(b.key, b.begin, b.end);
    });
    for (std::size_t i = 1; i < places.size(); ++i) {
      // The longest so far of the key reaches furthest.
      Place& b = places[i];
      const Place& a = places[i - 1];
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

  // Scratch, as one chip sees it: each byte that is read was written by whoever should have.
  void check_values(int chip) {
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
    const int group = schedule_.group;
    // So many nodes on, and so many places.
    const int node = schedule_.node;
    const auto number_of = [&](int from, int distance) {
      return (from / node + distance / node) % (group / node) * node + (from + distance) % node;
    };
    const auto first_row = [&](const Access& a, int sender) {
      const int turn = a.peer == chip::kNoPeer ? 0 : number_of(sender, a.peer);
      return a.row + turn * a.peer_rows;
    };
    const auto cell_of = [&](const Access& a, int slice, std::int64_t row) {
      return ((a.hemisphere * 65536LL + slice) * 64 + a.bank) * (std::int64_t{1} << 24) + row;
    };
    const auto add_cells = [&](auto& list, const Access& a, std::int64_t start, int sender,
                               int index, bool at_once) {
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
        for (int other = 0; a.remote && other < group; ++other) {
          if (number_of(other, in.detail) == chip)
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
      auto last = std::lower_bound(writes.begin(), writes.end(), std::pair(read.cell, read.cycle),
                                   [](const Write& write, const auto& at) {
                                     return std::pair(write.cell, write.cycle) < at;
                                   });
      // Back through the writes of the cell until all lanes are accounted for.
      std::vector<std::pair<int, int>> open{{read.lane, read.lane + read.lanes}};
      while (!open.empty() && last != writes.begin() && (last - 1)->cell == read.cell) {
        --last;
        std::vector<std::pair<int, int>> still;
        bool touched = false;
        for (const auto& [begin, end] : open) {
          const int from = std::max(begin, last->lane),
                    to = std::min(end, last->lane + last->lanes);
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

  static std::set<std::tuple<int, int, int, int, int>> cells(const std::vector<Access>& accesses) {
    std::set<std::tuple<int, int, int, int, int>> all;
    for (const Access& a : accesses) {
      for (int slice = a.slice; slice < a.slice + a.slices; ++slice) {
        for (int row = a.row; row < a.row + a.rows; ++row)
          all.insert({a.hemisphere, a.bank, slice, row, 0});
      }
    }
    return all;
  }

  void check_stages() {
    std::int64_t now = 0, arrival = 0;
    int next_layer = 0, next_chip = 0;
    bool first = true;
    std::vector<Access> there;  // what the run before has left
    const std::size_t stages = schedule_.stages.size();
    for (std::size_t s = 0; s < stages; ++s) {
      const chip::Stage& stage = schedule_.stages[s];
      const auto at_stage = [&](const std::string& message) {
        find(fmt::format("stage {}: {}", s, message));
      };
      if (stage.first_chip != next_chip)
        at_stage("its chips are not those after the stage before");
      next_chip = stage.first_chip + schedule_.group;
      if (stage.start > arrival)
        at_stage("is not kept when the first vector arrives");
      std::int64_t busy_until = 0, cache_rows = 0;
      struct Range {
        std::int64_t begin, end;
      };
      std::vector<Range> stripes, constants;
      std::int64_t cache_from = -1;
      for (const chip::Run& run : stage.runs) {
        if (run.segment < 0 || run.segment >= static_cast<int>(schedule_.segments.size()))
          return at_stage("there is no such segment");
        const Segment& segment = schedule_.segments[static_cast<std::size_t>(run.segment)];
        if (run.start < now)
          at_stage(fmt::format("{} starts in cycle {}, before {}", segment.name, run.start, now));
        now = run.start + segment.cycles;
        const auto rows = [&](Area area) { return segment.rows[static_cast<int>(area)]; };
        const auto base = [&](Area area) { return run.base[static_cast<int>(area)]; };
        const auto add = [](std::vector<Range>& ranges, std::int64_t begin, std::int64_t size) {
          if (size > 0)
            ranges.push_back({begin, begin + size});
        };
        add(stripes, base(Area::kWeights), rows(Area::kWeights));
        add(stripes, base(Area::kExperts), rows(Area::kExperts) * schedule_.experts);
        add(constants, base(Area::kConstants), rows(Area::kConstants));
        if (rows(Area::kCache) > 0) {
          if (cache_from < 0)
            cache_from = base(Area::kCache);
          if (base(Area::kCache) != cache_from + cache_rows)
            at_stage("caches of its runs do not lie one after the other");
          cache_rows += rows(Area::kCache);
        }
        if (rows(Area::kScratch) > target_.rows_per_bank)
          at_stage(fmt::format("{} needs more rows than a bank has", segment.name));
        if (segment.kind == chip::SegmentKind::kLayer && run.layer != next_layer++)
          at_stage(fmt::format("layer {} where {} is due", run.layer, next_layer - 1));
        if (!first) {
          const auto left = cells(there);
          for (const auto& cell : cells(segment.inputs)) {
            if (!left.contains(cell)) {
              at_stage(fmt::format("{} does not find what it starts from", segment.name));
              break;
            }
          }
        }
        first = false;
        if (segment.kind == chip::SegmentKind::kHandOn) {
          arrival = run.start;
          for (const Instruction& in : segment.instructions) {
            busy_until = std::max(busy_until, run.start + in.start + in.busy);
            if (&in == &segment.instructions.front())
              arrival = run.start + in.start + in.accesses.back().cycle;
          }
        } else {
          busy_until = std::max(busy_until, now);
        }
        there = segment.outputs;
      }
      // The caches of all streams follow each other.
      if (cache_rows > 0)
        stripes.push_back({cache_from, cache_from + cache_rows * schedule_.streams});
      for (auto* ranges : {&stripes, &constants}) {
        std::sort(ranges->begin(), ranges->end(),
                  [](const Range& a, const Range& b) { return a.begin < b.begin; });
        for (std::size_t i = 1; i < ranges->size(); ++i) {
          if ((*ranges)[i].begin < (*ranges)[i - 1].end)
            at_stage(fmt::format("two uses share row {}", (*ranges)[i].begin));
        }
        if (!ranges->empty() && ranges->back().end > target_.rows_per_bank) {
          at_stage(fmt::format("needs {} rows of a bank of {}", ranges->back().end,
                               target_.rows_per_bank));
        }
      }
      if (stage.end < busy_until)
        at_stage("is let go before it has ended");
      if (schedule_.interval_cycles < stage.end - stage.start)
        at_stage("the next stream comes before it is free");
    }
    if (schedule_.token_cycles < now)
      find("the token is called done before it is");
    if (schedule_.chips() > target_.most_chips)
      find(fmt::format("{} chips where {} can be joined", schedule_.chips(), target_.most_chips));
  }

  const chip::Schedule& schedule_;
  const Target& target_;
  const chip::NumberFormat *weights_ = nullptr, *cache_ = nullptr;
  const Segment* segment_ = nullptr;
  Certificate certificate_;
};

}  // namespace

Certificate verify(const chip::Schedule& schedule, const Target& target) {
  return Verifier(schedule, target).run();
}

}  // namespace medley::lpu::verify
