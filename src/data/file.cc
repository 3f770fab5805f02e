#include "data/file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

namespace medley::data {
namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
  void operator()(gzFile file) const { gzclose_r(file); }
};

Error cannot_read(const std::string& path, int reason) {
  return {reason == ENOENT ? ErrorCode::kNotFound : ErrorCode::kInvalid,
          fmt::format("{}: {}", path, std::strerror(reason)),
          {}};
}

// Fills a string from `read(buffer, size)`, which answers the bytes read, 0 at the end, below 0 on
// failure.
template <typename Read>
Result<std::string> slurp(const std::string& path, std::size_t max_bytes, std::size_t expected,
                          const Read& read) {
  std::string bytes;
  bytes.resize(std::min(expected, max_bytes) +
               1);  // one more, so that the end shows without another round
  std::size_t size = 0;
  for (;;) {
    if (size == bytes.size())
      bytes.resize(bytes.size() * 2 + 65536);
    const long got = read(bytes.data() + size, bytes.size() - size);
    if (got < 0)
      return cannot_read(path, errno != 0 ? errno : EIO);
    if (got == 0)
      break;
    size += static_cast<std::size_t>(got);
    if (size > max_bytes) {
      return Error{
          ErrorCode::kInvalid, fmt::format("{}: larger than {} bytes", path, max_bytes), {}};
    }
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure))
    return cannot_read(path, EISDIR);
  errno = 0;
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file)
    return cannot_read(path, errno);
  const auto size = std::filesystem::file_size(path, failure);
  return slurp(path, max_bytes, failure ? 0 : static_cast<std::size_t>(size),
               [&](char* buffer, std::size_t room) -> long {
                 const std::size_t got = std::fread(buffer, 1, room, file.get());
                 return got == 0 && std::ferror(file.get()) ? -1 : static_cast<long>(got);
               });
}

Result<std::string> read_file_maybe_gzip(const std::string& path, std::size_t max_bytes) {
  if (!path.ends_with(".gz"))
    return read_file(path, max_bytes);
  errno = 0;
  const std::unique_ptr<gzFile_s, Close> file(gzopen(path.c_str(), "rb"));
  if (!file)
    return cannot_read(path, errno != 0 ? errno : ENOMEM);
  int status = Z_OK;
  auto bytes = slurp(path, max_bytes, 1 << 16, [&](char* buffer, std::size_t room) -> long {
    const int got =
        gzread(file.get(), buffer, static_cast<unsigned>(std::min<std::size_t>(room, 1 << 20)));
    gzerror(file.get(), &status);
    return got;
  });
  if (status != Z_OK && status != Z_STREAM_END) {
    return Error{ErrorCode::kInvalid, fmt::format("{}: damaged gzip data", path), {}};
  }
  return bytes;
}

}  // namespace medley::data
