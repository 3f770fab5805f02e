#include "lpu/model_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace medley::lpu {
namespace {

// No dimension of a language model comes near it; products of two stay inside 64 bits.
constexpr std::uint64_t kMostSize = std::uint64_t{1} << 31;

std::string shown(std::string_view name) {
  std::string clean;
  for (const char c : name.substr(0, 60))
    clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  return clean;
}

}  // namespace

ModelFile::Mapping::~Mapping() {
  if (bytes != nullptr)
    munmap(const_cast<std::uint8_t*>(bytes), size);
}

Result<ModelFile> ModelFile::open(const std::string& path) {
  ModelFile file;
  file.name_ = path;
  MEDLEY_TRY(file.gguf_, data::read_gguf(path));
  const auto fail = [&](const char* what) {
    return Error{
        ErrorCode::kInvalid, fmt::format("{}: {}: {}", path, what, std::strerror(errno)), {}};
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return fail("cannot be opened");
  // The front was read before: what was checked there must hold for what is mapped now.
  struct stat status {};
  void* mapped = MAP_FAILED;
  if (fstat(descriptor, &status) == 0 &&
      static_cast<std::uint64_t>(status.st_size) >= file.gguf_.file_bytes) {
    mapped = mmap(nullptr, file.gguf_.file_bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
  }
  ::close(descriptor);
  if (mapped == MAP_FAILED)
    return fail("cannot be mapped into memory");
  file.mapping_ = std::make_unique<Mapping>();
  file.mapping_->bytes = static_cast<const std::uint8_t*>(mapped);
  file.mapping_->size = file.gguf_.file_bytes;
  MEDLEY_TRY_STATUS(file.take_tensors(file.mapping_->bytes));
  return file;
}

Result<ModelFile> ModelFile::parse(std::string_view bytes, const std::string& name) {
  ModelFile file;
  file.name_ = name;
  MEDLEY_TRY(file.gguf_, data::parse_gguf(bytes, bytes.size(), name));
  MEDLEY_TRY_STATUS(file.take_tensors(reinterpret_cast<const std::uint8_t*>(bytes.data())));
  return file;
}

const Tensor* ModelFile::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Status ModelFile::take_tensors(const std::uint8_t* bytes) {
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> ranges;  // begin: (end, name)
  const std::uint64_t room =
      gguf_.tensors.empty() ? 0 : gguf_.file_bytes - std::min(gguf_.data_offset, gguf_.file_bytes);
  for (const data::GgufTensor& from : gguf_.tensors) {
    const auto fail = [&](const std::string& message) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("{}: tensor '{}': {}", name_, shown(from.name), message),
                   {}};
    };
    const std::optional<TensorFormat> format = tensor_format(from.type);
    if (!format) {
      return fail(fmt::format(
          "format {} is not supported; supported: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, "
          "Q4_K, Q5_K, Q6_K",
          from.type));
    }
    if (from.shape.empty() || from.shape.size() > 3)
      return fail(fmt::format("{} dimensions, expected 1 to 3", from.shape.size()));
    Tensor tensor{.name = from.name, .format = *format, .rows = 1};
    std::uint64_t elements = 1;
    for (const std::uint64_t size : from.shape) {
      if (size == 0 || size >= kMostSize || elements > (std::uint64_t{1} << 48) / size)
        return fail(fmt::format("a size of {} cannot be", size));
      elements *= size;
    }
    tensor.columns = static_cast<long long>(from.shape[0]);
    tensor.rows = static_cast<long long>(elements / from.shape[0]);
    if (from.shape[0] % static_cast<std::uint64_t>(block_elements(*format)) != 0) {
      return fail(fmt::format("rows of {} numbers are no whole blocks of {}", from.shape[0],
                              name_of(*format)));
    }
    const std::uint64_t size = static_cast<std::uint64_t>(tensor.rows) * tensor.row_bytes();
    if (size > room || from.offset > room - size)
      return fail(fmt::format("its {} bytes end behind the file", size));
    if (from.offset % 32 != 0)
      return fail(fmt::format("offset {} is no multiple of 32", from.offset));
    tensor.bytes = bytes + gguf_.data_offset + from.offset;
    const auto [at, fresh] =
        ranges.emplace(from.offset, std::pair(from.offset + size, shown(from.name)));
    if (!fresh)
      return fail(fmt::format("overlaps tensor '{}'", at->second.second));
    if (!tensors_.emplace(from.name, std::move(tensor)).second)
      return fail("stands here twice");
  }
  for (auto range = ranges.begin(); range != ranges.end(); ++range) {
    const auto next = std::next(range);
    if (next != ranges.end() && range->second.first > next->first) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("{}: tensor '{}': overlaps tensor '{}'", name_, next->second.second,
                               range->second.second),
                   {}};
    }
  }
  return Done{};
}

}  // namespace medley::lpu
