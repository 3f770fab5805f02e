#include "lpu/chip/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "base/nearest.h"
#include "data/yaml.h"

namespace medley::lpu::chip {
namespace {

using data::Fields;
using data::Node;

// What published figures of one chip may differ by and still speak of one chip: they are rounded.
constexpr double kRounding = 0.03;
constexpr double kMostChip_w = 1e5;
constexpr data::Bounds kHop{.max = 1e6, .above_min = true};

bool differ(double a, double b) { return std::abs(a - b) > kRounding * std::max(a, b); }

class Reader {
 public:
  Result<Target> read(const Node& document) {
    Fields top(document);
    if (const long long version = top.required_whole("schema_version");
        !top.failed() && version != 1) {
      top.fail(
          top.child("schema_version")
              ->error(fmt::format("schema version {} is not known here, expected 1", version)));
    }
    target_.id = top.required_text("id");
    target_.name = top.text("name", target_.id);
    target_.accelerator = top.text("accelerator");
    if (const auto named = document.find("accelerator"))
      target_.accelerator_at =
          fmt::format("{}:{}:{}: {}", named->file(), named->line(), named->column(), named->path());
    target_.note = top.text("note");
    if (const auto table = top.required("sources")) {
      std::vector<std::pair<std::string, Node>> entries;
      top.take(entries, table->entries());
      for (const auto& [key, value] : entries) {
        std::string text;
        top.take(text, value.text());
        target_.sources.emplace_back(key, text);
        known_.push_back(key);
      }
    }
    target_.clock_ghz = number(top, "clock_ghz", {.max = 100, .above_min = true});
    target_.lanes = whole(top, "lanes", 4096);
    target_.hemispheres = whole(top, "hemispheres", 2);
    group(top, "sram", [&](Fields& sram) {
      target_.slices = whole(sram, "slices_per_hemisphere", 1024);
      target_.banks = whole(sram, "banks_per_slice", 8);
      target_.rows_per_bank = whole(sram, "rows_per_bank", 1 << 20);
      capacity_gb_ = number(sram, "capacity_gb", data::kPositive);
    });
    group(top, "streams",
          [&](Fields& streams) { target_.streams = whole(streams, "per_direction", 1024); });
    group(top, "matrix", [&](Fields& matrix) {
      target_.planes = whole(matrix, "planes_per_hemisphere", 64);
      target_.columns = whole(matrix, "columns", 4096);
      target_.install_streams = whole(matrix, "install_streams", 1024);
      target_.accumulators = whole(matrix, "accumulators", 1 << 20);
      target_.matrix_latency = whole(matrix, "latency_cycles", 100000);
    });
    group(top, "vector", [&](Fields& vector) {
      target_.vector_latency = whole(vector, "latency_cycles", 100000);
      target_.reduce_cycles = whole(vector, "reduce_cycles", 100000);
    });
    group(top, "switch",
          [&](Fields& to) { target_.switch_latency = whole(to, "latency_cycles", 100000); });
    group(top, "gather", [&](Fields& gather) {
      target_.gather_latency = whole(gather, "latency_cycles", 100000);
    });
    double hop_ns = 0, far_ns = 0, link_gb_per_s = 0;
    group(top, "links", [&](Fields& links) {
      target_.node_chips = whole(links, "node_chips", 1024);
      link_gb_per_s = number(links, "gb_per_s_per_direction", {.min = 0.001, .max = 1e6});
      hop_ns = number(links, "hop_ns", kHop);
      target_.far_links = whole(links, "links_to_other_nodes", 1024);
      far_ns = number(links, "other_node_ns", kHop);
      target_.most_chips = whole(links, "most_chips", 1 << 24);
    });
    if (top.has("chip_w")) {
      const double low = number(top, "chip_w", {.max = kMostChip_w, .above_min = true});
      target_.chip_w = {low, low};
    }
    read_formats(top);
    if (!top.failed()) {
      target_.link_bytes_per_cycle = link_gb_per_s / target_.clock_ghz;
      target_.link_latency = static_cast<int>(std::ceil(hop_ns * target_.clock_ghz));
      target_.far_latency = static_cast<int>(std::ceil(far_ns * target_.clock_ghz));
      check(top);
    }
    MEDLEY_TRY_STATUS(top.finish());
    return std::move(target_);
  }

 private:
  template <typename Read>
  void group(Fields& parent, const char* key, const Read& read) {
    const auto node = parent.required(key);
    if (!node)
      return;
    Fields fields(*node);
    read(fields);
    Status status = fields.finish();
    if (!status.ok())
      parent.fail(std::move(status).error());
  }

  // {value: 320, sources: [KEY]} or {value: 320, assumed: why}.
  std::optional<Node> figure(Fields& fields, const char* key) {
    const auto node = fields.required(key);
    if (!node)
      return std::nullopt;
    if (!node->is_map()) {
      fields.fail(node->error(
          "expected {value: …, sources: [KEY, …]} or {value: …, assumed: why}: every figure says "
          "where it comes from"));
      return std::nullopt;
    }
    Fields parts(*node);
    const auto value = parts.required("value");
    Figure figure{
        .name = node->path(), .sources = parts.texts("sources"), .assumed = parts.text("assumed")};
    if (!parts.failed() && figure.sources.empty() == figure.assumed.empty()) {
      parts.fail(node->error("expected either sources or assumed, and not both"));
    }
    for (const std::string& source : figure.sources) {
      if (std::find(known_.begin(), known_.end(), source) == known_.end()) {
        parts.fail(node->find("sources")->error(
            fmt::format("unknown source '{}'{}", source, suggestion(source, known_))));
      }
    }
    if (value)
      parts.take(figure.value, value->text());
    Status status = parts.finish();
    if (!status.ok()) {
      fields.fail(std::move(status).error());
      return std::nullopt;
    }
    target_.figures.push_back(std::move(figure));
    return value;
  }

  int whole(Fields& fields, const char* key, long long most) {
    long long value = 1;
    if (const auto node = figure(fields, key))
      fields.take(value, node->whole({.min = 1, .max = most}));
    return static_cast<int>(value);
  }

  double number(Fields& fields, const char* key, const data::Bounds& bounds) {
    double value = 1;
    if (const auto node = figure(fields, key))
      fields.take(value, node->number(bounds));
    return value;
  }

  void read_formats(Fields& top) {
    const auto list = top.required("formats");
    if (!list)
      return;
    std::vector<Node> nodes;
    top.take(nodes, list->items());
    if (!top.failed() && nodes.empty())
      top.fail(list->error("expected at least one number format"));
    for (const Node& node : nodes) {
      Fields fields(node);
      NumberFormat format;
      const std::string name = fields.required_text("precision");
      if (const auto precision = precision_named(name)) {
        format.precision = *precision;
      } else if (!fields.failed()) {
        fields.fail(fields.child("precision")
                        ->error(fmt::format("no number format '{}'; known: fp32, bf16, fp16, fp8, "
                                            "int8",
                                            name)));
      }
      format.bytes = whole(fields, "bytes", 4);
      format.planes = whole(fields, "planes", 64);
      format.activation_bytes = whole(fields, "activation_bytes", 4);
      format.cycles_per_vector = whole(fields, "cycles_per_vector", 1024);
      std::optional<double> peak;
      if (fields.has("peak_tops"))
        peak = number(fields, "peak_tops", data::kPositive);
      if (!fields.failed())
        check(fields, format, peak);
      Status status = fields.finish();
      if (!status.ok())
        return top.fail(std::move(status).error());
      target_.formats.push_back(format);
    }
  }

  void check(Fields& fields, const NumberFormat& format, std::optional<double> peak) {
    const auto refuse = [&](const char* key, const std::string& message) {
      fields.fail(fields.child(key)->error(message));
    };
    if (target_.format(format.precision) != nullptr) {
      return refuse("precision",
                    fmt::format("format {} stands here twice", name_of(format.precision)));
    }
    if (target_.planes % format.planes != 0) {
      return refuse("planes",
                    fmt::format("{} planes cannot work together on one tile: a hemisphere has {}",
                                format.planes, target_.planes));
    }
    const double bytes = bytes_per_number(format.precision);
    if (format.bytes != bytes)
      return refuse("bytes", fmt::format("a number of {} has {:g} bytes, not {}",
                                         name_of(format.precision), bytes, format.bytes));
    if (format.activation_bytes == 3)
      return refuse("activation_bytes", "no number has 3 bytes; expected 1, 2 or 4");
    const int streams = format.planes * target_.install_streams;
    if (streams % format.bytes != 0) {
      return refuse("bytes", fmt::format("{} streams carry no whole number of weights of {} bytes",
                                         streams, format.bytes));
    }
    const double tops = target_.operations_per_second(format) / 1e12;
    if (peak && differ(tops, *peak)) {
      return refuse(
          "peak_tops",
          fmt::format("{} planes of {} x {} at {} GHz, {} together and {} cycles a "
                      "vector, do {:.0f} TOP/s, not {:g}",
                      target_.hemispheres * target_.planes, target_.lanes, target_.columns,
                      target_.clock_ghz, format.planes, format.cycles_per_vector, tops, *peak));
    }
  }

  // What cannot be at once. The messages name the field that a reader would look at first.
  void check(Fields& top) {
    const auto refuse = [&](const char* group, const char* key, const std::string& message) {
      top.fail(top.child(group)->find(key)->error(message));
    };
    const double sram_gb = static_cast<double>(target_.sram_bytes()) / 1e9;
    if (differ(sram_gb, capacity_gb_)) {
      return refuse("sram", "capacity_gb",
                    fmt::format("{} hemispheres x {} slices x {} banks x {} rows of {} bytes are "
                                "{:.4g} GB, not {:g}",
                                target_.hemispheres, target_.slices, target_.banks,
                                target_.rows_per_bank, target_.lanes, sram_gb, capacity_gb_));
    }
    if (target_.planes * target_.install_streams > target_.streams) {
      return refuse("matrix", "install_streams",
                    fmt::format("{} planes that take weights from {} streams each need {}, and a "
                                "direction has {}",
                                target_.planes, target_.install_streams,
                                target_.planes * target_.install_streams, target_.streams));
    }
    // Two operands of four bytes a number are read side by side beside the weights.
    const int needed = target_.planes * target_.install_streams + 8;
    if (target_.slices < needed) {
      return refuse("sram", "slices_per_hemisphere",
                    fmt::format("weights of {} planes from {} streams each and two operands of 4 "
                                "bytes beside them need {} slices",
                                target_.planes, target_.install_streams, needed));
    }
    if (target_.streams < 8) {
      return refuse("streams", "per_direction", "two operands of 4 bytes a number need 8 streams");
    }
    if (target_.banks < 2) {
      return refuse("sram", "banks_per_slice",
                    "expected at least 2: a slice reads from one while it writes to another");
    }
    // Scores of a block of positions come out as they go in again, to be multiplied with values.
    if (target_.columns != target_.lanes) {
      return refuse("matrix", "columns",
                    fmt::format("expected as many as lanes, {}: results are vectors of the next "
                                "product",
                                target_.lanes));
    }
    if (target_.node_chips > target_.most_chips) {
      return refuse("links", "node_chips",
                    fmt::format("a node of {} chips is more than most_chips, {}",
                                target_.node_chips, target_.most_chips));
    }
  }

  Target target_;
  std::vector<std::string> known_;
  double capacity_gb_ = 0;
};

std::filesystem::path folder_of_targets(const std::string& catalog) {
  return std::filesystem::path(catalog) / "targets";
}

}  // namespace

const NumberFormat* Target::format(Precision precision) const {
  for (const NumberFormat& format : formats) {
    if (format.precision == precision)
      return &format;
  }
  return nullptr;
}

int Target::link_cycles(int bytes) const {
  return std::max(1, static_cast<int>(std::ceil(bytes / link_bytes_per_cycle)));
}

Result<Target> read_target(const std::string& path) {
  MEDLEY_TRY(const Node document, data::read_yaml(path));
  return Reader().read(document);
}

Result<Target> parse_target(std::string_view text, const std::string& name) {
  MEDLEY_TRY(const Node document, data::parse_yaml(text, name));
  return Reader().read(document);
}

std::vector<std::string> target_ids(const std::string& catalog) {
  std::vector<std::string> ids;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder_of_targets(catalog), none)) {
    if (entry.path().extension() == ".yaml")
      ids.push_back(entry.path().stem().string());
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<Target> find_target(const std::string& name, const std::string& catalog) {
  if (name.ends_with(".yaml"))
    return read_target(name);
  const std::vector<std::string> ids = target_ids(catalog);
  if (std::find(ids.begin(), ids.end(), name) == ids.end()) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("no target '{}' in {}{}; a path of your own ends in .yaml", name,
                             folder_of_targets(catalog).string(), suggestion(name, ids)),
                 {}};
  }
  return read_target((folder_of_targets(catalog) / (name + ".yaml")).string());
}

namespace {

Error at_accelerator(const Target& target, const std::string& message) {
  return {ErrorCode::kInvalid, fmt::format("{}: {}", target.accelerator_at, message),
          "accelerator"};
}

}  // namespace

Status check_accelerator(const Target& target, const data::Catalog& catalog) {
  if (target.accelerator.empty())
    return Done{};
  const auto found = catalog.accelerator(target.accelerator);
  return found ? check_accelerator(target, *found)
               : Status(at_accelerator(target, found.error().message));
}

Status check_accelerator(const Target& target, const Accelerator& accelerator) {
  const auto other = [&](const std::string& ours, double theirs) {
    return at_accelerator(target, fmt::format("here {}, and '{}' of the catalogue has {:.4g}", ours,
                                              accelerator.id, theirs));
  };
  const auto sram = static_cast<double>(target.sram_bytes());
  if (const MemoryTier* memory = accelerator.serving_memory();
      memory != nullptr && memory->capacity && differ(sram, memory->capacity->value())) {
    return other(fmt::format("{:.4g} GB of SRAM", sram / 1e9), memory->capacity->value() / 1e9);
  }
  for (const NumberFormat& format : target.formats) {
    const auto peak = accelerator.peak.find(format.precision);
    const double ours = target.operations_per_second(format);
    if (peak != accelerator.peak.end() && differ(ours, peak->second.value())) {
      return other(fmt::format("{:.4g} TOP/s in {}", ours / 1e12, name_of(format.precision)),
                   peak->second.value() / 1e12);
    }
  }
  if (accelerator.draw_w && target.chip_w.high > 0 &&
      (target.chip_w.low < accelerator.draw_w->low ||
       target.chip_w.high > accelerator.draw_w->high)) {
    return at_accelerator(
        target, fmt::format("here a chip of {:g} W, and '{}' of the catalogue draws {:g} to {:g}",
                            target.chip_w.middle(), accelerator.id, accelerator.draw_w->low,
                            accelerator.draw_w->high));
  }
  return Done{};
}

Result<Target> find_target(const std::string& name, const data::Catalog& catalog) {
  MEDLEY_TRY(Target target, find_target(name, catalog.folder()));
  MEDLEY_TRY_STATUS(check_accelerator(target, catalog));
  return target;
}

Result<Target> target_for(const Accelerator& accelerator, const std::string& catalog) {
  for (const std::string& id : target_ids(catalog)) {
    MEDLEY_TRY(Target target, find_target(id, catalog));
    if (target.accelerator != accelerator.id)
      continue;
    MEDLEY_TRY_STATUS(check_accelerator(target, accelerator));
    return target;
  }
  return Error{
      ErrorCode::kInvalid,
      fmt::format("no file in {}/targets describes {} to the compiler", catalog, accelerator.id),
      {}};
}

}  // namespace medley::lpu::chip
