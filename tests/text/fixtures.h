#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/tokenizer.h"
#include "text/json.h"

namespace tessera::tests {

// What tests/text/make_fixtures.py wrote.
inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(TESSERA_FIXTURES) / name;
}

// Reads the little-endian integers and texts of a fixture in turn.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& file)
      : data_(text::read_file("fixture", file)) {}

  bool at_end() const {
    return at_ == data_.size();
  }

  std::uint32_t number() {
    std::uint32_t value = 0;
    std::memcpy(&value, data_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  TokenIds ids() {
    TokenIds out(number());
    for (auto& id : out) {
      id = static_cast<std::int32_t>(number());
    }
    return out;
  }

  std::string text() {
    auto size = number();
    auto out = data_.substr(at_, size);
    at_ += size;
    return out;
  }

 private:
  std::string data_;
  std::size_t at_ = 0;
};

inline std::vector<std::string> corpus() {
  Reader reader(fixture("corpus.bin"));
  std::vector<std::string> documents;
  while (!reader.at_end()) {
    documents.push_back(reader.text());
  }
  return documents;
}

} // namespace tessera::tests
