#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "api/arrays.h"
#include "philox.h"

// Attention with every feature, composed of plain MLX operations that hold all
// scores, for the tests of the API: mx::vjp goes through it. In float64 it is
// exact for our purpose; in float32 with each matrix rounded to the inputs'
// dtype it is the plain formula, whose error the tolerance is made of, as in
// tolerance.h.
namespace tessera::test {

// [B, Hq, Nq, Nk]: 1 / (1 - p) where dropout keeps, else 0.
inline mx::array dropout_factors(
    const Problem& p, float probability, mx::array seed) {
  seed = mx::astype(seed, mx::uint64);
  const auto word = seed.item<std::uint64_t>();
  const double P = static_cast<double>(probability);
  const auto least = static_cast<std::uint32_t>(std::floor(P * 0x1p32));
  std::vector<float> factors;
  for (int head = 0; head < p.B * p.Hq; ++head) {
    for (int i = 0; i < p.Nq; ++i) {
      for (int j = 0; j < p.Nk; ++j) {
        const auto words = philox(
            {static_cast<std::uint32_t>(j / 4),
             static_cast<std::uint32_t>(i),
             static_cast<std::uint32_t>(head),
             0},
            {static_cast<std::uint32_t>(word),
             static_cast<std::uint32_t>(word >> 32)});
        const bool keep = words[static_cast<std::size_t>(j % 4)] >= least;
        factors.push_back(keep ? static_cast<float>(1 / (1 - P)) : 0.0f);
      }
    }
  }
  return mx::array(factors.data(), {p.B, p.Hq, p.Nq, p.Nk});
}

// i' [Nq, 1] and j [1, Nk].
inline mx::array query_positions(const Problem& p) {
  return mx::expand_dims(mx::arange(p.Nk - p.Nq, p.Nk, mx::int32), 1);
}
inline mx::array key_positions(const Problem& p) {
  return mx::expand_dims(mx::arange(0, p.Nk, mx::int32), 0);
}

// Who sees whom by position; boolean, broadcastable to [B, Hq, Nq, Nk].
inline mx::array plain_span(const Problem& p, const AttentionOptions& o) {
  const auto i = query_positions(p);
  const auto j = key_positions(p);
  auto keep = mx::full({1, 1, p.Nq, p.Nk}, true);
  const auto also = [&](const mx::array& condition) {
    keep = mx::logical_and(keep, condition);
  };
  if (o.causal && o.prefix) {
    const auto prefix = mx::reshape(*o.prefix, {-1, 1, 1, 1});
    also(mx::logical_or(mx::less_equal(j, i), mx::less(j, prefix)));
  } else if (o.causal) {
    also(mx::less_equal(j, i));
  }
  if (o.window && o.window->left) {
    also(mx::greater_equal(j, i - mx::array(*o.window->left)));
  }
  if (o.window && o.window->right) {
    also(mx::less_equal(j, i + mx::array(*o.window->right)));
  }
  if (o.chunk) {
    const auto of = [&](const mx::array& x) {
      const auto chunk = mx::array(static_cast<float>(*o.chunk));
      return mx::floor(mx::divide(mx::astype(x, mx::float32), chunk));
    };
    also(mx::equal(of(i), of(j)));
  }
  return keep;
}

// The same by the arrays too.
inline mx::array plain_keep(const Problem& p, const AttentionOptions& o) {
  auto keep = plain_span(p, o);
  if (o.segments) {
    const auto q = mx::expand_dims(o.segments->q, {1, 3});
    const auto k = mx::expand_dims(o.segments->k, {1, 2});
    keep = mx::logical_and(keep, mx::equal(q, k));
  }
  if (o.mask) {
    keep = mx::logical_and(keep, *o.mask);
  }
  if (o.blocks) {
    auto on = mx::repeat(o.blocks->list, o.blocks->rows, 2);
    on = mx::repeat(on, o.blocks->columns, 3);
    on = mx::take(on, mx::arange(0, p.Nq, mx::int32), 2);
    on = mx::take(on, mx::arange(0, p.Nk, mx::int32), 3);
    keep = mx::logical_and(keep, on);
  }
  return keep;
}

// What a call is differentiated by: Q, K, V and those of bias, alibi and sinks
// that are there.
inline std::vector<mx::array> differentiable(
    const Arrays& x, const AttentionOptions& o) {
  auto list = x.list();
  for (const auto* y : {&o.bias, &o.alibi, &o.sinks}) {
    if (*y) {
      list.push_back(**y);
    }
  }
  return list;
}

inline AttentionOptions with(
    AttentionOptions o, const std::vector<mx::array>& list) {
  std::size_t next = 3;
  for (auto* y : {&o.bias, &o.alibi, &o.sinks}) {
    if (*y) {
      *y = list[next++];
    }
  }
  return o;
}

// Where a matrix may be rounded.
using Round = std::function<mx::array(const mx::array&)>;

// Before softcap; K of a head is that of its group.
inline mx::array plain_products(
    const Problem& p, const mx::array& Q, const mx::array& K, float scale) {
  const auto keys = mx::repeat(K, p.group(), 1);
  return mx::matmul(Q, mx::swapaxes(keys, 2, 3)) * mx::array(scale, Q.dtype());
}

inline mx::array distances(const Problem& p) {
  return mx::abs(query_positions(p) - key_positions(p));
}

// [B or 1, Hq, 1, 1]
inline mx::array per_head(const mx::array& slopes) {
  return mx::expand_dims(
      slopes.ndim() == 1 ? mx::expand_dims(slopes, 0) : slopes, {2, 3});
}

inline float scale_of(const Problem& p, const AttentionOptions& o) {
  return o.scale.value_or(1 / std::sqrt(static_cast<float>(p.D)));
}

struct PlainOutput {
  mx::array O;
  mx::array L;
  mx::array P;       // [B, Hq, Nq, Nk], before dropout
  mx::array factors; // of dropout
};

inline mx::array plain_scores(
    const Problem& p,
    const std::vector<mx::array>& in,
    const AttentionOptions& o,
    const Round& round) {
  const auto dtype = in[0].dtype();
  auto S = round(plain_products(p, in[0], in[1], scale_of(p, o)));
  if (o.softcap) {
    const auto c = mx::array(*o.softcap, dtype);
    S = c * mx::tanh(S / c);
  }
  if (o.bias) {
    S = S + *o.bias;
  }
  if (o.alibi) {
    S = S - per_head(*o.alibi) * mx::astype(distances(p), dtype);
  }
  return S;
}

// All operands of one dtype, float32 or float64.
inline PlainOutput plain_attention(
    const Problem& p,
    const std::vector<mx::array>& in,
    const AttentionOptions& options,
    const Round& round) {
  const auto o = with(options, in);
  const auto dtype = in[0].dtype();
  const auto zero = mx::array(0.0f, dtype);
  const auto one = mx::array(1.0f, dtype);
  const auto nothing = mx::array(-INFINITY, dtype);
  const auto S = plain_scores(p, in, o, round);
  const auto keep = plain_keep(p, o);
  auto top = mx::max(mx::where(keep, S, nothing), 3, true);
  if (o.sinks) {
    top = mx::maximum(top, per_head(*o.sinks));
  }
  top = mx::stop_gradient(mx::where(mx::equal(top, nothing), zero, top));
  // Both branches of a gradient are computed: no infinity may enter exp.
  auto P = mx::where(keep, mx::exp(mx::where(keep, S, top) - top), zero);
  auto sum = mx::sum(P, 3, true);
  if (o.sinks) {
    sum = sum + mx::exp(per_head(*o.sinks) - top);
  }
  const auto empty = mx::equal(sum, zero);
  const auto divisor = mx::where(empty, one, sum);
  P = round(P / divisor);
  const auto L = mx::where(empty, nothing, mx::log(divisor) + top);
  const auto factors = o.dropout > 0
      ? mx::astype(dropout_factors(p, o.dropout, *o.seed), dtype)
      : one;
  const auto V = mx::repeat(in[2], p.group(), 1);
  return {mx::matmul(P * factors, V), mx::squeeze(L, 3), P, factors};
}

} // namespace tessera::test
