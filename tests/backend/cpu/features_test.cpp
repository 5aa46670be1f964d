#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "backend/cpu/sweep.h"
#include "plan/rules.h"

// What holds beyond the values: rows without keys, bits, leaks, memory.
namespace tessera::test {
namespace {

// A case some of whose queries see no key, for one of the reasons.
struct Blind {
  const char* reason;
  Case c;
  std::function<void(Inputs&)> change = [](Inputs&) {
  };
};

// The elements (b, h, i, j) with i < rows of a whole array [2, 2, 40, Nk].
void set_first_rows(Values& values, int Nk, int rows, double x) {
  for (std::size_t e = 0; e < values.size(); ++e) {
    if (static_cast<int>(e) / Nk % 40 < rows) {
      values[e] = x;
    }
  }
}

std::vector<Blind> blind_cases() {
  const Case longer = make_case(40, 9, 8, false);
  const Case square = make_case(40, 40, 8, false);
  std::vector<Blind> all = {
      {"causal", longer},
      {"window", longer},
      {"chunk", longer},
      {"prefix",
       longer,
       [](Inputs& in) {
         in.prefix = {0, 4};
       }},
      {"segments",
       square,
       [](Inputs& in) {
         in.segments_q[5] = in.segments_q[44] = 1000;
       }},
      {"mask",
       square,
       [](Inputs& in) {
         set_first_rows(in.mask, 40, 3, 0);
       }},
      {"bias",
       square,
       [](Inputs& in) {
         set_first_rows(in.bias, 40, 3, -INFINITY);
       }},
      {"blocks",
       square,
       [](Inputs& in) {
         in.blocks.assign(in.blocks.size(), 1);
         in.blocks[0] = in.blocks[1] = in.blocks[2] = 0;
       }},
      {"every row", square, [](Inputs& in) {
         in.mask.assign(in.mask.size(), 0);
       }}};
  all[0].c.problem.causal = true;
  all[1].c.problem.left = 3;
  all[1].c.problem.right = 2;
  all[2].c.problem.causal = true;
  all[2].c.problem.chunk = 4;
  all[3].c.problem.causal = all[3].c.problem.features.prefix = true;
  all[4].c.problem.features.segments = true;
  all[5].c.problem.features.mask = true;
  all[6].c.problem.features.bias = true;
  all[7].c.problem.block_rows = 7;
  all[7].c.problem.block_columns = 15;
  all[8].c.problem.features.mask = true;
  return all;
}

// Masks that are finite numbers, over whole rows and over parts of rows.
TEST(Features, ScoresFarBelowAllCountAsMinusInfinity) {
  for (const double low : {-1e9, -1e30, -0x1.fffffep127}) {
    for (const int Nq : {40, 3}) { // the two loops of the forward pass
      for (const bool sinks : {false, true}) {
        Case c = make_case(Nq, 40, 8, false);
        c.problem.features.bias = true;
        c.problem.features.sinks = sinks;
        auto in = random_inputs(c);
        auto hidden = in;
        for (std::size_t e = 0; e < in.bias.size(); ++e) {
          const int row = static_cast<int>(e) / 40 % Nq;
          if (row < 2 || e % 3 == 0) {
            in.bias[e] = low;
            hidden.bias[e] = -INFINITY;
          }
        }
        const auto expected = expect(c.problem, c.scalars(), hidden);
        for (const Isa isa : isas()) {
          Computation computation(c, in, device_with(isa));
          EXPECT_EQ(difference(expected, computation.run()), "")
              << name(isa) << " " << low << " Nq " << Nq;
        }
      }
    }
  }
}

// Not even that of a query that sees no key.
TEST(Features, ACotangentOfNaNStaysInItsBatchEntry) {
  const Case c = make_case(40, 9, 8, true);
  auto in = random_inputs(c);
  for (const Isa isa : isas()) {
    Computation clean(c, in, device_with(isa));
    const auto expected = clean.run();
    auto broken = in;
    broken.dO[0] = NAN; // batch entry 0, head 0, query 0
    Computation computation(c, broken, device_with(isa));
    const auto got = computation.run();
    for (const auto values : {&Outputs::dQ, &Outputs::dK, &Outputs::dV}) {
      const auto& all = got.*values;
      const auto half = static_cast<std::ptrdiff_t>(all.size() / 2);
      EXPECT_TRUE(std::equal(
          all.begin() + half, all.end(), (expected.*values).begin() + half));
    }
  }
}

// Whether each row, [B, Hq, Nq], sees a key whose score is not -inf.
std::vector<bool> sighted(const Problem& p, const Inputs& in) {
  std::vector<bool> rows;
  for (int b = 0; b < p.B; ++b) {
    for (int h = 0; h < p.Hq; ++h) {
      for (int i = 0; i < p.Nq; ++i) {
        bool sees = false;
        for (int j = 0; j < p.Nk; ++j) {
          const bool hidden = p.features.bias &&
              in.bias[broadcast_index(in.bias_shape, {b, h, i, j})] ==
                  -INFINITY;
          sees = sees || (seen(p, in, b, h, i, j) && !hidden);
        }
        rows.push_back(sees);
      }
    }
  }
  return rows;
}

void expect_blind_rows_are_empty(
    const Case& c, const Inputs& in, const Outputs& got) {
  const auto sees = sighted(c.problem, in);
  const auto D = static_cast<std::size_t>(c.problem.D);
  int blind = 0;
  for (std::size_t row = 0; row < sees.size(); ++row) {
    if (sees[row]) {
      continue;
    }
    ++blind;
    for (std::size_t d = 0; d < D; ++d) {
      EXPECT_EQ(got.O[row * D + d], 0);
      EXPECT_EQ(got.dQ[row * D + d], 0);
    }
    if (!c.problem.features.sinks) {
      EXPECT_EQ(got.L[row], -INFINITY);
    }
  }
  EXPECT_GT(blind, 0);
}

TEST(Features, RowsThatSeeNoKey) {
  for (auto [reason, c, change] : blind_cases()) {
    for (const bool sinks : {false, true}) {
      for (const Dtype dtype : dtypes) {
        SCOPED_TRACE(reason);
        c.problem.features.sinks = sinks;
        c.problem.dtype = dtype;
        auto in = random_inputs(c);
        change(in);
        check(c, in);
        for (const Isa isa : isas()) {
          expect_blind_rows_are_empty(
              c, in, Computation(c, in, device_with(isa)).run());
        }
      }
    }
  }
}

// What comes back for an L of -inf goes nowhere, NaN least of all.
TEST(Features, NoCotangentOfRowsThatSeeNoKey) {
  for (auto [reason, c, change] : blind_cases()) {
    SCOPED_TRACE(reason);
    auto in = random_inputs(c);
    change(in);
    const auto sees = sighted(c.problem, in);
    for (std::size_t row = 0; row < sees.size(); ++row) {
      in.dL[row] = sees[row] ? in.dL[row] : NAN;
    }
    check(c, in);
  }
}

// A sink of -inf adds nothing, one of 1e4 takes all.
TEST(Features, SinksWithoutBound) {
  for (const double sink : {-double{INFINITY}, -1e4, 1e4}) {
    Case c = make_case(40, 30, 8, true); // the first rows see no key
    c.problem.features.sinks = true;
    auto in = random_inputs(c);
    in.sinks[0] = sink;
    check(c, in);
  }
}

TEST(Features, ALargeBiasTakesAll) {
  Case c = make_case(40, 60, 8, true);
  c.problem.features.bias = true;
  auto in = random_inputs(c);
  for (std::size_t e = 0; e < in.bias.size(); e += 7) {
    in.bias[e] = e % 2 == 0 ? 1e4 : -1e4;
  }
  check(c, in);
}

std::vector<Case> cases_of_threads() {
  std::vector<Case> cases;
  for (unsigned seed = 1; seed <= 6; ++seed) {
    const bool one_head = seed % 2 == 0;
    Case c = make_case(170, 155, 20, true, one_head ? 1 : 6, one_head ? 1 : 2);
    c.problem.B = 1;
    c.seed = seed;
    Generator g(seed);
    for (std::size_t row = 0; row < feature_rows.size(); ++row) {
      if (seed > 2 && row % 4 == seed % 4) {
        feature_rows[row].add(c, g);
      }
    }
    cases.push_back(c);
  }
  return cases;
}

TEST(Features, BitsDoNotDependOnThreadsOrTheRun) {
  for (const Isa isa : isas()) {
    for (const Dtype dtype : dtypes) {
      for (Case c : cases_of_threads()) {
        c.problem.dtype = dtype;
        SCOPED_TRACE(describe(c, {isa, 48}));
        const auto in = random_inputs(c);
        const auto one = Computation(c, in, device_with(isa, 1), 48).run();
        for (const int threads : {1, 2, 3, 8}) {
          const auto many =
              Computation(c, in, device_with(isa, threads), 48).run();
          EXPECT_TRUE(same_bits(many, one)) << threads;
        }
      }
    }
  }
}

// A gradient that is not wanted changes no bit of the others.
TEST(Features, AGradientAloneHasTheBitsOfAllTogether) {
  for (const Isa isa : isas()) {
    for (const Dtype dtype : dtypes) {
      Case c = make_case(110, 130, 20, true, 4, 2);
      c.problem.dtype = dtype;
      c.problem.features.bias = c.problem.features.alibi =
          c.problem.features.sinks = true;
      const auto in = random_inputs(c);
      const auto all = Computation(c, in, device_with(isa, 2), 48).run();
      for (const auto& [operand, values] : results) {
        const auto alone =
            Computation(c, in, device_with(isa, 2), 48).run({operand});
        EXPECT_EQ(alone.*values, all.*values) << name(operand);
        EXPECT_EQ(alone.O, all.O);
      }
    }
  }
}

// A NaN in key 300 of key head 1, batch entry 0. `row` and `key` say which
// queries and keys of that entry and head it may reach, for they share a tile
// with it or with a query that does; all others must be finite.
void expect_no_leak(
    const Case& c,
    Inputs in,
    const std::function<bool(int)>& row,
    const std::function<bool(int)>& key,
    int block = 48) {
  const Problem& p = c.problem;
  const int bad = p.Nk + 300; // of [B, Hkv, Nk]
  const auto expect_finite =
      [&](const Values& x, int heads, int length, const auto& reached) {
        const int features = p.D; // = Dv
        for (int e = 0; e < static_cast<int>(x.size()); ++e) {
          const int n = e / features % length;
          const int head = e / features / length % heads;
          const bool entry = e / features / length / heads == 0;
          if (!(entry && head / (heads / p.Hkv) == 1 && reached(n))) {
            ASSERT_TRUE(std::isfinite(x[static_cast<std::size_t>(e)]))
                << "head " << head << " row " << n;
          }
        }
      };
  for (const double poison : {double{NAN}, double{INFINITY}}) {
    in.K[static_cast<std::size_t>(bad * p.D)] = poison;
    in.V[static_cast<std::size_t>(bad * p.Dv) + 3] = poison;
    for (const Isa isa : isas()) {
      SCOPED_TRACE(describe(c, {isa, block}));
      const auto got = Computation(c, in, device_with(isa), block).run();
      expect_finite(got.O, p.Hq, p.Nq, row);
      expect_finite(got.dQ, p.Hq, p.Nq, row);
      expect_finite(got.dK, p.Hkv, p.Nk, key);
      expect_finite(got.dV, p.Hkv, p.Nk, key);
      // Query 300 of head 2 sees it.
      const int seeing = 2 * p.Nq + 300;
      EXPECT_FALSE(
          std::isfinite(got.O[static_cast<std::size_t>(seeing * p.Dv) + 3]));
    }
  }
}

Case leak_case(Dtype dtype) {
  Case c = make_case(576, 576, 8, false, 4, 2);
  c.problem.dtype = dtype;
  return c;
}

TEST(Features, NonFiniteKeysDoNotLeakAgainstCausality) {
  for (const Dtype dtype : dtypes) {
    Case c = leak_case(dtype);
    c.problem.causal = true;
    // Blocks of 48: the first query that shares a tile is 288.
    expect_no_leak(
        c,
        random_inputs(c),
        [](int row) { return row >= 288; },
        [](int) { return true; });
  }
}

// Of a matrix unit's 64 queries from 208 on and the keys from there: 72 keys
// are seen, 80 make whole tiles, and whole products would take 96.
TEST(Features, NonFiniteKeysDoNotLeakFromBehindATile) {
  for (const Dtype dtype : dtypes) {
    Case c = leak_case(dtype);
    c.problem.causal = true;
    c.problem.Nk += 8;
    expect_no_leak(
        c,
        random_inputs(c),
        [](int row) { return row >= 256; },
        [](int) { return true; },
        208);
  }
}

TEST(Features, NonFiniteKeysDoNotLeakOutOfAWindow) {
  for (const Dtype dtype : dtypes) {
    Case c = leak_case(dtype);
    c.problem.left = c.problem.right = 20;
    // A window and the sides of two tiles further, and so again.
    const int reach = 20 + 2 * 48;
    expect_no_leak(
        c,
        random_inputs(c),
        [=](int row) { return std::abs(row - 300) <= reach; },
        [=](int key) { return std::abs(key - 300) <= 2 * reach; });
  }
}

TEST(Features, NonFiniteKeysDoNotLeakOutOfADocument) {
  for (const Dtype dtype : dtypes) {
    Case c = leak_case(dtype);
    c.problem.features.segments = true;
    auto in = random_inputs(c);
    for (std::size_t e = 0; e < in.segments_q.size(); ++e) {
      in.segments_q[e] = in.segments_k[e] = static_cast<double>(e % 576 / 192);
    }
    const auto same_document = [](int n) {
      return n / 192 == 300 / 192;
    };
    expect_no_leak(c, in, same_document, same_document);
  }
}

// A chessboard of blocks of two tiles a side.
TEST(Features, NonFiniteKeysDoNotLeakOutOfABlock) {
  for (const Dtype dtype : dtypes) {
    Case c = leak_case(dtype);
    c.problem.block_rows = c.problem.block_columns = 96;
    c.blocks.single = {true, true, false, false};
    auto in = random_inputs(c);
    for (std::size_t e = 0; e < in.blocks.size(); ++e) {
      in.blocks[e] = (e / 6 + e % 6) % 2 == 0 ? 1 : 0;
    }
    const auto same_colour = [](int n) {
      return n / 96 % 2 == 300 / 96 % 2;
    };
    expect_no_leak(c, in, same_colour, same_colour);
  }
}

// Beyond the buffers of the threads: a float a row of scores in the gradients,
// and of 16-bit inputs a float32 accumulator [N, D] a head in flight.
TEST(Features, WorkspaceIsLinearInTheLengths) {
  for (const Pass pass : {Pass::forward, Pass::backward, Pass::dbias}) {
    for (const Dtype dtype : dtypes) {
      const int threads = 2;
      const int N = 32768;
      Case c = make_case(N, N, 128, true, 8, 2);
      c.problem.pass = pass;
      c.problem.dtype = dtype;
      c.problem.features.bias = true;
      const auto bytes = [&](int length) {
        cpu::Task task;
        task.problem = c.problem;
        task.problem.Nq = task.problem.Nk = length;
        task.plan = std::get<Plan>(
            make_plan(task.problem, device_with(isas().back(), threads)));
        task.plan.threads = threads;
        return cpu::workspace_bytes(task);
      };
      const auto growth = bytes(2 * N) - bytes(N);
      EXPECT_EQ(bytes(4 * N) - bytes(3 * N), growth);
      const std::size_t a_row = 2 * 8;                       // B * Hq
      const std::size_t a_row_of_halves = threads * 2 * 128; // D + Dv
      const std::size_t floats = pass == Pass::forward ? 0
          : dtype == Dtype::float32                    ? a_row
                                    : a_row + a_row_of_halves;
      EXPECT_LE(growth, N * floats * sizeof(float));
      EXPECT_LE(bytes(N) - growth, threads * thread_budget + 4096);
    }
  }
}

// Memory for a second key head is of no use to a call that has one.
TEST(Features, OneKeyHeadTakesOneAccumulator) {
  const auto bytes = [](int heads) {
    cpu::Task task;
    task.problem = make_case(4096, 4096, 128, true, 8 * heads, heads).problem;
    task.problem.B = 1;
    task.problem.pass = Pass::backward;
    task.problem.dtype = Dtype::bfloat16;
    task.plan =
        std::get<Plan>(make_plan(task.problem, device_with(isas().back(), 16)));
    task.plan.threads = 16;
    return cpu::workspace_bytes(task) -
        16 * workspace(task.problem, task.plan).bytes();
  };
  const std::size_t accumulator = 8ul * 4096 * 128 * sizeof(float);
  EXPECT_LT(bytes(1), 1.1 * static_cast<double>(accumulator));
  EXPECT_LT(bytes(2), 2.1 * static_cast<double>(accumulator));
}

} // namespace
} // namespace tessera::test
