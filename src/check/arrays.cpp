#include "check/arrays.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "check/case.h"

namespace tessera::cases {

namespace {

// Each array its own key, so that one feature more changes no other's values.
class Source {
 public:
  explicit Source(bool random) : random_(random) {}

  mx::array normal(const mx::Shape& shape, mx::Dtype dtype) {
    return random_
        ? mx::astype(
              mx::random::normal(shape, mx::float32, mx::random::key(++seed_)),
              dtype)
        : mx::zeros(shape, dtype);
  }
  // One key in ten is masked: no block is free, few rows see nothing.
  mx::array mask(const mx::Shape& shape) {
    return random_ ? mx::random::bernoulli(
                         mx::array(0.9f), shape, mx::random::key(++seed_))
                   : mx::zeros(shape, mx::bool_);
  }

 private:
  bool random_;
  std::uint64_t seed_ = 0;
};

mx::array slopes(int heads) {
  std::vector<float> values;
  for (int h = 1; h <= heads; ++h) {
    values.push_back(
        std::exp2(-8.0f * static_cast<float>(h) / static_cast<float>(heads)));
  }
  return mx::array(values.data(), {heads});
}

mx::array segment_ids(const AttentionCase& c) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < c.segments.size(); ++i) {
    ids.insert(
        ids.end(),
        static_cast<std::size_t>(c.segments[i]),
        static_cast<std::int32_t>(i));
  }
  return mx::broadcast_to(
      mx::array(ids.data(), {1, static_cast<int>(ids.size())}),
      {c.B, static_cast<int>(ids.size())});
}

bool is_on(int row, int column) {
  return (row + 2 * column) % 3 != 1;
}

BlockList block_list(const AttentionCase& c) {
  const auto [M, N] = *c.blocks;
  const int rows = (c.Nq + M - 1) / M;
  const int columns = (c.Nk + N - 1) / N;
  std::vector<std::uint8_t> on;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      on.push_back(is_on(row, column));
    }
  }
  return {mx::array(on.begin(), {1, 1, rows, columns}, mx::bool_), M, N};
}

AttentionOptions options_of(const AttentionCase& c, Source& source) {
  AttentionOptions o;
  o.causal = c.causal;
  o.window = c.window;
  o.chunk = c.chunk;
  o.softcap = c.softcap;
  o.dropout = c.dropout;
  o.implementation = c.implementation;
  o.block_size = c.block_size;
  if (c.prefix) {
    o.prefix = mx::array(*c.prefix);
  }
  if (!c.segments.empty()) {
    const auto ids = segment_ids(c);
    o.segments = Segments{ids, ids};
  }
  if (!c.mask.empty()) {
    o.mask = source.mask(resolve(c.mask, c, "--mask"));
  }
  if (c.blocks) {
    o.blocks = block_list(c);
  }
  if (!c.bias.empty()) {
    o.bias = source.normal(resolve(c.bias, c, "--bias"), c.dtype);
  }
  if (c.alibi) {
    o.alibi = slopes(c.Hq);
  }
  if (c.sinks) {
    o.sinks = source.normal({c.Hq}, c.dtype);
  }
  if (c.dropout > 0) {
    o.seed = mx::array(7);
  }
  return o;
}

Arrays make(const AttentionCase& c, bool random, bool all_gradients) {
  check(c);
  Source source(random);
  auto Q = source.normal({c.B, c.Hq, c.Nq, c.D}, c.dtype);
  auto K = source.normal({c.B, c.Hkv, c.Nk, c.D}, c.dtype);
  auto V = source.normal({c.B, c.Hkv, c.Nk, c.Dv}, c.dtype);
  auto dO = source.normal({c.B, c.Hq, c.Nq, c.Dv}, c.dtype);
  return {c, Q, K, V, dO, options_of(c, source), all_gradients};
}

// The optional arrays of `options` that have a gradient, in a fixed order.
template <class Options, class Visit>
void each_learned(Options& options, Visit visit) {
  for (auto* learned : {&options.bias, &options.alibi, &options.sinks}) {
    if (*learned) {
      visit(**learned);
    }
  }
}

std::vector<mx::array> everything(const Arrays& arrays) {
  std::vector<mx::array> all = {arrays.Q, arrays.K, arrays.V, arrays.dO};
  const auto& o = arrays.options;
  each_learned(o, [&](const mx::array& x) { all.push_back(x); });
  for (const auto* x : {&o.prefix, &o.mask, &o.seed}) {
    if (*x) {
      all.push_back(**x);
    }
  }
  if (o.segments) {
    all.push_back(o.segments->q);
  }
  return all;
}

} // namespace

std::vector<mx::array> Arrays::differentiated() const {
  std::vector<mx::array> inputs = {Q, K, V};
  if (all_gradients) {
    each_learned(options, [&](const mx::array& x) { inputs.push_back(x); });
  }
  return inputs;
}

Arrays Arrays::with(const std::vector<mx::array>& values) const {
  Arrays changed = *this;
  changed.Q = values[0];
  changed.K = values[1];
  changed.V = values[2];
  if (all_gradients) {
    std::size_t next = 3;
    each_learned(changed.options, [&](mx::array& x) { x = values[next++]; });
  }
  return changed;
}

Arrays random_arrays(const AttentionCase& c, bool all_gradients) {
  auto arrays = make(c, true, all_gradients);
  mx::eval(everything(arrays));
  return arrays;
}

Arrays empty_arrays(const AttentionCase& c) {
  return make(c, false, false);
}

mx::array seen_by(const AttentionCase& c, const std::vector<int>& rows) {
  const auto columns = static_cast<std::size_t>(c.Nk);
  std::vector<std::uint8_t> values(rows.size() * columns, 0);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto span = seen(c, rows[r]);
    const auto begin =
        values.begin() + static_cast<std::ptrdiff_t>(r * columns);
    std::fill(begin + span.lo, begin + span.hi, std::uint8_t{1});
  }
  return mx::array(
      values.begin(), {static_cast<int>(rows.size()), c.Nk}, mx::bool_);
}

std::optional<mx::array> kept(const Arrays& arrays) {
  const auto& c = arrays.attention;
  const auto& mask = arrays.options.mask;
  if (!c.blocks) {
    return mask;
  }
  std::vector<std::uint8_t> on;
  for (int i = 0; i < c.Nq; ++i) {
    for (int j = 0; j < c.Nk; ++j) {
      on.push_back(is_on(i / c.blocks->rows, j / c.blocks->columns));
    }
  }
  const mx::array blocks(on.begin(), {c.Nq, c.Nk}, mx::bool_);
  return mask ? mx::logical_and(*mask, blocks, mx::Device::cpu) : blocks;
}

mx::array distances(const AttentionCase& c, const std::vector<int>& rows) {
  const auto i = mx::reshape(
      mx::array(rows.data(), {static_cast<int>(rows.size())}), {-1, 1});
  const auto gap =
      mx::subtract(mx::add(i, mx::array(c.Nk - c.Nq)), mx::arange(0, c.Nk));
  return mx::negative(mx::astype(mx::abs(gap), mx::float32));
}

std::vector<int> all_rows(const AttentionCase& c) {
  std::vector<int> rows(static_cast<std::size_t>(c.Nq));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

double seen_pairs(const Arrays& arrays) {
  const auto& c = arrays.attention;
  const double heads = static_cast<double>(c.B) * c.Hq;
  double pairs = 0;
  const auto both = kept(arrays);
  if (!both) {
    for (int row = 0; row < c.Nq; ++row) {
      pairs += seen(c, row).size();
    }
    return pairs * heads;
  }
  // In the masks' own shape but for the last two axes: heads that share a mask
  // are counted once.
  auto shape = both->shape();
  shape.insert(shape.begin(), 4 - shape.size(), 1);
  const double shared = heads / (static_cast<double>(shape[0]) * shape[1]);
  shape[2] = c.Nq;
  shape[3] = c.Nk;
  const auto pairs_seen =
      mx::logical_and(mx::broadcast_to(*both, shape), seen_by(c, all_rows(c)));
  // The whole may exceed an int32; a row does not.
  const auto rows = mx::sum(mx::astype(pairs_seen, mx::int32), -1);
  const auto counts = mx::contiguous(rows);
  mx::eval(counts);
  const auto* values = counts.data<std::int32_t>();
  pairs = std::accumulate(values, values + counts.size(), 0.0);
  return pairs * shared;
}

} // namespace tessera::cases
