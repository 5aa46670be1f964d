#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "api/arrays.h"
#include "tessera/error.h"

// Legal calls with one thing wrong, or several, drawn at random: each is
// refused in the library's form, whatever else the call has.
namespace tessera::test {
namespace {

struct Illegal {
  Arrays x;
  AttentionOptions options;
};

using Fault = std::function<void(Illegal&, std::mt19937&)>;

int number(std::mt19937& g, int lo, int hi) {
  return std::uniform_int_distribution<int>(lo, hi)(g);
}

// One feature or none, so that refusals do not depend on what else is there.
void decorate(Illegal& c, const Problem& p, std::mt19937& g) {
  c.options.causal = g() % 2 == 0;
  if (g() % 2 == 0) {
    c.options.softcap = 5.0f;
  }
  if (g() % 2 == 0) {
    c.options.alibi = normal({p.Hq}, 1);
  }
  if (g() % 2 == 0) {
    c.options.mask = mx::full({p.Nq, p.Nk}, true);
  }
  if (g() % 2 == 0) {
    c.options.window = Window{number(g, 0, 9), std::nullopt};
  }
}

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all = {
      [](auto& c, auto&) { c.x.Q = mx::flatten(c.x.Q, 0, 1); },
      [](auto& c, auto&) { c.x.K = mx::astype(c.x.K, mx::float16); },
      [](auto& c, auto&) { c.x.V = mx::astype(c.x.V, mx::int32); },
      [](auto& c, auto&) {
        c.x.V = mx::concatenate({c.x.V, c.x.V}, 2);
      },
      [](auto& c, auto&) {
        c.x.K = mx::concatenate({c.x.K, c.x.K}, 3);
      },
      [](auto& c, auto&) {
        c.x.Q = mx::concatenate({c.x.Q, c.x.Q}, 0);
      },
      [](auto& c, auto& g) {
        c.options.window = Window{std::nullopt, -number(g, 1, 1000)};
      },
      [](auto& c, auto& g) {
        c.options.causal = true;
        c.options.chunk = -number(g, 0, 1000);
      },
      [](auto& c, auto&) {
        c.options.causal = false;
        c.options.chunk = 4;
      },
      [](auto& c, auto&) {
        c.options.causal = false;
        c.options.prefix = mx::array(1);
      },
      [](auto& c, auto& g) {
        c.options.softcap = -static_cast<float>(number(g, 0, 9));
      },
      [](auto& c, auto& g) {
        c.options.dropout = static_cast<float>(number(g, 1, 9));
        c.options.seed = mx::array(1);
      },
      [](auto& c, auto&) {
        c.options.dropout = 0.5f;
        c.options.seed = std::nullopt;
      },
      [](auto& c, auto& g) {
        c.options.sinks = normal({c.x.Q.shape(1) + number(g, 1, 3)}, 1);
      },
      [](auto& c, auto& g) {
        c.options.bias = normal({number(g, 50, 60), number(g, 50, 60)}, 1);
      },
      [](auto& c, auto&) {
        c.options.mask = normal({1, 1, 1, 1}, 1);
      },
      [](auto& c, auto& g) {
        const auto ids = mx::zeros({1, number(g, 50, 60)}, mx::int32);
        c.options.segments = Segments{ids, ids};
      },
      [](auto& c, auto& g) {
        c.options.blocks =
            BlockList{mx::full({1, 1, 1, 1}, true), -number(g, 0, 9), 4};
      },
      [](auto& c, auto& g) { c.options.block_size = -number(g, 1, 1 << 20); },
      [](auto& c, auto&) {
        c.options.scale = NAN;
      }};
  return all;
}

TEST(Refusals, OfWhateverIsWrong) {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    std::mt19937 g(seed);
    const auto p =
        make_problem(1, 4, 2, number(g, 1, 40), number(g, 1, 40), 8, 8, false);
    Illegal c{make(p), {}};
    decorate(c, p, g);
    for (int n = number(g, 1, 3); n > 0; --n) {
      faults()[g() % faults().size()](c, g);
    }
    try {
      attention(c.x.Q, c.x.K, c.x.V, c.options);
      ADD_FAILURE() << "seed " << seed << " was not refused";
    } catch (const InputError& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.rfind("[attention] expected ", 0), 0u) << seed << text;
      EXPECT_NE(text.find("; got "), std::string::npos) << seed << text;
    } catch (const std::exception& error) {
      ADD_FAILURE() << "seed " << seed << ": " << error.what();
    }
  }
}

} // namespace
} // namespace tessera::test
