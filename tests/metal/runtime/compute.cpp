#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/machine.h"
#include "runtime/number.h"

// What a simdgroup computes together, once all of its threads have met.
namespace tessera::metal {
namespace {

// As shim/tessera/simd.h numbers them.
enum Shuffle { index, xor_lane, up, down, rotate_up, rotate_down };
enum Reduction {
  sum,
  product,
  minimum,
  maximum,
  bit_and,
  bit_or,
  bit_xor,
  inclusive_sum,
  exclusive_sum,
  inclusive_product,
  exclusive_product
};

struct Matrix {
  float values[8][8];
};

// The two elements of a lane; shim/tessera/matrix.h says which.
constexpr unsigned row_of(unsigned lane) {
  return (lane / 4 & 4) + lane / 2 % 4;
}
constexpr unsigned column_of(unsigned lane) {
  return (lane / 4 & 2) * 2 + lane % 2 * 2;
}

Matrix gather(const Thread* lanes, std::size_t which, Element type) {
  Matrix m;
  for (unsigned lane = 0; lane < simd_width; ++lane) {
    const void* data = lanes[lane].operation.data[which];
    float* out = &m.values[row_of(lane)][column_of(lane)];
    out[0] = load_number(data, 0, type);
    out[1] = load_number(data, 1, type);
  }
  return m;
}

void multiply(Thread* lanes) {
  const std::uint64_t types = lanes[0].operation.detail;
  const auto type = [&](unsigned i) {
    return static_cast<Element>(types >> (2 * i) & 3);
  };
  const Matrix a = gather(lanes, 1, type(1));
  const Matrix b = gather(lanes, 2, type(2));
  Matrix d = gather(lanes, 3, type(3));
  for (unsigned row = 0; row < 8; ++row)
    for (unsigned k = 0; k < 8; ++k)
      for (unsigned column = 0; column < 8; ++column)
        d.values[row][column] = std::fma(
            a.values[row][k], b.values[k][column], d.values[row][column]);
  for (unsigned lane = 0; lane < simd_width; ++lane) {
    void* data = lanes[lane].operation.data[0];
    const float* in = &d.values[row_of(lane)][column_of(lane)];
    store_number(data, 0, type(0), in[0]);
    store_number(data, 1, type(0), in[1]);
  }
}

// The lane that a lane reads; itself where Metal leaves it as it was.
unsigned source(
    unsigned lane, unsigned lanes, std::uint64_t kind, unsigned by) {
  switch (kind) {
    case index:
      return by;
    case xor_lane:
      return lane ^ by;
    case up:
      return lane >= by ? lane - by : lane;
    case down:
      return lane + by < lanes ? lane + by : lane;
    case rotate_up:
      return (lane + simd_width - by % simd_width) % simd_width;
    default:
      return (lane + by) % simd_width;
  }
}

template <typename T>
T combine(Reduction kind, T a, T b) {
  switch (kind) {
    case product:
    case inclusive_product:
    case exclusive_product:
      return a * b;
    case minimum:
      if constexpr (std::is_floating_point_v<T>)
        return std::fmin(a, b);
      else
        return std::min(a, b);
    case maximum:
      if constexpr (std::is_floating_point_v<T>)
        return std::fmax(a, b);
      else
        return std::max(a, b);
    case bit_and:
    case bit_or:
    case bit_xor:
      if constexpr (!std::is_floating_point_v<T>)
        return kind == bit_and ? (a & b) : kind == bit_or ? (a | b) : (a ^ b);
      [[fallthrough]];
    default:
      return a + b;
  }
}

template <typename T>
std::uint64_t bits_of(T value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <typename T>
T value_of(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// In the order of the lanes; every lane gets the whole, or a prefix of it.
template <typename T>
void reduce(Thread* lanes, unsigned count, Reduction kind) {
  T running = kind == exclusive_product ? T(1) : T(0);
  const bool exclusive = kind == exclusive_sum || kind == exclusive_product;
  for (unsigned lane = 0; lane < count; ++lane) {
    const T value = value_of<T>(lanes[lane].operation.argument);
    const T before = running;
    running = lane == 0 && !exclusive ? value : combine(kind, running, value);
    lanes[lane].operation.result = bits_of(exclusive ? before : running);
  }
  if (kind < inclusive_sum)
    for (unsigned lane = 0; lane < count; ++lane)
      lanes[lane].operation.result = bits_of(running);
}

void shuffle(Thread* lanes, unsigned count) {
  struct Value {
    std::byte bytes[32];
  };
  Value before[simd_width];
  const std::uint64_t detail = lanes[0].operation.detail;
  const std::size_t bytes = detail >> 8;
  for (unsigned lane = 0; lane < count; ++lane)
    std::memcpy(&before[lane], lanes[lane].operation.data[0], bytes);
  for (unsigned lane = 0; lane < count; ++lane) {
    const unsigned from = source(
        lane,
        count,
        detail & 255,
        static_cast<unsigned>(lanes[lane].operation.argument));
    std::memcpy(lanes[lane].operation.data[0], &before[from], bytes);
  }
}

void ballot(Thread* lanes, unsigned count) {
  std::uint64_t bits = 0;
  for (unsigned lane = 0; lane < count; ++lane)
    bits |= lanes[lane].operation.argument << lane;
  for (unsigned lane = 0; lane < count; ++lane)
    lanes[lane].operation.result = bits;
}

void reduce_any(Thread* lanes, unsigned count) {
  const std::uint64_t detail = lanes[0].operation.detail;
  const auto kind = static_cast<Reduction>(detail & 255);
  switch (detail >> 8) {
    case 0:
      return reduce<float>(lanes, count, kind);
    case 1:
      return reduce<std::int64_t>(lanes, count, kind);
    default:
      return reduce<std::uint64_t>(lanes, count, kind);
  }
}

} // namespace

void Machine::compute(Simdgroup& group) {
  Thread* lanes = &threads_[group.first];
  const Operation& operation = current_->operation;
  const bool matrix = operation.meeting == Meeting::matrix ||
      operation.meeting == Meeting::matrix_access;
  if (matrix && group.lanes != simd_width)
    fail("a simdgroup matrix needs 32 threads", operation.site);
  switch (operation.meeting) {
    case Meeting::matrix:
      ++counts.matrix_operations;
      return multiply(lanes);
    case Meeting::shuffle:
      ++counts.shuffles;
      if ((operation.detail & 255) == index)
        for (unsigned i = 0; i < group.lanes; ++i)
          if (lanes[i].operation.argument >= group.lanes)
            fail("simd_shuffle from a lane that there is not", operation.site);
      return shuffle(lanes, group.lanes);
    case Meeting::reduction:
      ++counts.reductions;
      return reduce_any(lanes, group.lanes);
    case Meeting::ballot:
      ++counts.reductions;
      return ballot(lanes, group.lanes);
    default:
      return;
  }
}

} // namespace tessera::metal
