// Where things lie: buffers beside the stripes, constants.
#include "base/check.h"
#include "lpu/chip/builder.h"

namespace medley::lpu::chip {

int Builder::allocate_at(int hemisphere, int port, int bank, int rows, int bytes,
                         std::int64_t ready) {
  const int place = (port * target_.banks + bank) * target_.hemispheres + hemisphere;
  std::int64_t& next = next_scratch_[static_cast<std::size_t>(place)];
  buffers_.push_back({.hemisphere = hemisphere,
                      .slice = stripe_slices(target_) + port * kWide,
                      .bank = bank,
                      .row = static_cast<int>(next),
                      .rows = rows,
                      .bytes = bytes,
                      .area = Area::kScratch,
                      .ready = std::vector<std::int64_t>(static_cast<std::size_t>(rows), ready)});
  next += rows - (planted(ScheduleBug::kBuffersOverlap) && rows > 1 ? 1 : 0);
  return static_cast<int>(buffers_.size()) - 1;
}

int Builder::allocate(int rows, int bytes, const std::vector<Operand>& avoid) {
  const int count = places();
  int chosen = turn_ % count;
  for (int i = 0; i < count; ++i) {
    const int place = (turn_ + i) % count;
    const auto [hemisphere, port, bank] = place_of(place);
    // clang 14 (make fuzz) captures structured bindings only by name.
    const auto here = [&, hemisphere = hemisphere, port = port,
                       bank = bank](const Operand& operand) {
      const Buffer& b = buffers_[static_cast<std::size_t>(operand.buffer)];
      return b.hemisphere == hemisphere && b.bank == bank &&
             b.slice == stripe_slices(target_) + port * kWide;
    };
    const bool taken = std::any_of(avoid.begin(), avoid.end(), here);
    if (!taken) {
      chosen = place;
      break;
    }
  }
  turn_ = chosen + 1;
  const auto [hemisphere, port, bank] = place_of(chosen);
  return allocate_at(hemisphere, port, bank, rows, bytes, kNever);
}

std::array<int, 3> Builder::place_of(int place) const {
  const int rest = place / target_.hemispheres;
  return {place % target_.hemispheres, rest / target_.banks, rest % target_.banks};
}

int Builder::duplicate_place(int buffer) {
  Buffer copy = buffers_[static_cast<std::size_t>(buffer)];
  std::fill(copy.ready.begin(), copy.ready.end(), kNever);
  buffers_.push_back(std::move(copy));
  return static_cast<int>(buffers_.size()) - 1;
}

void Builder::takes(int buffer) {
  segment_.inputs.push_back(
      access_of({buffer, 0, buffers_[static_cast<std::size_t>(buffer)].rows}));
}

void Builder::hands_on(int buffer) {
  segment_.outputs.push_back(
      access_of({buffer, 0, buffers_[static_cast<std::size_t>(buffer)].rows}));
}

int Builder::constant(int rows) {
  const std::size_t place = constant_turn_++ % next_constant_.size();
  std::int64_t& next = next_constant_[place];
  buffers_.push_back({.hemisphere = static_cast<int>(place) % target_.hemispheres,
                      .slice = stripe_slices(target_) + (ports_ - 1) * kWide,
                      .bank = static_cast<int>(place) / target_.hemispheres,
                      .row = static_cast<int>(next) -
                             (planted(ScheduleBug::kConstantsOverlap) && next > 0 ? 1 : 0),
                      .rows = rows,
                      .bytes = kWide,
                      .area = Area::kConstants,
                      .ready = std::vector<std::int64_t>(static_cast<std::size_t>(rows), -1)});
  next += rows;
  return static_cast<int>(buffers_.size()) - 1;
}

}  // namespace medley::lpu::chip
