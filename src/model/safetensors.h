#pragma once

#include <mlx/mlx.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace tessera {

namespace mx = mlx::core;

// A tensor as a safetensors header describes it. The bytes are
// [begin, end) of the data, which starts behind the header.
struct TensorInfo {
  std::string dtype;
  mx::Shape shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  bool operator==(const TensorInfo&) const = default;
};

using TensorInfos = std::map<std::string, TensorInfo>;

// Reads and checks the header: its length, its JSON, each tensor's dtype (F32,
// F16 or BF16), shape and bytes, and that the tensors fill the file's data
// without hole or overlap. InputError that names file and tensor otherwise, so
// that what reads the data may trust it.
//
// Format: https://github.com/huggingface/safetensors#format
TensorInfos read_safetensors_header(const std::filesystem::path& file);

// The same of bytes in memory: `head` is how the file begins, at least its
// header, and `file_size` what it has in all.
TensorInfos parse_safetensors_header(
    std::string_view head, std::uint64_t file_size, std::string_view source);

// The tensors of a file, not evaluated yet.
std::map<std::string, mx::array> read_safetensors(
    const std::filesystem::path& file);

// What its writer said of a file: __metadata__.
std::map<std::string, std::string> read_safetensors_metadata(
    const std::filesystem::path& file);

// Writes float32, float16 or bfloat16 arrays in the order of their names, as
// write_file does. The same arrays give the same bytes.
void write_safetensors(
    const std::filesystem::path& file,
    const std::map<std::string, mx::array>& arrays,
    const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

} // namespace tessera
