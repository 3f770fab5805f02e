#include "data/gguf_writer.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace medley::data {
namespace {

constexpr std::uint64_t kAlignment = 32;
constexpr std::uint32_t kUint32 = 4, kInt32 = 5, kFloat32 = 6, kString = 8, kArray = 9;

std::uint64_t padding(std::uint64_t bytes) {
  return (kAlignment - bytes % kAlignment) % kAlignment;
}

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

template <typename T>
void GgufWriter::number(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void GgufWriter::text(std::string& to, std::string_view value) {
  number<std::uint64_t>(to, value.size());
  to += value;
}
void GgufWriter::begin(std::string_view key, std::uint32_t type) {
  text(metadata_, key);
  number(metadata_, type);
  ++entries_;
}

GgufWriter& GgufWriter::entry(std::string_view key, std::uint32_t value) {
  begin(key, kUint32);
  number(metadata_, value);
  return *this;
}
GgufWriter& GgufWriter::entry(std::string_view key, float value) {
  begin(key, kFloat32);
  number(metadata_, value);
  return *this;
}
GgufWriter& GgufWriter::entry(std::string_view key, std::string_view value) {
  begin(key, kString);
  text(metadata_, value);
  return *this;
}
GgufWriter& GgufWriter::entry(std::string_view key, const std::vector<std::string>& values) {
  begin(key, kArray);
  number(metadata_, kString);
  number<std::uint64_t>(metadata_, values.size());
  for (const std::string& value : values)
    text(metadata_, value);
  return *this;
}
GgufWriter& GgufWriter::entry(std::string_view key, const std::vector<float>& values) {
  begin(key, kArray);
  number(metadata_, kFloat32);
  number<std::uint64_t>(metadata_, values.size());
  for (const float value : values)
    number(metadata_, value);
  return *this;
}
GgufWriter& GgufWriter::entry(std::string_view key, const std::vector<std::int32_t>& values) {
  begin(key, kArray);
  number(metadata_, kInt32);
  number<std::uint64_t>(metadata_, values.size());
  for (const std::int32_t value : values)
    number(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::tensor(std::string_view name, const std::vector<std::uint64_t>& shape,
                               std::uint32_t type, std::uint64_t bytes) {
  text(tensors_, name);
  number(tensors_, static_cast<std::uint32_t>(shape.size()));
  for (const std::uint64_t size : shape)
    number(tensors_, size);
  number(tensors_, type);
  number(tensors_, offset_);
  offset_ += bytes + padding(bytes);
  bytes_.push_back(bytes);
  return *this;
}

void GgufWriter::write(const Write& write,
                       const std::function<void(std::size_t, const Write&)>& fill) const {
  std::string front = "GGUF";
  const auto add = [&](auto value) {
    front.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  add(std::uint32_t{3});
  add(static_cast<std::uint64_t>(bytes_.size()));
  add(entries_);
  front += metadata_;
  front += tensors_;
  front.append(padding(front.size()), '\0');
  write(front);
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    fill(i, write);
    write(std::string(padding(bytes_[i]), '\0'));
  }
}

Status GgufWriter::write_file(const std::string& path,
                              const std::function<void(std::size_t, const Write&)>& fill) const {
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "wb"));
  if (!file)
    return Error{ErrorCode::kInvalid, fmt::format("{}: {}", path, std::strerror(errno)), {}};
  bool whole = true;
  write(
      [&](std::string_view bytes) {
        whole = whole && std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
      },
      fill);
  if (std::fclose(file.release()) != 0 || !whole)
    return Error{ErrorCode::kUnavailable, fmt::format("{}: cannot be written whole", path), {}};
  return Done{};
}

}  // namespace medley::data
