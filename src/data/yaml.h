// YAML files as checked values: every error says file, line, column, key and what would be right.
//
// The only place that sees yaml-cpp; none of its exceptions leaves it. Input is bounded (16 MiB, 64
// levels, two million values with aliases counted as often as they are used), keys are unique and
// plain, numbers finite. Lines and columns count from 1.
//
//   Fields fields(node);
//   pool.name = fields.required_text("name");
//   pool.replicas = fields.whole("replicas", 1, {.min = 1});
//   if (const auto child = fields.child("metered")) fields.take(pool.metered,
//   read_metered(*child)); MEDLEY_TRY_STATUS(fields.finish());
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace medley::data {

// What a whole number may be.
struct Whole {
  long long min = 0;
  long long max = std::numeric_limits<long long>::max();
};

// What a number may be.
struct Bounds {
  double min = 0;
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  // min itself is not allowed
};
inline constexpr Bounds kPositive{.above_min = true};
inline constexpr Bounds kShare{.max = 1};

// One value of a YAML document: a view that keeps the document alive. Cheap to copy.
class Node {
 public:
  bool is_null() const;
  bool is_scalar() const;
  bool is_list() const;
  bool is_map() const;

  const std::string& file() const;  // as given to read_yaml or parse_yaml
  const std::string& folder()
      const;  // of the file: where its relative paths start; "." for a string
  const std::string& path() const { return path_; }  // "pools[0].replicas"; empty for the document
  int line() const;
  int column() const;
  int key_line() const;  // of the key this is the value of, else of the value
  int key_column() const;

  // "fleet.yaml:12:5: pools[0].replicas: <message>"; its param is the path.
  Error error(std::string_view message, ErrorCode code = ErrorCode::kInvalid) const;
  // The same at the place of the key.
  Error key_error(std::string_view message, ErrorCode code = ErrorCode::kInvalid) const;

  Result<std::string> text() const;  // any single value, as written
  Result<bool> flag() const;         // true, false
  Result<long long> whole(const Whole& range = {}) const;
  Result<double> number(const Bounds& bounds = {}) const;
  Result<double> bytes(
      const Bounds& bounds = {}) const;  // "16GiB", "4GB" or a plain number of bytes
  Result<double> seconds(
      const Bounds& bounds = {}) const;  // "200ms", "1.5s", "2m", "24h", "7d" or seconds
  // The place among `names` of the value.
  Result<std::size_t> choice(std::span<const std::string> names) const;
  Result<std::vector<Node>> items() const;                            // a list
  Result<std::vector<std::pair<std::string, Node>>> entries() const;  // a map, in file order
  Result<std::vector<std::string>> texts() const;                     // a list of single values
  // The value of a key; empty where this is no map, the key is absent or its value null.
  std::optional<Node> find(std::string_view key) const;

  // A relative path written in the file, from the working folder.
  std::string resolve(const std::string& path) const;

  struct Raw;
  struct Document;
  Node(std::shared_ptr<const Document> document, const Raw* raw, std::string path, int key_line = 0,
       int key_column = 0);

 private:
  Result<std::string_view> plain(std::string_view expected) const;

  std::shared_ptr<const Document> document_;
  const Raw* raw_;
  std::string path_;
  int key_line_, key_column_;
};

// The document of a file; an empty one is null. More than one document is an error.
Result<Node> read_yaml(const std::string& path);
// The same from memory; `name` stands for the file in errors.
Result<Node> parse_yaml(std::string_view text, std::string name);

// Reads the keys of one map. The getters answer the default after an error and remember the first
// one, so that a reader is a list of keys; finish() tells it. Every key must have been asked for
// before finish(): one that was not is unknown, and that goes before all other errors, being their
// likely cause.
class Fields {
 public:
  explicit Fields(Node node);

  const Node& node() const { return node_; }
  bool has(std::string_view key) const { return node_.find(key).has_value(); }
  // The value, where there is one that is not null.
  std::optional<Node> child(std::string_view key);
  std::optional<Node> required(std::string_view key);

  std::string text(std::string_view key, std::string fallback = {});
  std::string required_text(std::string_view key);
  bool flag(std::string_view key, bool fallback);
  long long whole(std::string_view key, long long fallback, const Whole& range = {});
  std::optional<long long> whole(std::string_view key, const Whole& range = {});
  long long required_whole(std::string_view key, const Whole& range = {});
  double number(std::string_view key, double fallback, const Bounds& bounds = {});
  std::optional<double> number(std::string_view key, const Bounds& bounds = {});
  double required_number(std::string_view key, const Bounds& bounds = {});
  double bytes(std::string_view key, double fallback, const Bounds& bounds = {});
  double seconds(std::string_view key, double fallback, const Bounds& bounds = {});
  std::optional<double> seconds(std::string_view key, const Bounds& bounds = {});
  std::vector<std::string> texts(std::string_view key);
  std::optional<std::size_t> choice(std::string_view key, std::span<const std::string> names);
  std::optional<std::size_t> required_choice(std::string_view key,
                                             std::span<const std::string> names);
  // For keys that are known but of no interest here.
  void ignore(std::string_view key) { child(key); }

  // Moves the value to `target`, or remembers the error.
  template <typename Target, typename T>
  void take(Target& target, Result<T> result) {
    if (result.ok()) {
      target = std::move(result).value();
    } else {
      fail(std::move(result).error());
    }
  }
  void fail(Error error);
  bool failed() const { return error_.has_value(); }
  // The first error so far, unknown keys not looked for.
  Status status() const;
  Status finish();

 private:
  void know(std::string_view key);
  template <typename T, typename Get>
  std::optional<T> get(std::string_view key, bool required, const Get& get);

  Node node_;
  std::vector<std::string> known_;
  std::optional<Error> error_;
};

// "16GiB" and the like, for command lines too; the error has no place in it.
Result<double> parse_bytes(std::string_view text);
Result<double> parse_seconds(std::string_view text);
// A finite number and nothing else.
std::optional<double> parse_number(std::string_view text);

}  // namespace medley::data
