#include "data/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <system_error>

#include "base/check.h"
#include "base/nearest.h"
#include "base/printable.h"
#include "data/file.h"

namespace medley::data {

struct Node::Raw {
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Entry {
    std::string key;
    int line = 0, column = 0;
    std::shared_ptr<const Raw> value;
  };

  Kind kind = Kind::kNull;
  bool quoted = false;
  int line = 0, column = 0;
  std::string text;
  std::vector<std::shared_ptr<const Raw>> items;
  std::vector<Entry> entries;
  int height = 1;            // levels from here down
  std::uint64_t weight = 1;  // values from here down, aliased ones as often as they are used
};

struct Node::Document {
  std::string file, folder;
  std::shared_ptr<const Raw> root;
};

namespace {

using Raw = Node::Raw;
using Kind = Raw::Kind;

constexpr std::size_t kMaxFileBytes = 16 << 20;
constexpr int kMaxLevels = 64;
constexpr std::uint64_t kMaxValues = 2'000'000;
constexpr std::size_t kMaxShown = 60;

// What our handler throws through yaml-cpp; caught in parse_yaml.
struct Refused {
  int line, column;
  std::string message;
};

// A value of the file as an error shows it: short, on one line.
std::string shown(std::string_view text) {
  return printable(text.substr(0, kMaxShown)) + (text.size() > kMaxShown ? "..." : "");
}

// Of names that will be printed; a file that holds one was not written by a person. Line ends and
// tabs are none.
bool has_control(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t point = next_code_point(text, at);
    if (is_control(point) && point != '\n' && point != '\t')
      return true;
  }
  return false;
}

// Builds our own tree from yaml-cpp's events: with positions of everything, bounded, keys checked.
class Builder : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(mark, anchor, begin(mark, Kind::kNull));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto raw = begin(mark, Kind::kScalar);
    if (has_control(value))
      refuse(mark, fmt::format("'{}' holds a control character: leave it out", shown(value)));
    raw->text = value;
    raw->quoted = tag == "!";
    if (raw->quoted)
      last_quoted_ = mark;
    add(mark, anchor, std::move(raw));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end())
      refuse(mark, "an alias cannot stand inside the value it names");
    add(mark, 0, found->second);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, anchor, Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, anchor, Kind::kMap);
  }
  void OnMapEnd() override { close(); }

  // Where the last quoted scalar starts: yaml-cpp does not mind when the file ends inside it.
  const YAML::Mark& last_quoted() const { return last_quoted_; }

  std::shared_ptr<const Raw> take_root() { return std::exchange(root_, nullptr); }

 private:
  struct Frame {
    std::shared_ptr<Raw> raw;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    std::set<std::string> keys;
    bool has_key = false;  // maps: the last entry waits for its value
  };

  [[noreturn]] static void refuse(const YAML::Mark& mark, std::string message) {
    throw Refused{mark.line + 1, mark.column + 1, std::move(message)};
  }

  std::shared_ptr<Raw> begin(const YAML::Mark& mark, Kind kind) {
    auto raw = std::make_shared<Raw>();
    raw->kind = kind;
    raw->line = mark.line + 1;
    raw->column = mark.column + 1;
    return raw;
  }
  void open(const YAML::Mark& mark, YAML::anchor_t anchor, Kind kind) {
    if (frames_.size() >= kMaxLevels)
      refuse(mark, fmt::format("more than {} levels deep", kMaxLevels));
    frames_.push_back({begin(mark, kind), mark, anchor, {}, false});
  }
  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    add(frame.mark, frame.anchor, std::move(frame.raw));
  }
  void add(const YAML::Mark& mark, YAML::anchor_t anchor, std::shared_ptr<const Raw> value) {
    if (anchor != 0)
      anchors_[anchor] = value;
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    Raw& parent = *frame.raw;
    if (parent.kind == Kind::kMap && !frame.has_key) {
      if (value->kind != Kind::kScalar)
        refuse(mark, "a key must be a single word or text");
      if (!frame.keys.insert(value->text).second) {
        const auto first =
            std::find_if(parent.entries.begin(), parent.entries.end(),
                         [&](const Raw::Entry& entry) { return entry.key == value->text; });
        refuse(mark, fmt::format("key '{}' stands here twice, first in line {}", shown(value->text),
                                 first->line));
      }
      parent.entries.push_back({value->text, mark.line + 1, mark.column + 1, nullptr});
      frame.has_key = true;
      return;
    }
    parent.height = std::max(parent.height, value->height + 1);
    parent.weight += value->weight;
    if (parent.height > kMaxLevels)
      refuse(mark, fmt::format("more than {} levels deep", kMaxLevels));
    if (parent.weight > kMaxValues)
      refuse(mark, fmt::format("more than {} values", kMaxValues));
    if (parent.kind == Kind::kMap) {
      parent.entries.back().value = std::move(value);
      frame.has_key = false;
    } else {
      parent.items.push_back(std::move(value));
    }
  }

  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, std::shared_ptr<const Raw>> anchors_;
  std::shared_ptr<const Raw> root_;
  YAML::Mark last_quoted_ = YAML::Mark::null_mark();
};

// Whether the quoted scalar at `begin` has its closing quote; other text counts as closed.
bool is_closed(std::string_view text, std::size_t begin) {
  if (begin >= text.size() || (text[begin] != '"' && text[begin] != '\''))
    return true;
  const char quote = text[begin];
  for (std::size_t i = begin + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != quote)
        return true;
      ++i;
    }
  }
  return false;
}

Error at(const std::string& file, int line, int column, std::string_view message) {
  return {ErrorCode::kInvalid, fmt::format("{}:{}:{}: {}", file, line, column, message), {}};
}

// Just the digits of a bound, as a person would write them.
std::string plain_number(double value) { return fmt::format("{:.15g}", value); }

std::string describe(const Bounds& bounds) {
  const bool upper = std::isfinite(bounds.max), lower = std::isfinite(bounds.min);
  if (upper && lower) {
    return fmt::format("{}{} {} {}", bounds.above_min ? "above " : "from ",
                       plain_number(bounds.min), bounds.above_min ? "and at most" : "to",
                       plain_number(bounds.max));
  }
  if (upper)
    return fmt::format("of at most {}", plain_number(bounds.max));
  if (lower) {
    return fmt::format("{} {}", bounds.above_min ? "above" : "of at least",
                       plain_number(bounds.min));
  }
  return "";
}

std::string with(std::string_view noun, const std::string& bounds) {
  return bounds.empty() ? std::string(noun) : fmt::format("{} {}", noun, bounds);
}

bool inside(double value, const Bounds& bounds) {
  return (bounds.above_min ? value > bounds.min : value >= bounds.min) && value <= bounds.max;
}

struct Suffix {
  std::string_view name;
  double factor;
};
constexpr Suffix kByteSuffixes[] = {{"", 1},         {"B", 1},        {"kB", 1e3},    {"KB", 1e3},
                                    {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},   {"KiB", 1024},
                                    {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
constexpr Suffix kTimeSuffixes[] = {{"", 1},      {"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6},
                                    {"ms", 1e-3}, {"s", 1},     {"m", 60},    {"min", 60},
                                    {"h", 3600},  {"d", 86400}};

std::optional<double> parse_with_suffix(std::string_view text, std::span<const Suffix> suffixes) {
  std::size_t digits = text.find_last_of("0123456789.");
  if (digits == std::string_view::npos)
    return std::nullopt;
  std::string_view suffix = text.substr(++digits);
  while (!suffix.empty() && suffix.front() == ' ')
    suffix.remove_prefix(1);
  const std::optional<double> value = parse_number(text.substr(0, digits));
  if (!value)
    return std::nullopt;
  for (const Suffix& known : suffixes) {
    if (known.name != suffix)
      continue;
    // Dividing keeps 200ms at the double nearest to 0.2.
    const double scaled =
        known.factor < 1 ? *value / std::round(1 / known.factor) : *value * known.factor;
    return std::isfinite(scaled) ? std::optional(scaled) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-'))
      return std::nullopt;
  }
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

Result<double> parse_bytes(std::string_view text) {
  if (const auto value = parse_with_suffix(text, kByteSuffixes); value && *value >= 0)
    return *value;
  return Error{ErrorCode::kInvalid,
               fmt::format("expected a size like 16GiB or 4GB, got '{}'", shown(text)),
               {}};
}

Result<double> parse_seconds(std::string_view text) {
  if (const auto value = parse_with_suffix(text, kTimeSuffixes); value && *value >= 0)
    return *value;
  return Error{
      ErrorCode::kInvalid,
      fmt::format("expected a duration like 200ms, 1.5s, 2m or 24h, got '{}'", shown(text)),
      {}};
}

Node::Node(std::shared_ptr<const Document> document, const Raw* raw, std::string path, int key_line,
           int key_column)
    : document_(std::move(document)),
      raw_(raw),
      path_(std::move(path)),
      key_line_(key_line),
      key_column_(key_column) {}

bool Node::is_null() const { return raw_->kind == Kind::kNull; }
bool Node::is_scalar() const { return raw_->kind == Kind::kScalar; }
bool Node::is_list() const { return raw_->kind == Kind::kList; }
bool Node::is_map() const { return raw_->kind == Kind::kMap; }
const std::string& Node::file() const { return document_->file; }
const std::string& Node::folder() const { return document_->folder; }
int Node::line() const { return raw_->line; }
int Node::column() const { return raw_->column; }
int Node::key_line() const { return key_line_ > 0 ? key_line_ : raw_->line; }
int Node::key_column() const { return key_line_ > 0 ? key_column_ : raw_->column; }

Error Node::error(std::string_view message, ErrorCode code) const {
  std::string where = fmt::format("{}:{}:{}: ", document_->file, raw_->line, raw_->column);
  if (!path_.empty())
    where += path_ + ": ";
  return {code, where.append(message), path_};
}

Error Node::key_error(std::string_view message, ErrorCode code) const {
  std::string where = fmt::format("{}:{}:{}: ", document_->file, key_line(), key_column());
  if (!path_.empty())
    where += path_ + ": ";
  return {code, where.append(message), path_};
}

Result<std::string_view> Node::plain(std::string_view expected) const {
  switch (raw_->kind) {
    case Kind::kScalar:
      return std::string_view(raw_->text);
    case Kind::kNull:
      return key_error(fmt::format("expected {}, got nothing", expected));
    case Kind::kList:
      return error(fmt::format("expected {}, got a list", expected));
    case Kind::kMap:
      return error(fmt::format("expected {}, got a map", expected));
  }
  return error("unreadable");
}

Result<std::string> Node::text() const {
  MEDLEY_TRY(const std::string_view value, plain("a text"));
  return std::string(value);
}

Result<bool> Node::flag() const {
  MEDLEY_TRY(const std::string_view value, plain("true or false"));
  if (!raw_->quoted) {
    if (value == "true" || value == "True")
      return true;
    if (value == "false" || value == "False")
      return false;
  }
  return error(fmt::format("expected true or false, got '{}'", shown(value)));
}

Result<long long> Node::whole(const Whole& range) const {
  constexpr long long kMax = std::numeric_limits<long long>::max();
  std::string expected = "a whole number";
  if (range.max != kMax) {
    expected += fmt::format(" from {} to {}", range.min, range.max);
  } else if (range.min != std::numeric_limits<long long>::min()) {
    expected += fmt::format(" of at least {}", range.min);
  }
  MEDLEY_TRY(const std::string_view value, plain(expected));
  const char* end = value.data() + value.size();
  long long number = 0;
  bool good = false;
  if (const auto [stop, failure] = std::from_chars(value.data(), end, number);
      failure == std::errc() && stop == end) {
    good = true;
  } else if (const auto real = parse_number(value);
             real && std::trunc(*real) == *real && std::fabs(*real) <= 0x1p53) {
    number = static_cast<long long>(*real);  // 1e6, +5
    good = true;
  }
  if (!good || raw_->quoted || number < range.min || number > range.max) {
    return error(fmt::format("expected {}, got '{}'", expected, shown(value)));
  }
  return number;
}

// "60 kW", "28k", "20%": a number with something after it.
static bool has_unit(std::string_view value) {
  const std::size_t last = value.find_last_of("0123456789.");
  return last != std::string_view::npos && last + 1 < value.size() &&
         parse_number(value.substr(0, last + 1)).has_value();
}

Result<double> Node::number(const Bounds& bounds) const {
  const std::string expected = with("a number", describe(bounds));
  MEDLEY_TRY(const std::string_view value, plain(expected));
  const auto number = parse_number(value);
  if (!number || raw_->quoted || !inside(*number, bounds)) {
    return error(fmt::format(
        "expected {}, got '{}'{}", expected, shown(value),
        !number && has_unit(value) ? ": write the number alone, its unit is the key's" : ""));
  }
  return *number;
}

Result<double> Node::bytes(const Bounds& bounds) const {
  MEDLEY_TRY(const std::string_view value, plain("a size like 16GiB or 4GB"));
  auto bytes = parse_bytes(value);
  if (!bytes.ok())
    return error(bytes.error().message);
  if (!inside(*bytes, bounds)) {
    return error(
        fmt::format("expected {} bytes, got '{}'", with("a size", describe(bounds)), shown(value)));
  }
  return *bytes;
}

Result<double> Node::seconds(const Bounds& bounds) const {
  MEDLEY_TRY(const std::string_view value, plain("a duration like 200ms, 1.5s, 2m or 24h"));
  auto seconds = parse_seconds(value);
  if (!seconds.ok())
    return error(seconds.error().message);
  if (!inside(*seconds, bounds)) {
    return error(fmt::format("expected {} seconds, got '{}'", with("a duration", describe(bounds)),
                             shown(value)));
  }
  return *seconds;
}

Result<std::size_t> Node::choice(std::span<const std::string> names) const {
  MEDLEY_CHECK(!names.empty());
  MEDLEY_TRY(const std::string_view value, plain(fmt::format("one of {}", fmt::join(names, ", "))));
  const auto found = std::find(names.begin(), names.end(), value);
  if (found == names.end()) {
    return error(fmt::format("unknown value '{}'{}", shown(value), suggestion(value, names)));
  }
  return static_cast<std::size_t>(found - names.begin());
}

Result<std::vector<Node>> Node::items() const {
  if (!is_list()) {
    return error(fmt::format("expected a list, got {}", is_map() ? "a map"
                                                        : is_null()
                                                            ? "nothing"
                                                            : "'" + shown(raw_->text) + "'"));
  }
  std::vector<Node> nodes;
  nodes.reserve(raw_->items.size());
  for (std::size_t i = 0; i < raw_->items.size(); ++i) {
    nodes.emplace_back(document_, raw_->items[i].get(), fmt::format("{}[{}]", path_, i));
  }
  return nodes;
}

Result<std::vector<std::pair<std::string, Node>>> Node::entries() const {
  if (!is_map()) {
    const std::string got = is_list()   ? "a list"
                            : is_null() ? "nothing"
                                        : "'" + shown(raw_->text) + "'";
    return error(fmt::format("expected a map of keys and values, got {}", got));
  }
  std::vector<std::pair<std::string, Node>> entries;
  entries.reserve(raw_->entries.size());
  for (const Raw::Entry& entry : raw_->entries) {
    entries.emplace_back(entry.key, Node(document_, entry.value.get(),
                                         path_.empty() ? entry.key : path_ + "." + entry.key,
                                         entry.line, entry.column));
  }
  return entries;
}

Result<std::vector<std::string>> Node::texts() const {
  MEDLEY_TRY(const std::vector<Node> nodes, items());
  std::vector<std::string> values;
  for (const Node& node : nodes) {
    MEDLEY_TRY(std::string value, node.text());
    values.push_back(std::move(value));
  }
  return values;
}

std::optional<Node> Node::find(std::string_view key) const {
  for (const Raw::Entry& entry : raw_->entries) {
    if (entry.key != key)
      continue;
    if (entry.value->kind == Kind::kNull)
      return std::nullopt;
    return Node(document_, entry.value.get(), path_.empty() ? entry.key : path_ + "." + entry.key,
                entry.line, entry.column);
  }
  return std::nullopt;
}

std::string Node::resolve(const std::string& path) const {
  const std::filesystem::path given(path);
  if (given.is_absolute())
    return path;
  return (std::filesystem::path(document_->folder) / given).lexically_normal().string();
}

Result<Node> parse_yaml(std::string_view text, std::string name) {
  if (text.size() > kMaxFileBytes) {
    return Error{
        ErrorCode::kInvalid, fmt::format("{}: larger than {} MiB", name, kMaxFileBytes >> 20), {}};
  }
  auto document = std::make_shared<Node::Document>();
  document->file = std::move(name);
  document->folder = std::filesystem::path(document->file).parent_path().string();
  if (document->folder.empty())
    document->folder = ".";
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder;
    if (parser.HandleNextDocument(builder))
      document->root = builder.take_root();
    if (const YAML::Mark& mark = builder.last_quoted();
        !mark.is_null() && !is_closed(text, static_cast<std::size_t>(mark.pos))) {
      return at(document->file, mark.line + 1, mark.column + 1, "a quoted text that does not end");
    }
    Builder more;
    if (document->root && parser.HandleNextDocument(more)) {
      const auto second = more.take_root();
      return at(document->file, second ? second->line : 1, second ? second->column : 1,
                "a second document; one is expected");
    }
  } catch (const Refused& refused) {
    return at(document->file, refused.line, refused.column, refused.message);
  } catch (const YAML::Exception& exception) {
    const bool placed = !exception.mark.is_null();
    return at(document->file, placed ? exception.mark.line + 1 : 1,
              placed ? exception.mark.column + 1 : 1, exception.msg);
  } catch (const std::exception& exception) {  // out of memory, a failed assertion of the stream
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: not readable as YAML: {}", document->file, exception.what()),
                 {}};
  }
  if (!document->root) {
    auto root = std::make_shared<Raw>();
    root->line = root->column = 1;
    document->root = std::move(root);
  }
  const Raw* root = document->root.get();
  return Node(std::move(document), root, "");
}

Result<Node> read_yaml(const std::string& path) {
  MEDLEY_TRY(const std::string text, read_file(path, kMaxFileBytes));
  return parse_yaml(text, path);
}

Fields::Fields(Node node) : node_(std::move(node)) {
  if (!node_.is_map())
    fail(node_.entries().error());
}

void Fields::know(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end())
    known_.emplace_back(key);
}

void Fields::fail(Error error) {
  if (!error_)
    error_ = std::move(error);
}

std::optional<Node> Fields::child(std::string_view key) {
  know(key);
  return node_.find(key);
}

std::optional<Node> Fields::required(std::string_view key) {
  auto node = child(key);
  if (!node && node_.is_map())
    fail(node_.error(fmt::format("missing key '{}'", key)));
  return node;
}

template <typename T, typename Get>
std::optional<T> Fields::get(std::string_view key, bool required, const Get& get) {
  const auto node = required ? this->required(key) : child(key);
  if (!node)
    return std::nullopt;
  Result<T> value = get(*node);
  if (!value.ok()) {
    fail(std::move(value).error());
    return std::nullopt;
  }
  return std::move(value).value();
}

std::string Fields::text(std::string_view key, std::string fallback) {
  return get<std::string>(key, false, [](const Node& n) { return n.text(); })
      .value_or(std::move(fallback));
}
std::string Fields::required_text(std::string_view key) {
  const auto node = required(key);
  if (!node)
    return {};
  auto value = node->text();
  if (!value.ok()) {
    fail(std::move(value).error());
    return {};
  }
  if (value->empty())
    fail(node->error("expected a text, got an empty one"));
  return std::move(value).value();
}
bool Fields::flag(std::string_view key, bool fallback) {
  return get<bool>(key, false, [](const Node& n) { return n.flag(); }).value_or(fallback);
}
std::optional<long long> Fields::whole(std::string_view key, const Whole& range) {
  return get<long long>(key, false, [&](const Node& n) { return n.whole(range); });
}
long long Fields::whole(std::string_view key, long long fallback, const Whole& range) {
  return whole(key, range).value_or(fallback);
}
long long Fields::required_whole(std::string_view key, const Whole& range) {
  return get<long long>(key, true, [&](const Node& n) { return n.whole(range); })
      .value_or(range.min);
}
std::optional<double> Fields::number(std::string_view key, const Bounds& bounds) {
  return get<double>(key, false, [&](const Node& n) { return n.number(bounds); });
}
double Fields::number(std::string_view key, double fallback, const Bounds& bounds) {
  return number(key, bounds).value_or(fallback);
}
double Fields::required_number(std::string_view key, const Bounds& bounds) {
  return get<double>(key, true, [&](const Node& n) { return n.number(bounds); })
      .value_or(bounds.min);
}
double Fields::bytes(std::string_view key, double fallback, const Bounds& bounds) {
  return get<double>(key, false, [&](const Node& n) { return n.bytes(bounds); }).value_or(fallback);
}
std::optional<double> Fields::seconds(std::string_view key, const Bounds& bounds) {
  return get<double>(key, false, [&](const Node& n) { return n.seconds(bounds); });
}
double Fields::seconds(std::string_view key, double fallback, const Bounds& bounds) {
  return seconds(key, bounds).value_or(fallback);
}
std::vector<std::string> Fields::texts(std::string_view key) {
  return get<std::vector<std::string>>(key, false, [](const Node& n) { return n.texts(); })
      .value_or(std::vector<std::string>{});
}
std::optional<std::size_t> Fields::choice(std::string_view key,
                                          std::span<const std::string> names) {
  return get<std::size_t>(key, false, [&](const Node& n) { return n.choice(names); });
}
std::optional<std::size_t> Fields::required_choice(std::string_view key,
                                                   std::span<const std::string> names) {
  return get<std::size_t>(key, true, [&](const Node& n) { return n.choice(names); });
}

Status Fields::status() const {
  if (error_)
    return *error_;
  return Done{};
}

Status Fields::finish() {
  if (const auto entries = node_.entries(); entries.ok()) {
    for (const auto& [key, value] : *entries) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end())
        continue;
      // Under the parent's path: that of a key that does not exist would only confuse.
      const std::string parent = node_.path().empty() ? "" : node_.path() + ": ";
      return Error{ErrorCode::kInvalid,
                   fmt::format("{}:{}:{}: {}unknown key '{}'{}", node_.file(), value.key_line(),
                               value.key_column(), parent, shown(key), suggestion(key, known_)),
                   value.path()};
    }
  }
  return status();
}

}  // namespace medley::data
