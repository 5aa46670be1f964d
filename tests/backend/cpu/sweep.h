#pragma once

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <random>
#include <string>

#include "backend/cpu/harness.h"

// The space of cases, and the check of one against the reference.
namespace tessera::test {

constexpr std::array lengths = {1, 3, 7, 8, 9, 31, 33, 63, 65, 127, 129, 1000};
constexpr std::array head_dims = {
    1, 8, 40, 64, 72, 80, 96, 112, 128, 160, 192, 256, 512};
constexpr std::array groups = {1, 4, 7};
constexpr std::array dtypes = {Dtype::float32, Dtype::float16, Dtype::bfloat16};
constexpr std::array layouts = {
    Layout::contiguous,
    Layout::heads_inside,
    Layout::padded,
    Layout::transposed};
// |S| up to about 4, 100 and 1e4.
constexpr std::array amplitudes = {1.0, 30.0, 2500.0};

using Generator = std::mt19937;

template <class List>
auto pick(const List& list, Generator& g) {
  return list[g() % list.size()];
}

inline bool chance(double probability, Generator& g) {
  return std::uniform_real_distribution<double>()(g) < probability;
}

inline int between(int lo, int hi, Generator& g) { // lo <= x <= hi
  return std::uniform_int_distribution<int>(lo, hi)(g);
}

inline Extra random_extra(Generator& g) {
  Extra extra;
  for (bool& single : extra.single) {
    single = chance(0.3, g);
  }
  extra.layout = pick(layouts, g);
  extra.dtype = pick(dtypes, g);
  return extra;
}

// Of an array whose last axes are its own.
inline Extra random_extra(std::size_t broadcast_axes, Generator& g) {
  Extra extra = random_extra(g);
  for (std::size_t axis = broadcast_axes; axis < extra.single.size(); ++axis) {
    extra.single[axis] = false;
  }
  extra.layout = Layout::contiguous;
  return extra;
}

// A feature of the semantics: whether a problem has it, and how a case gets it,
// its numbers drawn.
struct FeatureRow {
  const char* name;
  bool (*has)(const Problem&);
  void (*add)(Case&, Generator&);
};

constexpr std::array feature_rows = {
    FeatureRow{
        "causal",
        [](const Problem& p) { return p.causal; },
        [](Case& c, Generator&) {
          c.problem.causal = true;
        }},
    FeatureRow{
        "window",
        [](const Problem& p) {
          return p.left != unbounded || p.right != unbounded;
        },
        [](Case& c, Generator& g) {
          constexpr std::array sides = {0, 1, 5, 40, 300, unbounded - 1};
          const int which = between(0, 2, g);
          c.problem.left = which == 0 ? unbounded : pick(sides, g);
          c.problem.right = which == 1 ? unbounded : pick(sides, g);
        }},
    FeatureRow{
        "prefix",
        [](const Problem& p) { return p.features.prefix; },
        [](Case& c, Generator&) {
          c.problem.causal = c.problem.features.prefix = true;
        }},
    FeatureRow{
        "chunk",
        [](const Problem& p) { return p.chunk > 0; },
        [](Case& c, Generator& g) {
          constexpr std::array sizes = {1, 3, 16, 50, 200};
          c.problem.causal = true;
          c.problem.chunk = pick(sizes, g);
        }},
    FeatureRow{
        "segments",
        [](const Problem& p) { return p.features.segments; },
        [](Case& c, Generator& g) {
          constexpr std::array kinds = {
              Documents::packed, Documents::separate, Documents::unsorted};
          c.problem.features.segments = true;
          c.documents = pick(kinds, g);
        }},
    FeatureRow{
        "mask",
        [](const Problem& p) { return p.features.mask; },
        [](Case& c, Generator& g) {
          c.problem.features.mask = true;
          c.mask = random_extra(g);
        }},
    FeatureRow{
        "blocks",
        [](const Problem& p) { return p.block_rows > 0; },
        [](Case& c, Generator& g) {
          constexpr std::array sides = {1, 3, 7, 16, 33, 64, 100, 129};
          c.problem.block_rows = pick(sides, g);
          c.problem.block_columns = pick(sides, g);
          c.blocks = random_extra(2, g);
        }},
    FeatureRow{
        "bias",
        [](const Problem& p) { return p.features.bias; },
        [](Case& c, Generator& g) {
          c.problem.features.bias = true;
          c.bias = random_extra(g);
          c.hidden = chance(0.4, g) ? 0.3 : 0;
        }},
    FeatureRow{
        "alibi",
        [](const Problem& p) { return p.features.alibi; },
        [](Case& c, Generator& g) {
          c.problem.features.alibi = true;
          c.slopes = random_extra(1, g);
        }},
    FeatureRow{
        "softcap",
        [](const Problem& p) { return p.features.softcap; },
        [](Case& c, Generator& g) {
          constexpr std::array caps = {0.5, 5.0, 50.0};
          c.problem.features.softcap = true;
          c.softcap = pick(caps, g);
        }},
    FeatureRow{
        "sinks",
        [](const Problem& p) { return p.features.sinks; },
        [](Case& c, Generator& g) {
          c.problem.features.sinks = true;
          c.sinks = random_extra(0, g);
        }},
    FeatureRow{
        "dropout",
        [](const Problem& p) { return p.features.dropout; },
        [](Case& c, Generator& g) {
          constexpr std::array probabilities = {0.1, 0.5, 0.9};
          c.problem.features.dropout = true;
          c.dropout = pick(probabilities, g);
        }},
};

// From none of the features to most of them.
inline void add_random_features(Case& c, Generator& g) {
  constexpr std::array shares = {0.0, 0.15, 0.3, 0.6};
  const double share = pick(shares, g);
  for (const auto& row : feature_rows) {
    if (chance(share, g)) {
      row.add(c, g);
    }
  }
}

// A case by hand.
inline Case make_case(
    int Nq, int Nk, int D, bool causal, int Hq = 2, int Hkv = 1) {
  Case c;
  c.problem.B = 2;
  c.problem.Hq = Hq;
  c.problem.Hkv = Hkv;
  c.problem.Nq = Nq;
  c.problem.Nk = Nk;
  c.problem.D = c.problem.Dv = D;
  c.problem.causal = causal;
  return c;
}

// Of the sizes that have found errors.
inline Case random_case(unsigned seed) {
  Generator g(seed);
  Case c;
  c.seed = seed;
  c.problem.dtype = pick(dtypes, g);
  c.problem.B = between(1, 2, g);
  c.problem.Hkv = between(1, 2, g);
  c.problem.Hq = c.problem.Hkv * pick(groups, g);
  c.problem.Nq = pick(lengths, g);
  c.problem.Nk = chance(0.5, g) ? c.problem.Nq : pick(lengths, g);
  c.problem.D = pick(head_dims, g);
  c.problem.Dv = chance(0.5, g) ? c.problem.D : pick(head_dims, g);
  c.layout = pick(layouts, g);
  c.amplitude = pick(amplitudes, g);
  add_random_features(c, g);
  return c;
}

// Lengths well beyond a block of 48 either way, so that blocks are skipped, and
// some need a mask and some need none.
inline Case long_case(unsigned seed) {
  Generator g(seed);
  Case c = random_case(seed);
  c.problem.B = 1;
  c.problem.Hkv = 1;
  c.problem.Hq = between(1, 2, g);
  c.problem.Nq = between(150, 420, g);
  c.problem.Nk = chance(0.4, g) ? c.problem.Nq : between(150, 420, g);
  c.problem.D = between(1, 24, g);
  c.problem.Dv = between(1, 24, g);
  return c;
}

// Any number at all, where the other cases have those that an implementation
// may take for special.
inline Case fuzz_case(unsigned seed) {
  Generator g(seed);
  Case c = random_case(seed);
  const int longest = chance(0.1, g) ? 300 : 60;
  c.problem.B = between(1, 3, g);
  c.problem.Hkv = between(1, 3, g);
  c.problem.Hq = c.problem.Hkv * between(1, 4, g);
  c.problem.Nq = between(0, longest, g);
  c.problem.Nk = between(0, longest, g);
  c.problem.D = between(1, 140, g);
  c.problem.Dv = between(1, 140, g);
  c.scale = chance(0.2, g) ? -0.3 : 0;
  return c;
}

inline Case without_features(Case c) {
  const Problem& p = c.problem;
  Problem bare;
  bare.dtype = p.dtype;
  bare.B = p.B;
  bare.Hq = p.Hq;
  bare.Hkv = p.Hkv;
  bare.Nq = p.Nq;
  bare.Nk = p.Nk;
  bare.D = p.D;
  bare.Dv = p.Dv;
  c.problem = bare;
  return c;
}

inline bool needs_causal(const Problem& p) {
  return p.features.prefix || p.chunk > 0;
}

// Multiply-adds of the forward pass; what else a score takes in the reference
// is as much as some features.
inline double cost(const Problem& p) {
  constexpr double features_a_score = 50;
  return 1.0 * p.B * p.Hq * p.Nq * p.Nk * (p.D + p.Dv + features_a_score);
}

inline std::string describe(const Extra& extra) {
  return fmt::format(
      "(single {:d}, layout {}, dtype {})",
      fmt::join(extra.single, ""),
      static_cast<int>(extra.layout),
      static_cast<int>(extra.dtype));
}

inline std::string describe_features(const Case& c) {
  const auto side = [](int keys) {
    return keys == unbounded ? std::string("-") : std::to_string(keys);
  };
  const Problem& p = c.problem;
  const Features& has = p.features;
  std::string text = p.causal ? " causal" : "";
  const auto say = [&](bool on, const std::string& what) {
    text += on ? " " + what : "";
  };
  say(p.left != unbounded || p.right != unbounded,
      "window " + side(p.left) + ":" + side(p.right));
  say(has.prefix, "prefix");
  say(p.chunk > 0, fmt::format("chunk {}", p.chunk));
  say(has.segments, fmt::format("segments {}", static_cast<int>(c.documents)));
  say(has.mask, "mask " + describe(c.mask));
  say(p.block_rows > 0,
      fmt::format("blocks {}x{} ", p.block_rows, p.block_columns) +
          describe(c.blocks));
  say(has.bias, fmt::format("bias {} hidden {}", describe(c.bias), c.hidden));
  say(has.alibi, "alibi " + describe(c.slopes));
  say(has.softcap, fmt::format("softcap {}", c.softcap));
  say(has.sinks, "sinks " + describe(c.sinks));
  say(has.dropout, fmt::format("dropout {}", c.dropout));
  return text;
}

// How a case is computed.
struct Run {
  Isa isa = Isa::portable;
  int block_size = 0;
  int threads = 1;
};

inline std::string describe(const Case& c, const Run& run) {
  const auto& p = c.problem;
  return fmt::format(
      "seed {}: {} block {} threads {} dtype {} B {} H {}:{} N {}:{} D {}:{} "
      "scale {} amplitude {} layout {}{}",
      c.seed,
      name(run.isa),
      run.block_size,
      run.threads,
      static_cast<int>(p.dtype),
      p.B,
      p.Hq,
      p.Hkv,
      p.Nq,
      p.Nk,
      p.D,
      p.Dv,
      c.scalars().scale,
      c.amplitude,
      static_cast<int>(c.layout),
      describe_features(c));
}

inline bool same_bits(const Outputs& a, const Outputs& b) {
  const auto bits = [](double x) {
    return std::bit_cast<std::uint64_t>(x);
  };
  return std::ranges::all_of(results, [&](const Result& result) {
    return std::ranges::equal(
        a.*result.values, b.*result.values, {}, bits, bits);
  });
}

// Forward and backward against the reference, on every instruction set.
inline void check(
    const Case& c, const Inputs& inputs, int block_size = 0, int threads = 1) {
  const auto expected = expect(c.problem, c.scalars(), inputs);
  for (const Isa isa : isas()) {
    SCOPED_TRACE(describe(c, {isa, block_size, threads}));
    Computation computation(c, inputs, device_with(isa, threads), block_size);
    EXPECT_EQ(difference(expected, computation.run()), "");
    EXPECT_TRUE(computation.gaps_are_untouched());
  }
}

inline void check(const Case& c, int block_size = 0, int threads = 1) {
  check(c, random_inputs(c), block_size, threads);
}

// Problems of each test run; the nightly's come after them.
constexpr unsigned fuzz_count = 150;

inline void fuzz(unsigned seed) {
  constexpr std::array blocks = {0, 0, 48, 96};
  constexpr std::array threads = {1, 2, 3, 5};
  Generator g(seed);
  const int block_size = pick(blocks, g);
  check(fuzz_case(seed), block_size, pick(threads, g));
}

} // namespace tessera::test
