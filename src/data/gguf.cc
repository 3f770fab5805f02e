#include "data/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <set>

#include "base/printable.h"

namespace medley::data {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

constexpr std::uint64_t kMaxKeyBytes = 65535;
constexpr std::uint32_t kMaxDimensions = 8;
constexpr int kMaxArrayLevels = 4;
// Vocabularies with merges take some 20 MB; more than this before the tensors is no model.
constexpr std::uint64_t kMaxFrontBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kFirstRead = 1 << 20;

enum Type : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
constexpr std::uint64_t kTypeBytes[] = {1, 1, 2,  2, 4, 4, 4,
                                        1, 8, 12, 8, 8, 8};  // the least, for strings and arrays

// Elements and bytes of a block of each tensor type (ggml.h; the numbers are part of the format).
struct Block {
  std::uint32_t type;
  double elements, bytes;
};
constexpr Block kBlocks[] = {
    {0, 1, 4},      {1, 1, 2},      {2, 32, 18},   {3, 32, 20},    {6, 32, 22},    {7, 32, 24},
    {8, 32, 34},    {9, 32, 36},    {10, 256, 84}, {11, 256, 110}, {12, 256, 144}, {13, 256, 176},
    {14, 256, 210}, {15, 256, 292}, {16, 256, 66}, {17, 256, 74},  {18, 256, 98},  {19, 256, 50},
    {20, 32, 18},   {21, 256, 110}, {22, 256, 82}, {23, 256, 136}, {24, 1, 1},     {25, 1, 2},
    {26, 1, 4},     {27, 1, 8},     {28, 1, 8},    {29, 256, 56},  {30, 1, 2},     {34, 256, 54},
    {35, 256, 66},  {39, 32, 17},
};

const Block* block_of(std::uint32_t type) {
  const auto found = std::find_if(std::begin(kBlocks), std::end(kBlocks),
                                  [&](const Block& b) { return b.type == type; });
  return found == std::end(kBlocks) ? nullptr : found;
}

std::string shown(std::string_view text) {
  std::string clean;
  for (const char c : text.substr(0, 60))
    clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  return text.size() > 60 ? clean + "..." : clean;
}

// What parsing stops for: something wrong at a byte, or the front being too short to go on.
struct Stop {
  bool needs_more = false;
  std::uint64_t at = 0;
  std::string message;
};

// Walks the front; throws Stop, which parse() below turns into a Result.
class Cursor {
 public:
  Cursor(std::string_view front, std::uint64_t file_bytes)
      : front_(front), file_bytes_(file_bytes) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return file_bytes_ - position_; }

  [[noreturn]] void fail(std::string message) const {
    throw Stop{false, position_, std::move(message)};
  }

  // The next bytes: in the file at all, and at hand.
  std::string_view take(std::uint64_t bytes, std::string_view what) {
    if (bytes > left()) {
      fail(fmt::format("{} takes {} bytes, {} are left in the file", what, bytes, left()));
    }
    if (position_ + bytes > front_.size())
      throw Stop{true, position_, "the front is too long"};
    const std::string_view taken = front_.substr(position_, bytes);
    position_ += bytes;
    return taken;
  }
  template <typename T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  std::string_view text(std::uint64_t longest, std::string_view what) {
    const std::uint64_t start = position_;
    const auto length = number<std::uint64_t>(what);
    if (const std::uint64_t most = std::min(longest, left()); length > most) {
      position_ = start;
      fail(fmt::format("{} of {} bytes, at most {} are possible here", what, length, most));
    }
    return take(length, what);
  }
  // A count of things that take at least `least_bytes` each.
  std::uint64_t count(std::uint64_t value, std::uint64_t least_bytes, std::string_view what) const {
    if (value > left() / least_bytes) {
      fail(fmt::format("{} {}, more than the {} bytes left in the file can hold", value, what,
                       left()));
    }
    return value;
  }

 private:
  std::string_view front_;
  std::uint64_t file_bytes_;
  std::uint64_t position_ = 0;
};

double read_number(Cursor& cursor, std::uint32_t type) {
  switch (type) {
    case kU8:
      return cursor.number<std::uint8_t>("a number");
    case kI8:
      return cursor.number<std::int8_t>("a number");
    case kU16:
      return cursor.number<std::uint16_t>("a number");
    case kI16:
      return cursor.number<std::int16_t>("a number");
    case kU32:
      return cursor.number<std::uint32_t>("a number");
    case kI32:
      return cursor.number<std::int32_t>("a number");
    case kF32:
      return static_cast<double>(cursor.number<float>("a number"));
    case kBool:
      return cursor.number<std::uint8_t>("a flag") != 0;
    case kU64:
      return static_cast<double>(cursor.number<std::uint64_t>("a number"));
    case kI64:
      return static_cast<double>(cursor.number<std::int64_t>("a number"));
    default:
      return cursor.number<double>("a number");
  }
}

void check_type(const Cursor& cursor, std::uint32_t type) {
  if (type > kF64)
    cursor.fail(fmt::format("unknown value type {}", type));
}

GgufArray read_array(Cursor& cursor, int level) {
  if (level > kMaxArrayLevels)
    cursor.fail(fmt::format("arrays nested more than {} deep", kMaxArrayLevels));
  GgufArray array;
  array.type = cursor.number<std::uint32_t>("an array's type");
  check_type(cursor, array.type);
  const auto count = cursor.number<std::uint64_t>("an array's length");
  array.count = cursor.count(count, kTypeBytes[array.type], "array elements");
  if (array.type == kArray) {
    for (std::uint64_t i = 0; i < array.count; ++i)
      read_array(cursor, level + 1);
  } else if (array.type == kString) {
    for (std::uint64_t i = 0; i < array.count; ++i) {
      const std::string_view element =
          cursor.text(std::numeric_limits<std::uint32_t>::max(), "a text");
      if (i < kKeptElements)
        array.texts.emplace_back(element);
    }
  } else {
    const std::uint64_t kept = std::min<std::uint64_t>(array.count, kKeptElements);
    for (std::uint64_t i = 0; i < kept; ++i)
      array.numbers.push_back(read_number(cursor, array.type));
    cursor.take((array.count - kept) * kTypeBytes[array.type], "an array");
  }
  return array;
}

GgufValue read_value(Cursor& cursor) {
  const auto type = cursor.number<std::uint32_t>("a value's type");
  check_type(cursor, type);
  switch (type) {
    case kString:
      return std::string(cursor.text(std::numeric_limits<std::uint32_t>::max(), "a text"));
    case kArray:
      return read_array(cursor, 1);
    case kBool:
      return cursor.number<std::uint8_t>("a flag") != 0;
    case kU64:
      return cursor.number<std::uint64_t>("a number");
    case kI64:
      return cursor.number<std::int64_t>("a number");
    case kF32:
    case kF64:
      return read_number(cursor, type);
    default:
      return static_cast<std::int64_t>(read_number(cursor, type));
  }
}

GgufTensor read_tensor(Cursor& cursor) {
  GgufTensor tensor;
  tensor.name = std::string(cursor.text(kMaxKeyBytes, "a tensor's name"));
  const auto dimensions = cursor.number<std::uint32_t>("a tensor's dimensions");
  if (dimensions > kMaxDimensions) {
    cursor.fail(fmt::format("tensor '{}' has {} dimensions, at most {} are expected",
                            shown(tensor.name), dimensions, kMaxDimensions));
  }
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    tensor.shape.push_back(cursor.number<std::uint64_t>("a tensor's shape"));
  }
  tensor.type = cursor.number<std::uint32_t>("a tensor's type");
  tensor.offset = cursor.number<std::uint64_t>("a tensor's offset");
  return tensor;
}

Gguf read_all(std::string_view front, std::uint64_t file_bytes) {
  Cursor cursor(front, file_bytes);
  Gguf gguf;
  gguf.file_bytes = file_bytes;
  if (file_bytes < 4 || cursor.take(4, "the magic") != "GGUF")
    throw Stop{false, 0, "not a GGUF file"};
  gguf.version = cursor.number<std::uint32_t>("the version");
  if (gguf.version != 2 && gguf.version != 3) {
    throw Stop{false, 4, fmt::format("GGUF version {}, expected 2 or 3", gguf.version)};
  }
  const auto tensors = cursor.number<std::uint64_t>("the number of tensors");
  const auto entries = cursor.number<std::uint64_t>("the number of metadata entries");
  cursor.count(entries, 8 + 4 + 1, "metadata entries");
  cursor.count(tensors, 8 + 4 + 4 + 8, "tensors");

  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::uint64_t start = cursor.position();
    std::string key(cursor.text(kMaxKeyBytes, "a key"));
    GgufValue value = read_value(cursor);
    if (!gguf.metadata.emplace(key, std::move(value)).second) {
      throw Stop{false, start, fmt::format("key '{}' stands here twice", shown(key))};
    }
  }
  for (std::uint64_t i = 0; i < tensors; ++i)
    gguf.tensors.push_back(read_tensor(cursor));

  const auto alignment = static_cast<std::uint64_t>(gguf.whole("general.alignment").value_or(32));
  if (!std::has_single_bit(alignment) || alignment > (1 << 20)) {
    cursor.fail(fmt::format("alignment {}, expected a power of two up to 1048576", alignment));
  }
  gguf.data_offset = (cursor.position() + alignment - 1) / alignment * alignment;
  if (tensors > 0 && gguf.data_offset > file_bytes)
    cursor.fail("the file ends before its tensors");
  const double room = tensors > 0 ? static_cast<double>(file_bytes - gguf.data_offset) : 0;
  for (const GgufTensor& tensor : gguf.tensors) {
    const double end = static_cast<double>(tensor.offset) + tensor.bytes().value_or(0);
    if (end > room) {
      cursor.fail(
          fmt::format("tensor '{}' ends at byte {:.0f} of the data section, which has {:.0f}",
                      shown(tensor.name), end, room));
    }
  }
  return gguf;
}

Error at_byte(const std::string& name, const Stop& stop) {
  return {ErrorCode::kInvalid, fmt::format("{}: byte {}: {}", name, stop.at, stop.message), {}};
}

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

double GgufTensor::elements() const {
  double product = 1;
  for (const std::uint64_t size : shape)
    product *= static_cast<double>(size);
  return product;
}

std::optional<double> GgufTensor::bytes() const {
  const Block* block = block_of(type);
  if (block == nullptr)
    return std::nullopt;
  return std::ceil(elements() / block->elements) * block->bytes;
}

std::optional<std::string> Gguf::text(std::string_view key) const {
  const auto found = metadata.find(std::string(key));
  if (found == metadata.end())
    return std::nullopt;
  const auto* value = std::get_if<std::string>(&found->second);
  return value == nullptr ? std::nullopt : std::optional(printable(*value));
}

std::optional<long long> Gguf::whole(std::string_view key) const {
  const auto found = metadata.find(std::string(key));
  if (found == metadata.end())
    return std::nullopt;
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (const auto* value = std::get_if<std::int64_t>(&found->second))
    return *value;
  if (const auto* value = std::get_if<std::uint64_t>(&found->second)) {
    return static_cast<long long>(std::min(*value, kMost));
  }
  if (const auto* array = std::get_if<GgufArray>(&found->second);
      array != nullptr && !array->numbers.empty()) {
    const double most = *std::max_element(array->numbers.begin(), array->numbers.end());
    if (most >= 0 && most < 0x1p53)
      return static_cast<long long>(most);
  }
  return std::nullopt;
}

Result<Gguf> parse_gguf(std::string_view front, std::uint64_t file_bytes, const std::string& name) {
  try {
    return read_all(front, std::max<std::uint64_t>(file_bytes, front.size()));
  } catch (const Stop& stop) {
    return at_byte(name, stop);
  }
}

Result<Gguf> read_gguf(const std::string& path) {
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure)) {
    return Error{ErrorCode::kInvalid, fmt::format("{}: Is a directory", path), {}};
  }
  errno = 0;
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) {
    return Error{errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kInvalid,
                 fmt::format("{}: {}", path, std::strerror(errno)),
                 {}};
  }
  const std::uint64_t file_bytes = std::filesystem::file_size(path, failure);
  if (failure)
    return Error{ErrorCode::kInvalid, fmt::format("{}: {}", path, failure.message()), {}};

  // Grows until the front is whole: nobody says how long it is.
  std::string front;
  for (std::uint64_t wanted = std::min(kFirstRead, file_bytes);;
       wanted = std::min(wanted * 8, file_bytes)) {
    const std::size_t had = front.size();
    front.resize(wanted);
    if (std::fread(front.data() + had, 1, wanted - had, file.get()) != wanted - had) {
      return Error{ErrorCode::kInvalid, fmt::format("{}: cut short while it was read", path), {}};
    }
    try {
      return read_all(front, file_bytes);
    } catch (const Stop& stop) {
      if (!stop.needs_more || wanted == file_bytes || wanted >= kMaxFrontBytes)
        return at_byte(path, stop);
    }
  }
}

namespace {

std::optional<Precision> precision_of(std::uint32_t type) {
  switch (type) {
    case 0:
      return Precision::kFp32;
    case 1:
      return Precision::kFp16;
    case 30:
      return Precision::kBf16;
    case 39:
      return Precision::kFp4;
    default:
      break;
  }
  const Block* block = block_of(type);
  if (block == nullptr)
    return std::nullopt;
  return block->bytes * 8 / block->elements < 5.8 ? Precision::kInt4 : Precision::kInt8;
}

}  // namespace

Result<Model> gguf_model(const Gguf& gguf, const std::string& name) {
  const auto fail = [&](const std::string& message) {
    return Error{ErrorCode::kInvalid, fmt::format("{}: {}", name, message), {}};
  };
  const std::string family = gguf.text("general.architecture").value_or("");
  if (family.empty())
    return fail("no general.architecture in its metadata");
  if (gguf.whole("split.count").value_or(1) > 1)
    return fail("one part of a split model; merge the parts first");
  if (gguf.tensors.empty())
    return fail("no tensors: a vocabulary without a model");

  std::string wrong;
  const auto figure = [&](const char* key, long long fallback, long long least) {
    const std::string full = fmt::format("{}.{}", family, key);
    const long long value = gguf.whole(full).value_or(fallback);
    if ((value < least || value > std::numeric_limits<int>::max()) && wrong.empty()) {
      wrong = fmt::format("{}: expected a whole number of at least {}, got {}", full, least, value);
    }
    return static_cast<int>(std::clamp<long long>(value, 0, std::numeric_limits<int>::max()));
  };
  Model model;
  model.id = model.name = gguf.text("general.name").value_or(name);
  model.family = family;
  model.license = gguf.text("general.license").value_or("");
  model.layers = figure("block_count", 0, 1);
  model.hidden_size = figure("embedding_length", 0, 1);
  model.heads = figure("attention.head_count", 0, 1);
  model.kv_heads = figure("attention.head_count_kv", model.heads, 1);
  model.head_size = figure("attention.key_length", model.hidden_size / std::max(1, model.heads), 1);
  const int value_size = figure("attention.value_length", model.head_size, 1);
  model.intermediate_size = figure("feed_forward_length", 0, 0);
  if (const int context = figure("context_length", 0, 0); context > 0)
    model.max_context = context;
  model.sliding_window = figure("attention.sliding_window", 0, 0);
  model.experts = figure("expert_count", 0, 0);
  model.experts_per_token = figure("expert_used_count", 0, 0);
  const int latent = figure("attention.kv_lora_rank", 0, 0);
  const int rope = figure("rope.dimension_count", 0, 0);
  if (!wrong.empty())
    return fail(wrong);
  if (model.experts_per_token > model.experts)
    return fail("more experts used than there are");
  model.kv_numbers_per_token_and_layer =
      latent > 0 ? latent + rope
                 : static_cast<double>(model.kv_heads) * (model.head_size + value_size);

  double bytes = 0, expert_elements = 0;
  bool sizes_known = true;
  std::map<std::uint32_t, double> by_type;
  std::set<std::string> expert_layers;
  for (const GgufTensor& tensor : gguf.tensors) {
    model.parameters += tensor.elements();
    by_type[tensor.type] += tensor.elements();
    if (const auto size = tensor.bytes()) {
      bytes += *size;
    } else {
      sizes_known = false;
    }
    if (tensor.name == "token_embd.weight" && tensor.shape.size() == 2) {
      model.vocabulary = static_cast<int>(std::min<std::uint64_t>(tensor.shape[1], 1 << 30));
    }
    if (tensor.name.find("_exps.") != std::string::npos) {  // blk.7.ffn_up_exps.weight
      expert_elements += tensor.elements();
      expert_layers.insert(tensor.name.substr(0, tensor.name.find('.', 4)));
    }
  }
  model.weight_bytes =
      Bytes(sizes_known ? bytes : static_cast<double>(gguf.file_bytes - gguf.data_offset));
  model.active_parameters = model.parameters;
  if (model.experts > 0 && !expert_layers.empty()) {
    model.expert_layers = static_cast<int>(expert_layers.size());
    model.expert_parameters = expert_elements / model.experts / model.expert_layers;
    model.active_parameters -=
        model.expert_parameters * model.expert_layers * (model.experts - model.experts_per_token);
  }
  const auto most =
      std::max_element(by_type.begin(), by_type.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  model.native_precision = precision_of(most->first);
  model.source = "the file";
  return model;
}

}  // namespace medley::data
