#pragma once

#include <array>
#include <cstdint>

// Philox4x32-10 as Salmon et al. 2011 give it (section 3.3, constants of
// section 3.4): ten rounds of two 32 x 32 -> 64 bit products, the key raised by
// a Weyl sequence between them.
namespace tessera::test {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

inline PhiloxCounter philox_round(PhiloxCounter c, PhiloxKey k) {
  const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0];
  const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c[2];
  const auto high = [](std::uint64_t x) {
    return static_cast<std::uint32_t>(x >> 32);
  };
  const auto low = [](std::uint64_t x) {
    return static_cast<std::uint32_t>(x);
  };
  return {high(b) ^ c[1] ^ k[0], low(b), high(a) ^ c[3] ^ k[1], low(a)};
}

inline PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    counter = philox_round(counter, key);
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

} // namespace tessera::test
