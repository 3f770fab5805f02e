// That a segment does all of its part of the model: each matrix once, summed as it should be.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "lpu/verify/verifier.h"

namespace medley::lpu::verify {
namespace {

// Of reads or writes, in the order of the list.
std::vector<const Access*> accesses_of(const Instruction& in, bool writes) {
  std::vector<const Access*> found;
  for (const Access& a : in.accesses) {
    if (a.write == writes)
      found.push_back(&a);
  }
  return found;
}

bool routes(const Segment& segment) {
  return std::any_of(segment.instructions.begin(), segment.instructions.end(),
                     [](const Instruction& in) { return in.op == Op::kRoute; });
}

bool multiplies_cache(const Instruction& tile) {
  return tile.accesses.front().area == Area::kCache;
}

}  // namespace

Verifier::Matrices Verifier::matrices_due() const {
  const std::int64_t width = shape_.width, group = schedule_.group;
  Matrices due;
  if (segment_->kind == SegmentKind::kHead)
    due[{Weight::kHead, -1}] = {ceiling(ceiling(shape_.vocabulary, parts_), group), width};
  if (segment_->kind != SegmentKind::kLayer)
    return due;
  const std::int64_t kv = ceiling(shape_.kv_heads, group) * shape_.head_size;
  const std::int64_t heads = kv * (shape_.heads / shape_.kv_heads);
  due[{Weight::kQuery, -1}] = {heads, width};
  due[{Weight::kKey, -1}] = {kv, width};
  due[{Weight::kValue, -1}] = {kv, width};
  due[{Weight::kAttnOut, -1}] = {width, heads};
  const bool experts = routes(*segment_);
  const std::int64_t inner = ceiling(experts ? shape_.expert_inner : shape_.inner, group);
  if (experts)
    due[{Weight::kRouter, -1}] = {shape_.experts, width};
  for (int chosen = experts ? 0 : -1; chosen < (experts ? shape_.experts_per_token : 0); ++chosen) {
    due[{Weight::kGate, chosen}] = {inner, width};
    due[{Weight::kUp, chosen}] = {inner, width};
    due[{Weight::kDown, chosen}] = {width, inner};
  }
  return due;
}

std::vector<std::vector<int>> Verifier::sums() {
  std::map<std::pair<int, int>, std::vector<int>> by_plane;
  for (int i = 0; i < count(); ++i) {
    const Instruction& in = instruction(i);
    if (in.op != Op::kMultiply)
      continue;
    for (int n = 0; n < in.unit.count; ++n)
      by_plane[{in.unit.hemisphere, in.unit.index + n}].push_back(i);
  }
  // What all products of a sum have in common.
  const auto what = [&](const Instruction& in) {
    const bool cached = multiplies_cache(instruction(in.tile));
    const bool down = in.weight == Weight::kDown;  // all chosen experts go into one sum
    return std::tuple(cached, in.weight, cached ? 0 : in.n, in.columns, in.head,
                      down ? 0 : in.chosen, in.accesses.front().rows);
  };
  std::vector<std::vector<int>> sums;
  for (auto& [plane, list] : by_plane) {
    std::sort(list.begin(), list.end(), [&](int a, int b) {
      return std::pair(instruction(a).start, a) < std::pair(instruction(b).start, b);
    });
    std::vector<int> open;
    for (const int i : list) {
      const Instruction& in = instruction(i);
      if (in.accesses.front().rows > target_.accumulators)
        find(fmt::format("{} sums on a plane that keeps {}", in.accesses.front().rows,
                         target_.accumulators),
             i);
      if (in.first && !open.empty()) {
        find(fmt::format("begins a sum before that of instruction {} is written", open.back()), i);
        open.clear();
      }
      if (!in.first && (open.empty() || what(instruction(open.back())) != what(in))) {
        find("adds to a sum that is not its own", i);
        open.clear();
      }
      if (in.last == accesses_of(in, true).empty())
        find("only the last product of a sum is written", i);
      open.push_back(i);
      if (in.last) {
        // Planes that work together have the same sums: those of the first stand for all.
        if (plane.second == in.unit.index)
          sums.push_back(open);
        open.clear();
      }
    }
    if (!open.empty())
      find("a sum that is never written", open.back());
  }
  return sums;
}

void Verifier::check_matrices() {
  const Matrices due = matrices_due();
  const std::int64_t tokens = segment_->tokens;
  struct Band {
    std::int64_t begin, size;
    const Access* access;
    int instruction;
    auto key() const { return std::tie(begin, size, instruction); }
  };
  // From nothing to `end` without gap or overlap, and the rows beside in the same order.
  const auto covers = [&](std::vector<Band>& bands, std::int64_t end, const char* what) {
    std::sort(bands.begin(), bands.end(),
              [](const Band& a, const Band& b) { return a.key() < b.key(); });
    std::int64_t next = 0;
    for (std::size_t i = 0; i < bands.size(); ++i) {
      if (bands[i].begin != next) {
        find(fmt::format("{} from {} on where {} is due", what, bands[i].begin, next),
             bands[i].instruction);
        return false;
      }
      next += bands[i].size;
      const Access &a = *bands[i].access, &first = *bands[0].access;
      if (a.rows != tokens || a.value != first.value ||
          a.row != first.row + static_cast<std::int64_t>(i) * tokens) {
        find(fmt::format("{} from {} on are not in row {} of value {}", what, bands[i].begin,
                         first.row + static_cast<std::int64_t>(i) * tokens, first.value),
             bands[i].instruction);
        return false;
      }
    }
    if (next != end) {
      find(fmt::format("{} {} where there are {}", next, what, end),
           bands.empty() ? -1 : bands.back().instruction);
      return false;
    }
    return true;
  };
  // Matrices of one input read the same.
  const auto input_of = [](Weight weight, int chosen) {
    switch (weight) {
      case Weight::kKey:
      case Weight::kValue:
        return std::pair(Weight::kQuery, -1);
      case Weight::kGate:
      case Weight::kUp:
      case Weight::kRouter:
        return std::pair(Weight::kGate, -1);
      default:
        return std::pair(weight, chosen);
    }
  };
  std::map<std::pair<Weight, int>, std::pair<int, int>> inputs;  // value and row
  std::map<std::pair<Weight, int>, std::vector<Band>> outputs;
  for (const std::vector<int>& sum : sums()) {
    const Instruction& last = instruction(sum.back());
    if (multiplies_cache(instruction(last.tile)))
      continue;
    std::map<int, std::vector<Band>> by_chosen;
    for (const int i : sum) {
      const Instruction &in = instruction(i), &tile = instruction(in.tile);
      if (std::tie(in.weight, in.n, in.columns, in.k, in.lanes, in.chosen) !=
          std::tie(tile.weight, tile.n, tile.columns, tile.k, tile.lanes, tile.chosen)) {
        return find("multiplies with another tile than it says", i);
      }
      by_chosen[in.chosen].push_back({in.k, in.lanes, accesses_of(in, false).front(), i});
    }
    const int experts =
        last.weight == Weight::kDown && last.chosen >= 0 ? shape_.experts_per_token : 1;
    if (static_cast<int>(by_chosen.size()) != experts)
      return find(fmt::format("a sum over {} experts of {}", by_chosen.size(), experts),
                  sum.back());
    for (auto& [chosen, bands] : by_chosen) {
      const auto extent = due.find({last.weight, chosen});
      if (extent == due.end())
        return find(fmt::format("the model has no {} here", name_of(last.weight)), sum.back());
      if (!covers(bands, extent->second.inputs, "inputs"))
        return;
      const Access& from = *bands.front().access;
      const auto [known, added] =
          inputs.try_emplace(input_of(last.weight, chosen), from.value, from.row);
      if (!added && known->second != std::pair(from.value, from.row))
        return find(fmt::format("reads value {} where the input is value {}", from.value,
                                known->second.first),
                    sum.front());
    }
    outputs[{last.weight, experts > 1 || last.weight == Weight::kDown ? (last.chosen >= 0 ? 0 : -1)
                                                                      : last.chosen}]
        .push_back({last.n, last.columns, accesses_of(last, true).front(), sum.back()});
  }
  for (const auto& [what, extent] : due) {
    if (what.first == Weight::kDown && what.second > 0)
      continue;  // in the sums of the first
    if (!covers(outputs[what], extent.outputs, "outputs")) {
      find(fmt::format("{} is not whole", name_of(what.first)));
      return;
    }
  }
}

std::int64_t Verifier::positions_swept(const Segment& segment) const {
  std::int64_t spans = 0;
  for (const Instruction& in : segment.instructions) {
    if (in.op == Op::kInstall && multiplies_cache(in) && in.weight == Weight::kValue)
      spans = std::max<std::int64_t>(spans, in.n + 1);
  }
  return spans * target_.lanes;
}

// Every head's scores over all that the cache keeps, then every position's values once.
void Verifier::check_attention() {
  if (segment_->kind != SegmentKind::kLayer)
    return;
  const std::int64_t kv = ceiling(shape_.kv_heads, schedule_.group);
  const std::int64_t rows = std::int64_t{shape_.heads / shape_.kv_heads} * segment_->tokens;
  const std::int64_t spans = positions_swept(*segment_) / target_.lanes;
  const int blocks = target_.lanes / shape_.head_size;  // keys side by side
  struct Part {
    std::int64_t span;
    const Access* access;
    int instruction;
  };
  std::map<int, std::vector<Part>> scores, shares;  // by head
  std::map<int, std::set<std::pair<int, int>>> partial;
  for (int i = 0; i < count(); ++i) {
    const Instruction& in = instruction(i);
    if (in.op != Op::kMultiply || !multiplies_cache(instruction(in.tile)))
      continue;
    const Instruction& tile = instruction(in.tile);
    if (tile.head != in.head || tile.weight != in.weight || tile.n != in.n)
      return find("multiplies with another tile than it says", i);
    if (in.weight == Weight::kKey) {
      if (!in.first || !in.last)
        return find("scores are one product each", i);
      scores[in.head].push_back(
          {std::int64_t{in.n} * blocks + in.detail, accesses_of(in, true).front(), i});
    } else {
      shares[in.head].push_back({in.n, accesses_of(in, false).front(), i});
      if (in.last) {
        const Access& to = *accesses_of(in, true).front();
        partial[in.head].emplace(to.value, to.row);
      }
    }
  }
  // All spans once, one after the other in the rows of one value.
  const auto whole = [&](std::vector<Part>& parts, const char* what) {
    std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
      return std::tie(a.span, a.instruction) < std::tie(b.span, b.instruction);
    });
    for (std::size_t s = 0; s < parts.size(); ++s) {
      const Access &a = *parts[s].access, &first = *parts[0].access;
      const auto span = static_cast<std::int64_t>(s);
      if (parts[s].span != span || a.value != first.value || a.rows != rows ||
          a.row != first.row + span * rows) {
        find(fmt::format("{} of positions {} on are not where they belong", what,
                         span * target_.lanes),
             parts[s].instruction);
        return false;
      }
    }
    if (static_cast<std::int64_t>(parts.size()) != spans) {
      find(fmt::format("{} of {} positions where {} are kept", what,
                       parts.size() * static_cast<std::size_t>(target_.lanes),
                       spans * target_.lanes));
      return false;
    }
    return true;
  };
  for (int head = 0; head < kv; ++head) {
    if (!whole(scores[head], "scores") || !whole(shares[head], "values"))
      return;
    const int score = scores[head].front().access->value;
    const int share = shares[head].front().access->value;
    int softmaxes = 0, scales = 0;
    for (int i = 0; i < count(); ++i) {
      const Instruction& in = instruction(i);
      const auto reads = accesses_of(in, false);
      const auto writes = accesses_of(in, true);
      if (in.op == Op::kSoftmax && reads.front()->value == score) {
        ++softmaxes;
        if (reads.size() != 2 || reads[0]->rows != spans * rows || reads[1]->value != score ||
            reads[1]->row != reads[0]->row || reads[1]->rows != reads[0]->rows ||
            writes.size() != 2 || writes[0]->value != share)
          return find("does not take all scores of a head", i);
      }
      if (in.op != Op::kScale)
        continue;
      std::set<std::pair<int, int>> operands;
      for (std::size_t r = 1; r < reads.size(); ++r)
        operands.emplace(reads[r]->value, reads[r]->row);
      const bool any = std::any_of(partial[head].begin(), partial[head].end(),
                                   [&](const auto& one) { return operands.contains(one); });
      if (any && operands != partial[head])
        return find("does not sum all values of a head", i);
      scales += any ? 1 : 0;
    }
    if (softmaxes != 1 || scales != 1)
      return find(fmt::format("head {}: one softmax and one scaling are due", head));
  }
}

std::map<Weight, std::int64_t> Verifier::constants_due() const {
  const std::int64_t lines = ceiling(shape_.width, target_.lanes);
  const std::int64_t kv = ceiling(shape_.kv_heads, schedule_.group);
  const std::int64_t heads = kv * (shape_.heads / shape_.kv_heads);
  if (segment_->kind == SegmentKind::kHead)
    return {{Weight::kOutputNorm, lines}};
  if (segment_->kind != SegmentKind::kLayer)
    return {};
  std::map<Weight, std::int64_t> due{{Weight::kAttnNorm, lines}, {Weight::kFfnNorm, lines}};
  if (shape_.head_norms) {
    due[Weight::kQueryNorm] = 1;
    due[Weight::kKeyNorm] = 1;
  }
  if (shape_.biases) {
    due[Weight::kQueryBias] = heads;
    due[Weight::kKeyBias] = kv;
    due[Weight::kValueBias] = kv;
  }
  return due;
}

void Verifier::check_constants() {
  std::map<Weight, std::int64_t> due = constants_due();
  for (int i = 0; i < count(); ++i) {
    const Instruction& in = instruction(i);
    for (const Access& a : in.accesses) {
      if (a.area != Area::kConstants)
        continue;
      const auto found = due.find(in.weight);
      if (found == due.end())
        return find(fmt::format("the model has no {} here, or it was used", name_of(in.weight)), i);
      if (found->second != a.rows)
        return find(
            fmt::format("{} rows of {} that has {}", a.rows, name_of(in.weight), found->second), i);
      due.erase(found);
    }
  }
  for (const auto& [weight, rows] : due)
    find(fmt::format("{} is not used", name_of(weight)));
}

// Each part of the table has its words, and the number of the token is known before a row is read.
void Verifier::check_table() {
  if (segment_->kind != SegmentKind::kEmbed)
    return;
  const std::int64_t words = ceiling(shape_.vocabulary, parts_);
  const std::int64_t shard = ceiling(ceiling(shape_.width, target_.lanes), schedule_.group);
  if (count() != 1 || instruction(0).op != Op::kEmbed)
    return find("an embedding is one instruction");
  const Instruction& in = instruction(0);
  if (in.n != segment_->part * words || in.columns != words)
    find(fmt::format("words from {} to {} where {} from {} on are due", in.n, in.n + in.columns,
                     words, segment_->part * words),
         0);
  std::int64_t room = 0, first = -1, known = -1;
  for (const Access& a : in.accesses) {
    if (a.write)
      continue;
    if (a.indirect) {
      room += a.range / shard * (a.slices / weights_->bytes);
      first = first < 0 ? a.cycle : std::min(first, a.cycle);
      if (a.rows != shard * segment_->tokens)
        find(fmt::format("{} rows of words that have {}", a.rows, shard * segment_->tokens), 0);
    } else if (known < 0 && a.rows == segment_->tokens) {
      known = a.cycle;
    }
  }
  if (room < words)
    find(fmt::format("room for {} words of {}", room, words), 0);
  if (known < 0 || first <= known)
    find("reads the table before the token is known", 0);
}

// Sums over the chips of a group: what the chip has itself, and what each other sent.
void Verifier::check_exchanges() {
  std::map<int, std::vector<int>> sent;  // sends by the value they leave
  for (int i = 0; i < count(); ++i) {
    const Instruction& in = instruction(i);
    if (in.op == Op::kSend)
      sent[in.accesses.back().value].push_back(i);
  }
  int sums = 0;
  for (int i = 0; i < count(); ++i) {
    const Instruction& in = instruction(i);
    if (in.op != Op::kSum || in.weight != Weight::kNone)
      continue;
    ++sums;
    const auto reads = accesses_of(in, false);
    if (static_cast<int>(reads.size()) != schedule_.group + 1)
      return find(fmt::format("a sum of {} parts over {} chips", reads.size() - 1, schedule_.group),
                  i);
    std::set<int> distances;
    for (std::size_t r = 2; r < reads.size(); ++r) {
      const std::vector<int>& by = sent[reads[r]->value];
      if (by.size() != 1)
        return find(fmt::format("value {} comes from no one other chip", reads[r]->value), i);
      const Instruction& send = instruction(by.front());
      const Access& part = send.accesses.front();
      if (part.value != reads[0]->value || part.peer != send.detail ||
          part.peer_rows != reads[0]->peer_rows || part.rows != reads[0]->rows ||
          part.row != reads[0]->row || reads[0]->peer != 0) {
        return find("sends another part than the receiver sums", by.front());
      }
      distances.insert(send.detail);
    }
    if (static_cast<int>(distances.size()) != schedule_.group - 1)
      return find("a chip's part is summed twice", i);
  }
  if (segment_->kind == SegmentKind::kLayer && sums != 2)
    find(fmt::format("{} sums over the chips of a group where 2 are due", sums));
}

}  // namespace medley::lpu::verify
