#include "model/finite.h"

#include <cstdint>

#include "tessera/error.h"

namespace tessera {

namespace {

// NaN and infinity have every bit of the exponent set. On the bits, since MLX
// would hold a boolean for each element.
template <typename Bits>
bool is_finite(const mx::array& array, Bits exponent) {
  const Bits* const bits = array.data<Bits>();
  unsigned found = 0;
  for (std::size_t i = 0; i < array.size(); ++i) {
    found |= static_cast<unsigned>((bits[i] & exponent) == exponent);
  }
  return found == 0;
}

} // namespace

bool is_finite(const mx::array& array) {
  mx::array row_major = mx::contiguous(array);
  row_major.eval();
  if (array.dtype() == mx::float32) {
    return is_finite<std::uint32_t>(row_major, 0x7f800000u);
  }
  if (array.dtype() == mx::float16) {
    return is_finite<std::uint16_t>(row_major, 0x7c00u);
  }
  if (array.dtype() == mx::bfloat16) {
    return is_finite<std::uint16_t>(row_major, 0x7f80u);
  }
  fail("is_finite", "expected a floating dtype of 16 or 32 bits");
}

std::optional<std::string> first_not_finite(const Parameters& parameters) {
  for (const auto& [name, array] : parameters) {
    if (!is_finite(array)) {
      return name;
    }
  }
  return std::nullopt;
}

} // namespace tessera
