// A device of the catalogue. Unknown figures are empty, never zero.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.h"

namespace medley {

enum class AcceleratorKind { kGpu, kLpu, kNpu, kTpu, kDataflow, kCustom, kWafer, kCpu };
std::string_view name_of(AcceleratorKind kind);
std::optional<AcceleratorKind> accelerator_kind_named(std::string_view name);

// What may be promised of its timing (D0 cycle-exact … D3 shared host).
enum class DeterminismClass { kD0, kD1, kD2, kD3 };

// How it can be had.
enum class Availability { kBuy, kVendor, kCloud };

// Number formats of weights and arithmetic.
enum class Precision { kFp32, kBf16, kFp16, kFp8, kInt8, kFp4, kInt4 };
std::string_view name_of(Precision precision);
std::optional<Precision> precision_named(std::string_view name);
// Bytes of one number in that format (block scales not counted).
double bytes_per_number(Precision precision);

// A figure known only as an interval; low == high when it is known as one number.
struct Range {
  double low = 0, high = 0;
  double middle() const { return (low + high) / 2; }
};

struct MemoryTier {
  std::string tier;  // "hbm3", "sram", …
  std::optional<Bytes> capacity;
  std::optional<BytesPerSecond> bandwidth;
  bool shared_with_host = false;
};

struct Rent {
  std::string provider, date;
  Range per_hour;     // USD
  std::string terms;  // on_demand, spot, reserved, any
};

struct Accelerator {
  std::string id, name, vendor;
  std::vector<std::string> aliases;
  AcceleratorKind kind = AcceleratorKind::kGpu;
  std::optional<int> year;
  std::vector<MemoryTier> memory;
  std::size_t serving_tier = 0;              // the tier that holds weights and KV cache
  std::map<Precision, FlopsPerSecond> peak;  // dense
  std::optional<BytesPerSecond> link;        // per device and direction, inside the scale-up domain
  std::optional<BytesPerSecond>
      weight_feed;  // statically scheduled devices: what the matrix units can take in
  std::optional<Range> tdp_w, idle_w, typical_w, context_extra_w, draw_w;
  std::optional<Range> price_usd;
  std::vector<Rent> rents;
  DeterminismClass determinism = DeterminismClass::kD2;
  std::optional<Availability> availability;
  std::optional<std::string> jurisdiction;  // of the vendor's seat
  std::vector<std::string> engines;
  std::map<std::string, std::string> confidence;  // field group -> letter
  std::vector<std::string> sources;               // keys of the catalogue's source table
  std::string note;

  const MemoryTier* serving_memory() const {
    return serving_tier < memory.size() ? &memory[serving_tier] : nullptr;
  }
};

}  // namespace medley
