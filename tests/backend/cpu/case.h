#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include "dtype.h"
#include "inputs.h"
#include "kernel/operand.h"

// A case: a problem, how its operands lie in memory, and where its data come
// from.
namespace tessera::test {

// How an operand lies in memory.
enum class Layout {
  contiguous,
  heads_inside, // [batch, length, heads, features], as a projection leaves it
  padded,       // each row followed by 3 elements that are not its own
  transposed,   // features outermost of a head: the last axis is not contiguous
};

// An array that a feature brings.
struct Extra {
  std::array<bool, 4> single{}; // axes of 1, which are broadcast
  Layout layout = Layout::contiguous;
  Dtype dtype = Dtype::float32;
};

// The ids of segments.
enum class Documents {
  packed,   // one sequence of documents; the queries are its last Nq
  separate, // sorted on both sides, of lengths of their own
  unsorted, // at random, the extreme numbers among them
};

struct Case {
  Problem problem;
  double scale = 0; // 0: 1 / sqrt(D)
  double softcap = 5;
  double dropout = 0.25;
  double amplitude = 1; // of Q
  Layout layout = Layout::contiguous;
  Extra bias, slopes, sinks, mask, blocks;
  Documents documents = Documents::packed;
  double hidden = 0; // share of the bias that is -inf, also of whole rows
  unsigned seed = 1;

  // As the kernels get them: floats.
  Scalars scalars() const {
    const double factor = scale != 0 ? scale : 1 / std::sqrt(problem.D);
    const auto single = [](double x) {
      return static_cast<double>(static_cast<float>(x));
    };
    return {single(factor), single(softcap), single(dropout)};
  }
};

// The shape of an operand before what is broadcast is.
inline Shape whole_shape(Operand operand, const Problem& p) {
  const auto blocks = [](int length, int side) {
    return side == 0 ? 0 : (length + side - 1) / side;
  };
  switch (operand) {
    case Operand::bias:
    case Operand::dbias:
    case Operand::mask:
      return {p.B, p.Hq, p.Nq, p.Nk};
    case Operand::slopes:
    case Operand::dslopes:
      return {p.B, p.Hq, 1, 1};
    case Operand::sinks:
    case Operand::dsinks:
      return {p.Hq, 1, 1, 1};
    case Operand::blocks:
      return {
          p.B, p.Hq, blocks(p.Nq, p.block_rows), blocks(p.Nk, p.block_columns)};
    case Operand::segments_q:
      return {p.B, p.Nq, 1, 1};
    case Operand::segments_k:
      return {p.B, p.Nk, 1, 1};
    case Operand::prefix:
      return {p.B, 1, 1, 1};
    case Operand::seed:
      return {2, 1, 1, 1};
    default:
      return shape(operand, p);
  }
}

inline Shape own_shape(Operand operand, const Problem& p, const Extra& extra) {
  Shape own = whole_shape(operand, p);
  for (std::size_t axis = 0; axis < own.size(); ++axis) {
    own[axis] = extra.single[axis] ? 1 : own[axis];
  }
  return own;
}

// Draws the data of a case. Q, K, V, dO and dL are the same whatever features
// the problem has.
class Draw {
 public:
  explicit Draw(const Case& c) : c_(c), p_(c.problem), generator_(c.seed) {}

  Inputs inputs() {
    Inputs in;
    in.Q = normal(whole_shape(Operand::Q, p_), p_.dtype, c_.amplitude);
    in.K = normal(whole_shape(Operand::K, p_), p_.dtype);
    in.V = normal(whole_shape(Operand::V, p_), p_.dtype);
    in.dO = normal(whole_shape(Operand::dO, p_), p_.dtype);
    in.dL = normal(whole_shape(Operand::dL, p_), Dtype::float32);
    added(in);
    switches(in);
    segments(in);
    if (p_.features.prefix) {
      in.prefix = whole_numbers(p_.B, 0, p_.Nk + 1);
    }
    in.seed = std::uint64_t{generator_()} << 32 | generator_();
    return in;
  }

 private:
  bool chance(double probability) {
    return std::uniform_real_distribution<double>()(generator_) < probability;
  }
  int whole_number(int lo, int hi) { // lo <= x <= hi
    return std::uniform_int_distribution<int>(lo, hi)(generator_);
  }
  Values whole_numbers(int count, int lo, int hi) {
    Values values(static_cast<std::size_t>(count));
    for (auto& x : values) {
      x = whole_number(lo, hi);
    }
    return values;
  }
  // Numbers that `dtype` has.
  Values normal(const Shape& shape, Dtype dtype, double amplitude = 1) {
    std::normal_distribution<double> distribution;
    Values values(elements(shape));
    for (auto& x : values) {
      x = rounded(distribution(generator_) * amplitude, dtype);
    }
    return values;
  }

  // Bias, slopes and sinks.
  void added(Inputs& in) {
    if (p_.features.bias) {
      in.bias_dtype = c_.bias.dtype;
      in.bias_shape = own_shape(Operand::bias, p_, c_.bias);
      in.bias = normal(in.bias_shape, c_.bias.dtype, 2);
      hide(in.bias, in.bias_shape, c_.hidden, -INFINITY);
    }
    if (p_.features.alibi) {
      in.slopes_dtype = c_.slopes.dtype;
      in.slopes_shape = own_shape(Operand::slopes, p_, c_.slopes);
      in.slopes = normal(in.slopes_shape, c_.slopes.dtype, 0.2);
    }
    if (p_.features.sinks) {
      in.sinks_dtype = c_.sinks.dtype;
      in.sinks = normal(whole_shape(Operand::sinks, p_), c_.sinks.dtype, 2);
    }
  }

  // Mask and block list. Any byte but 0 is on.
  void switches(Inputs& in) {
    if (p_.features.mask) {
      in.mask_shape = own_shape(Operand::mask, p_, c_.mask);
      in.mask =
          whole_numbers(static_cast<int>(elements(in.mask_shape)), 1, 255);
      hide(in.mask, in.mask_shape, 0.4, 0);
    }
    if (p_.block_rows > 0) {
      in.blocks_shape = own_shape(Operand::blocks, p_, c_.blocks);
      in.blocks =
          whole_numbers(static_cast<int>(elements(in.blocks_shape)), 1, 255);
      hide(in.blocks, in.blocks_shape, 0.4, 0);
    }
  }

  // Single elements, and a row in eight.
  void hide(Values& values, const Shape& shape, double share, double with) {
    const auto length = static_cast<std::size_t>(shape[3]);
    for (std::size_t e = 0; e < values.size(); e += length) {
      const bool row = share > 0 && chance(0.125);
      for (std::size_t k = 0; k < length; ++k) {
        if (row || chance(share)) {
          values[e + k] = with;
        }
      }
    }
  }

  void segments(Inputs& in) {
    if (!p_.features.segments) {
      return;
    }
    for (int b = 0; b < p_.B; ++b) {
      const int longer = std::max(p_.Nq, p_.Nk);
      Values q = c_.documents == Documents::unsorted ? ids(longer)
                                                     : sorted_ids(longer);
      Values k = c_.documents == Documents::packed ? q
          : c_.documents == Documents::separate    ? sorted_ids(longer)
                                                   : ids(longer);
      in.segments_q.insert(in.segments_q.end(), q.end() - p_.Nq, q.end());
      in.segments_k.insert(in.segments_k.end(), k.end() - p_.Nk, k.end());
    }
  }
  // Documents of up to a third of the whole, numbered from -1.
  Values sorted_ids(int length) {
    Values values;
    for (double id = -1; static_cast<int>(values.size()) < length; ++id) {
      const int document = whole_number(1, std::max(1, length / 3));
      values.insert(values.end(), static_cast<std::size_t>(document), id);
    }
    values.resize(static_cast<std::size_t>(length));
    return values;
  }
  // The largest two are one number in float32.
  Values ids(int length) {
    constexpr double some[] = {-0x1p31, -1, 0, 0x1p31 - 2, 0x1p31 - 1};
    Values values = whole_numbers(length, 0, 4);
    for (auto& x : values) {
      x = some[static_cast<std::size_t>(x)];
    }
    return values;
  }

  const Case& c_;
  const Problem& p_;
  std::mt19937 generator_;
};

inline Inputs random_inputs(const Case& c) {
  return Draw(c).inputs();
}

} // namespace tessera::test
