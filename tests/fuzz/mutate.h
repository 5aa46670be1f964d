#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace tessera::fuzz {

// The draws of one case: the same seed gives the same file.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::size_t below(std::size_t bound) {
    return bound == 0 ? 0 : engine_() % bound;
  }
  bool one_in(std::size_t n) {
    return below(n) == 0;
  }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937_64 engine_;
};

// Flips bits, cuts, repeats, inserts: knows nothing of a format.
std::string mutate_bytes(std::string text, Random& random);

// Replaces, deletes, repeats and nests values of a document; what no document
// can hold (a key twice, a number beyond any type, brackets without end) is
// written into its text.
std::string mutate_json(const nlohmann::json& document, Random& random);

// A value that is seldom what a reader expects.
nlohmann::json odd_value(Random& random);

} // namespace tessera::fuzz
