#include "api/metal/proof.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "api/metal/harness.h"
#include "tessera/warning.h"

// A GPU that computes something else, and what becomes of its calls.
namespace tessera::test {
namespace {

// Runs the text and then changes results, if it is told to.
class FaultyLauncher : public ExecutorLauncher {
 public:
  using Fault = std::function<void(metal::Pass, std::vector<mx::array>&)>;

  explicit FaultyLauncher(Fault fault = [](auto, auto&) {})
      : fault_(std::move(fault)) {}

  void launch(
      const metal::Launch& launch,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    std::lock_guard lock(mutex_);
    ExecutorLauncher::launch(launch, inputs, outputs);
    fault_(launch.plan.pass, outputs);
  }

  long launches(metal::Pass pass) const {
    return std::ranges::count_if(
        executed, [&](const auto& one) { return one.first.pass == pass; });
  }

 private:
  Fault fault_;
  std::mutex mutex_;
};

// One value of an output is off.
FaultyLauncher::Fault off(metal::Pass pass, std::size_t output) {
  return [=](metal::Pass of, std::vector<mx::array>& outputs) {
    if (of == pass) {
      auto& x = outputs[output];
      x.data<float>()[x.size() / 2] += 0.25f;
    }
  };
}

class Proof : public testing::Test {
 protected:
  Proof() {
    set_warning_handler([this](const std::string& text) {
      std::lock_guard lock(mutex_);
      warnings.push_back(text);
    });
  }
  ~Proof() override {
    set_warning_handler({});
  }

  void use(FaultyLauncher::Fault fault) {
    launcher = std::make_shared<FaultyLauncher>(std::move(fault));
    start();
  }
  void start() {
    scope.reset();
    scope.emplace(MetalBackend{
        metal::Family::m1,
        launcher,
        metal::launch_seconds,
        std::make_shared<Proofs>()});
  }

  // The call's results by whatever computes it, against the reference.
  void expect_right(const Case& c) {
    const auto in = random_inputs(c);
    EXPECT_EQ(
        difference(expect(c.problem, c.scalars(), in), through_the_op(c, in)),
        "");
  }
  // What an array of the case's shapes takes, and why.
  Choice choice(const Case& c, Implementation implementation) {
    const auto in = random_inputs(c);
    auto options = options_of(c, in);
    options.implementation = implementation;
    const auto zeros = [&](Operand o) {
      const auto s = shape(o, c.problem);
      return mx::zeros({s[0], s[1], s[2], s[3]});
    };
    return explain_attention(
        zeros(Operand::Q), zeros(Operand::K), zeros(Operand::V), options);
  }

  std::shared_ptr<FaultyLauncher> launcher = std::make_shared<FaultyLauncher>();
  std::optional<MetalOnCpu> scope;
  std::vector<std::string> warnings;

 private:
  std::mutex mutex_;
};

Case windowed() {
  Case c = make_case(40, 40, 16, true);
  c.problem.left = 12;
  return c;
}

TEST_F(Proof, IsMadeOnce) {
  start();
  expect_right(windowed());
  EXPECT_EQ(
      launcher->launches(metal::Pass::forward), 3); // two trials, the call
  EXPECT_EQ(launcher->launches(metal::Pass::dq), 2);
  expect_right(windowed());
  EXPECT_EQ(launcher->launches(metal::Pass::forward), 4);
  EXPECT_EQ(launcher->launches(metal::Pass::dkv), 3);
  EXPECT_EQ(warnings, std::vector<std::string>());
}

TEST_F(Proof, IsNotMadeByAnExplanation) {
  start();
  EXPECT_EQ(choice(windowed(), Implementation::tessera).name, "tessera/metal");
  EXPECT_TRUE(launcher->executed.empty());
}

TEST_F(Proof, OfAWrongForwardLeavesTheCallToTheCpu) {
  use(off(metal::Pass::forward, 0));
  expect_right(windowed());
  expect_right(windowed());
  EXPECT_EQ(launcher->executed.size(), 1u); // the trial
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("forward kernel (D 16, Dv 16)"), std::string::npos)
      << warnings[0];
  EXPECT_NE(warnings[0].find("(m1)"), std::string::npos) << warnings[0];
  const auto told = choice(windowed(), Implementation::automatic);
  EXPECT_EQ(told.name, "tessera/cpu");
  EXPECT_NE(told.reason.find("O off by"), std::string::npos) << told.reason;
}

TEST_F(Proof, SeesTheLogsumexp) {
  use(off(metal::Pass::forward, 1));
  expect_right(windowed());
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("L off by"), std::string::npos) << warnings[0];
}

TEST_F(Proof, LeavesToMlxWhatItCanDo) {
  use(off(metal::Pass::forward, 0));
  const Case c = make_case(40, 40, 16, true);
  const auto in = random_inputs(c);
  const auto Q = laid_out(
      in.Q, shape(Operand::Q, c.problem), Layout::contiguous, mx::float32);
  const auto K = laid_out(
      in.K, shape(Operand::K, c.problem), Layout::contiguous, mx::float32);
  const AttentionOptions options{.causal = true};
  const auto O = attention(Q, K, K, options);
  EXPECT_EQ(explain_attention(Q, K, K, options).name, "mlx");
  EXPECT_EQ(warnings.size(), 1u);
  auto tessera = options;
  tessera.implementation = Implementation::tessera;
  EXPECT_EQ(explain_attention(Q, K, K, tessera).name, "tessera/cpu");
  auto same = mx::allclose(O, attention(Q, K, K, tessera), 1e-4, 1e-5);
  EXPECT_TRUE(same.item<bool>());
}

TEST_F(Proof, OfAWrongGradientLeavesTheForwardPass) {
  for (const auto pass :
       {metal::Pass::delta, metal::Pass::dq, metal::Pass::dkv}) {
    warnings.clear();
    use(off(pass, 0));
    expect_right(windowed());
    expect_right(windowed());
    EXPECT_EQ(warnings.size(), 1u);
    EXPECT_EQ(launcher->launches(pass), 1) << metal::name(pass);
    EXPECT_EQ(launcher->launches(metal::Pass::forward), 4);
    EXPECT_EQ(
        choice(windowed(), Implementation::tessera).name, "tessera/metal");
  }
}

TEST_F(Proof, SeesEachFeaturesOwnKernel) {
  Case c = windowed();
  c.problem.features.bias = c.problem.features.alibi =
      c.problem.features.sinks = true;
  for (const auto pass :
       {metal::Pass::dbias, metal::Pass::dslopes, metal::Pass::dsinks}) {
    warnings.clear();
    use(off(pass, 0));
    expect_right(c);
    ASSERT_EQ(warnings.size(), 1u) << metal::name(pass);
    EXPECT_NE(
        warnings[0].find(fmt::format("{} kernel", metal::name(pass))),
        std::string::npos)
        << warnings[0];
  }
}

TEST_F(Proof, TakesAKernelThatFailsForWrong) {
  use([](metal::Pass, std::vector<mx::array>&) {
    throw std::runtime_error("no such instruction");
  });
  expect_right(windowed());
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("no such instruction"), std::string::npos);
}

TEST_F(Proof, WorksWhileAFunctionIsTraced) {
  start();
  const auto Q = mx::random::normal({1, 2, 24, 16}, mx::random::key(1));
  const AttentionOptions options{
      .causal = true, .implementation = Implementation::tessera};
  const auto loss = [&](const std::vector<mx::array>& x) {
    return std::vector<mx::array>{
        mx::sum(attention(x[0], x[0], x[0], options))};
  };
  const auto compiled = mx::compile([&](const std::vector<mx::array>& x) {
    return mx::vjp(loss, x, {mx::array(1.0f)}).second;
  });
  auto traced = compiled({Q})[0];
  EXPECT_EQ(launcher->launches(metal::Pass::dq), 1); // the trial
  traced.eval();
  EXPECT_EQ(launcher->launches(metal::Pass::dq), 2);
  scope.reset();
  auto expected = mx::vjp(loss, {Q}, {mx::array(1.0f)}).second[0];
  EXPECT_TRUE(mx::allclose(traced, expected, 1e-4, 1e-5).item<bool>());
}

TEST_F(Proof, IsMadeOnceByManyThreads) {
  start();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      const auto Q = mx::zeros({1, 2, 24, 16});
      AttentionOptions options;
      options.implementation = Implementation::tessera;
      attention(Q, Q, Q, options);
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(launcher->executed.size(), 1u);
}

// What is proven are the plans that are used.
TEST_F(Proof, IsOfTheSamePlans) {
  start();
  int checked = 0;
  for (unsigned seed = 1; checked < 6; ++seed) {
    const Case c = fuzz_case(seed);
    const auto widest = std::max(c.problem.D, c.problem.Dv);
    const bool empty = c.problem.Nq == 0 || c.problem.Nk == 0;
    if (empty || cost(c.problem) > 2e6 || widest > 128) {
      continue;
    }
    SCOPED_TRACE(describe(c, {}));
    launcher->executed.clear();
    start();
    through_the_op(c, random_inputs(c));
    for (const auto& [plan, counts] : launcher->executed) {
      EXPECT_GE(
          std::ranges::count_if(
              launcher->executed,
              [&](const auto& one) { return one.first == plan; }),
          2)
          << metal::name(plan.pass);
    }
    ++checked;
  }
  EXPECT_EQ(warnings, std::vector<std::string>());
}

} // namespace
} // namespace tessera::test
