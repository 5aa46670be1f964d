#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tessera/tokenizer.h"

namespace tessera::tests {

// A folder of its own for the running test, removed behind it.
class Folder {
 public:
  Folder() {
    auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) /
        (std::string("tessera_") + test->test_suite_name() + "_" +
         test->name());
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::filesystem::remove_all(path_);
  }

  std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }

  const std::filesystem::path& path() const {
    return path_;
  }

  std::filesystem::path write(
      const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

// A tokenizer of every kind of component, small enough to read. Its characters
// are a, b and the space; <s> goes in front.
inline std::string small_tokenizer() {
  return R"({
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id": 0, "content": "<s>", "single_word": false, "lstrip": false,
     "rstrip": false, "normalized": false, "special": true},
    {"id": 6, "content": "new", "single_word": true, "lstrip": true,
     "rstrip": true, "normalized": true, "special": false}],
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "NFC"}, {"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|[^\\s]+"},
     "behavior": "Isolated", "invert": false},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never",
     "split": false}]},
  "post_processor": {"type": "Sequence", "processors": [
    {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false},
    {"type": "TemplateProcessing",
     "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}],
     "pair": [],
     "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}]},
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {"type": "BPE", "dropout": null, "unk_token": "<s>",
    "continuing_subword_prefix": null, "end_of_word_suffix": "",
    "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
    "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3, "▁": 4, "▁ab": 5},
    "merges": ["a b", "▁ ab"]}
})";
}

} // namespace tessera::tests
