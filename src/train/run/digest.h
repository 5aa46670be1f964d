#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace tessera::train {

// XXH3, 128 bits, of all that is added: tells a damaged file, or another model,
// from the one that was; no defence against a forger.
class Digest {
 public:
  Digest();
  void add(std::string_view bytes);
  void add(std::uint64_t word);
  std::string text() const; // 32 hexadecimal digits

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

// Of the bytes of a file. InputError where it cannot be read.
std::string digest_of(const std::filesystem::path& file);

} // namespace tessera::train
