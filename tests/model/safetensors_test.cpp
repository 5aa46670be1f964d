#include "model/safetensors.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "model/expect.h"
#include "model/file.h"
#include "model/golden.h"
#include "model/scratch.h"

namespace tessera {
namespace {

std::string with_length(std::uint64_t length, const std::string& rest) {
  return std::string(reinterpret_cast<const char*>(&length), 8) + rest;
}

// A file: header, then `data` bytes.
std::string file_of(const std::string& header, std::size_t data) {
  return with_length(header.size(), header + std::string(data, '\1'));
}

TensorInfos parse(const std::string& bytes) {
  return parse_safetensors_header(bytes, bytes.size(), "x.safetensors");
}

std::string tensor(
    const std::string& dtype,
    const std::string& shape,
    const std::string& offsets) {
  return R"({"dtype":)" + dtype + R"(,"shape":)" + shape +
      R"(,"data_offsets":)" + offsets + "}";
}

TEST(Safetensors, ReadsAHeader) {
  const auto infos = parse(file_of(
      R"({"__metadata__":{"format":"pt"},"b":)" +
          tensor("\"F32\"", "[2,3]", "[0,24]") + R"(,"a":)" +
          tensor("\"BF16\"", "[]", "[24,26]") + "}",
      26));
  const TensorInfos want = {
      {"a", {"BF16", {}, 24, 26}}, {"b", {"F32", {2, 3}, 0, 24}}};
  EXPECT_EQ(infos, want);
}

struct BadHeader {
  std::string bytes;
  std::string part;
};

std::ostream& operator<<(std::ostream& stream, const BadHeader& bad) {
  return stream << bad.part;
}

class SafetensorsFault : public testing::TestWithParam<BadHeader> {};

TEST_P(SafetensorsFault, IsNamed) {
  const auto& [bytes, part] = GetParam();
  expect_rejected([&] { parse(bytes); }, part);
  expect_rejected([&] { parse(bytes); }, "x.safetensors");
}

BadHeader bad_tensor(
    const std::string& dtype,
    const std::string& shape,
    const std::string& offsets,
    const std::string& part) {
  return {file_of(R"({"w":)" + tensor(dtype, shape, offsets) + "}", 24), part};
}

INSTANTIATE_TEST_SUITE_P(
    File,
    SafetensorsFault,
    testing::Values(
        BadHeader{"", "got 0 bytes"},
        BadHeader{"1234567", "got 7 bytes"},
        BadHeader{with_length(100, "{}"), "length of 100"},
        BadHeader{with_length(UINT64_MAX, "{}"), "18446744073709551615"},
        BadHeader{with_length(UINT64_MAX - 7, "{}"), "truncated"},
        BadHeader{with_length(0, ""), "malformed"},
        BadHeader{file_of("{\"a\"", 0), ":1"},
        BadHeader{file_of("[]", 0), "array"},
        BadHeader{file_of("{}", 8), "expected 8 bytes"},
        BadHeader{file_of(R"({"__metadata__":{"a":1}})", 0), "__metadata__"},
        BadHeader{file_of(R"({"__metadata__":[]})", 0), "__metadata__"},
        BadHeader{file_of(R"({"w":[]})", 0), "tensor w"},
        BadHeader{file_of(R"({"w\nv":[]})", 0), "control characters"},
        BadHeader{file_of(R"({"w":{"dtype":"F32"}})", 0), "tensor w"}));

INSTANTIATE_TEST_SUITE_P(
    Tensor,
    SafetensorsFault,
    testing::Values(
        bad_tensor("\"F64\"", "[3]", "[0,24]", "\"F64\""),
        bad_tensor("\"I8\"", "[24]", "[0,24]", "\"I8\""),
        bad_tensor("5", "[6]", "[0,24]", "of tensor w"),
        bad_tensor("\"F32\"", "6", "[0,24]", "array as shape"),
        bad_tensor("\"F32\"", "[-6]", "[0,24]", "shape"),
        bad_tensor("\"F32\"", "[6.0]", "[0,24]", "shape"),
        bad_tensor("\"F32\"", "[4294967296,0]", "[0,0]", "shape"),
        bad_tensor("\"F32\"", "[65536,65536,65536,65536]", "[0,24]", "shape"),
        bad_tensor("\"F32\"", "[2147483647,2147483647,6]", "[0,24]", "shape"),
        bad_tensor("\"F32\"", "[5]", "[0,24]", "as many bytes"),
        bad_tensor("\"F16\"", "[6]", "[0,24]", "as many bytes"),
        bad_tensor("\"F32\"", "[6]", "[24,0]", "data_offsets"),
        bad_tensor("\"F32\"", "[6]", "[0]", "data_offsets"),
        bad_tensor("\"F32\"", "[6]", "[0,-24]", "data_offsets"),
        bad_tensor("\"F32\"", "[6]", "[8,32]", "data_offsets within"),
        bad_tensor(
            "\"F32\"",
            "[6]",
            "[18446744073709551592,18446744073709551615]",
            "data_offsets"),
        bad_tensor("\"F32\"", "[5]", "[4,24]", "at byte 0"),
        bad_tensor("\"F32\"", "[5]", "[0,20]", "expected 24 bytes")));

TEST(Safetensors, OverlapIsNamed) {
  const auto header = R"({"a":)" + tensor("\"F32\"", "[4]", "[0,16]") +
      R"(,"b":)" + tensor("\"F32\"", "[4]", "[8,24]") + "}";
  expect_rejected([&] { parse(file_of(header, 24)); }, "tensor b at byte 16");
}

// A real header with bytes changed, removed and put in: it is read or refused,
// and what is read lies within the file.
TEST(Safetensors, MutatedHeadersAreReadOrRefused) {
  const auto whole =
      read_file(golden_folder("llama3") / "model.safetensors", "test");
  std::uint64_t length = 0;
  std::copy_n(whole.data(), 8, reinterpret_cast<char*>(&length));
  const auto original = whole.substr(0, 8 + std::size_t(length));
  const std::string alphabet = "{}[]\",:0123456789-.eFB \n\\\xff";
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) {
    return std::size_t(random()) % n;
  };
  int refused = 0;
  for (int i = 0; i < 5000; ++i) {
    auto head = original;
    for (std::size_t change = 0; change <= below(3); ++change) {
      // Half of them in the length and the first tensors.
      const auto at = below(i % 2 == 0 ? head.size() : 300);
      const char byte = alphabet[below(alphabet.size())];
      switch (below(3)) {
        case 0:
          head[at] = byte;
          break;
        case 1:
          head.erase(at, 1 + below(4));
          break;
        default:
          head.insert(at, 1, byte);
      }
    }
    try {
      for (const auto& [name, info] :
           parse_safetensors_header(head, whole.size(), "mutated")) {
        ASSERT_LE(info.begin, info.end);
        ASSERT_LE(info.end, whole.size());
      }
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 4000);
}

TEST(Safetensors, WhatIsWrittenReadsTheSame) {
  const Scratch scratch;
  const auto x = mx::random::normal({3, 5});
  const std::map<std::string, mx::array> arrays = {
      {"transposed", mx::transpose(x)},
      {"half", mx::astype(x, mx::float16)},
      {"brain", mx::astype(x, mx::bfloat16)},
      {"scalar", mx::array(1.5f)}};
  const auto file = scratch.folder / "x.safetensors";
  write_safetensors(file, arrays);
  const auto read = read_safetensors(file);
  ASSERT_EQ(read.size(), arrays.size());
  for (const auto& [name, array] : arrays) {
    ASSERT_EQ(read.at(name).dtype(), array.dtype()) << name;
    ASSERT_EQ(read.at(name).shape(), array.shape()) << name;
    EXPECT_TRUE(mx::array_equal(read.at(name), array).item<bool>()) << name;
  }
  const auto bytes = read_file(file, "test");
  write_safetensors(file, arrays);
  EXPECT_EQ(read_file(file, "test"), bytes);
}

// As mlx-lm's trainer saves its adapters: with a __metadata__ of null.
TEST(Safetensors, WhatMlxSavesWithoutMetadataReads) {
  const Scratch scratch;
  const auto file = scratch.folder / "x.safetensors";
  mx::save_safetensors(file.string(), {{"a", mx::arange(3.0f)}});
  const auto read = read_safetensors(file);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_TRUE(mx::array_equal(read.at("a"), mx::arange(3.0f)).item<bool>());
  EXPECT_TRUE(read_safetensors_metadata(file).empty());
}

TEST(Safetensors, FolderThatIsNotThereIsNamed) {
  expect_rejected(
      [] { write_safetensors("/nowhere/x.safetensors", {}); }, "/nowhere");
  expect_rejected(
      [] { read_safetensors("/nowhere/x.safetensors"); }, "/nowhere");
}

} // namespace
} // namespace tessera
