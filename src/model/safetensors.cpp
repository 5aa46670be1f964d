#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <fstream>
#include <optional>
#include <vector>

#include "model/file.h"
#include "model/json.h"
#include "tessera/error.h"

namespace tessera {

namespace {

constexpr auto op = "safetensors";

static_assert(
    std::endian::native == std::endian::little,
    "safetensors are little-endian");

// The limit of the reference implementation, and of MLX's.
constexpr std::uint64_t max_header = 100'000'000;

// Names stand in messages.
constexpr std::size_t max_name = 512;

struct DtypeName {
  std::string_view name;
  mx::Dtype dtype;
};

const std::array dtypes = {
    DtypeName{"F32", mx::float32},
    DtypeName{"F16", mx::float16},
    DtypeName{"BF16", mx::bfloat16},
};

const DtypeName* find_dtype(std::string_view name) {
  const auto row = std::ranges::find(dtypes, name, &DtypeName::name);
  return row == dtypes.end() ? nullptr : &*row;
}

std::optional<std::uint64_t> unsigned_of(const nlohmann::json& value) {
  if (!value.is_number_unsigned()) {
    return std::nullopt;
  }
  return value.get<std::uint64_t>();
}

// Bytes of a tensor; none where a dimension or the whole is out of range.
std::optional<std::uint64_t> byte_count(
    const nlohmann::json& shape, std::size_t item_size, std::uint64_t limit) {
  std::uint64_t bytes = item_size;
  for (const auto& item : shape) {
    const auto n = unsigned_of(item);
    if (!n || *n > INT32_MAX || (*n > 0 && bytes > limit / *n)) {
      return std::nullopt;
    }
    bytes *= *n;
  }
  return bytes;
}

// One tensor of a header.
class TensorParser {
 public:
  TensorParser(
      const std::string& name,
      const nlohmann::json& value,
      std::string_view source)
      : name_(name), value_(value), source_(source) {}

  TensorInfo parse(std::uint64_t data_size) const {
    expect(
        value_.is_object() && value_.size() == 3 && value_.contains("dtype") &&
            value_.contains("shape") && value_.contains("data_offsets"),
        "dtype, shape and data_offsets");
    TensorInfo info;
    const auto bytes = parse_shape(data_size, info);
    const auto& offsets = value_["data_offsets"];
    expect(
        offsets.is_array() && offsets.size() == 2 && unsigned_of(offsets[0]) &&
            unsigned_of(offsets[1]),
        "two data_offsets");
    info.begin = *unsigned_of(offsets[0]);
    info.end = *unsigned_of(offsets[1]);
    expect(
        info.begin <= info.end && info.end <= data_size,
        "data_offsets within the file (is it truncated?)");
    expect(
        info.end - info.begin == bytes, "as many bytes as its shape asks for");
    return info;
  }

 private:
  // Bytes of the tensor by its dtype and shape.
  std::uint64_t parse_shape(std::uint64_t data_size, TensorInfo& info) const {
    const auto& shape = value_["shape"];
    const auto* dtype = value_["dtype"].is_string()
        ? find_dtype(value_["dtype"].get_ref<const std::string&>())
        : nullptr;
    expect(dtype != nullptr, "dtype F32, F16 or BF16");
    expect(shape.is_array(), "an array as shape");
    const auto bytes = byte_count(shape, dtype->dtype.size(), data_size);
    expect(bytes.has_value(), "a shape that fits the file");
    info.dtype = dtype->name;
    for (const auto& item : shape) {
      info.shape.push_back(item.get<std::int32_t>());
    }
    return *bytes;
  }

  void expect(bool holds, std::string_view what) const {
    if (!holds) {
      const auto got =
          value_.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
      reject(
          op,
          "expected {} of tensor {} in {}; got {}",
          what,
          name_,
          source_,
          got.size() > 120 ? got.substr(0, 120) + "..." : got);
    }
  }

  const std::string& name_;
  const nlohmann::json& value_;
  std::string_view source_;
};

// MLX writes null where it was given none: so do mlx-lm's adapters.
void check_metadata(const nlohmann::json& metadata, std::string_view source) {
  const bool strings = metadata.is_object() &&
      std::ranges::all_of(metadata,
                          [](const auto& v) { return v.is_string(); });
  if (!strings && !metadata.is_null()) {
    reject(op, "expected strings in __metadata__ of {}", source);
  }
}

// The tensors lie one behind the other and fill the data.
void check_coverage(
    const TensorInfos& infos,
    std::uint64_t data_size,
    std::string_view source) {
  std::vector<const TensorInfos::value_type*> order;
  for (const auto& entry : infos) {
    order.push_back(&entry);
  }
  std::ranges::sort(order, {}, [](const auto* entry) {
    return std::pair(entry->second.begin, entry->second.end);
  });
  std::uint64_t at = 0;
  for (const auto* entry : order) {
    if (entry->second.begin != at) {
      reject(
          op,
          "expected tensor {} at byte {} of the data of {}; got {}",
          entry->first,
          at,
          source,
          entry->second.begin);
    }
    at = entry->second.end;
  }
  if (at != data_size) {
    reject(
        op,
        "expected {} bytes of tensors in {}; got {}",
        data_size,
        source,
        at);
  }
}

} // namespace

TensorInfos parse_safetensors_header(
    std::string_view head, std::uint64_t file_size, std::string_view source) {
  std::uint64_t length = 0;
  if (head.size() < sizeof length) {
    reject(op, "expected a header in {}; got {} bytes", source, file_size);
  }
  std::copy_n(head.data(), sizeof length, reinterpret_cast<char*>(&length));
  if (length > max_header || length > file_size - sizeof length) {
    reject(
        op,
        "expected a header within the {} bytes of {}; got a length of {} "
        "(truncated, or not safetensors)",
        file_size,
        source,
        length);
  }
  const auto json =
      parse_object(head.substr(sizeof length, length), source, op);
  const std::uint64_t data_size = file_size - sizeof length - length;
  TensorInfos infos;
  for (const auto& [name, value] : json.items()) {
    if (name.size() > max_name ||
        std::ranges::any_of(name, [](unsigned char c) { return c < ' '; })) {
      reject(
          op,
          "expected names of at most {} bytes, without control characters, in "
          "{}",
          max_name,
          source);
    } else if (name == "__metadata__") {
      check_metadata(value, source);
    } else {
      infos.emplace(name, TensorParser(name, value, source).parse(data_size));
    }
  }
  check_coverage(infos, data_size, source);
  return infos;
}

TensorInfos read_safetensors_header(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    reject(op, "expected a file {}; got none", file.string());
  }
  const auto file_size = std::filesystem::file_size(file);
  std::ifstream stream(file, std::ios::binary);
  std::uint64_t length = 0;
  stream.read(reinterpret_cast<char*>(&length), sizeof length);
  const auto head_size =
      sizeof length + std::size_t(std::min({length, max_header, file_size}));
  std::string head(
      std::size_t(std::min<std::uint64_t>(head_size, file_size)), 0);
  stream.clear();
  stream.seekg(0);
  stream.read(head.data(), std::streamsize(head.size()));
  if (!stream) {
    reject(op, "expected a readable file; got {}", file.string());
  }
  return parse_safetensors_header(head, file_size, file.string());
}

namespace {

// Files are read by the CPU whatever the default device is.
mx::SafetensorsLoad load(const std::filesystem::path& file) {
  const auto infos = read_safetensors_header(file);
  return mx::load_safetensors(file.string(), mx::Device(mx::Device::cpu));
}

} // namespace

std::map<std::string, mx::array> read_safetensors(
    const std::filesystem::path& file) {
  const auto loaded = load(file).first;
  return {loaded.begin(), loaded.end()};
}

std::map<std::string, std::string> read_safetensors_metadata(
    const std::filesystem::path& file) {
  const auto metadata = load(file).second;
  return {metadata.begin(), metadata.end()};
}

namespace {

std::string header_of(
    const std::map<std::string, mx::array>& arrays,
    const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const auto& [name, array] : arrays) {
    const auto row =
        std::ranges::find(dtypes, array.dtype(), &DtypeName::dtype);
    if (row == dtypes.end()) {
      fail(op, "expected a floating dtype of {}", name);
    }
    header[name] = {
        {"dtype", row->name},
        {"shape", std::vector<int>(array.shape().begin(), array.shape().end())},
        {"data_offsets", {at, at + array.nbytes()}}};
    at += array.nbytes();
  }
  auto text = header.dump();
  // So that every tensor of 4-byte items behind it is aligned: readers that map
  // the file look at the items in place.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

} // namespace

void write_safetensors(
    const std::filesystem::path& file,
    const std::map<std::string, mx::array>& arrays,
    const std::map<std::string, std::string>& metadata) {
  write_file(file, [&](std::ostream& stream) {
    const auto header = header_of(arrays, metadata);
    const std::uint64_t length = header.size();
    stream.write(reinterpret_cast<const char*>(&length), sizeof length);
    stream << header;
    for (const auto& [name, array] : arrays) {
      auto row_major = mx::contiguous(array);
      row_major.eval();
      stream.write(row_major.data<char>(), std::streamsize(row_major.nbytes()));
    }
  });
}

} // namespace tessera
