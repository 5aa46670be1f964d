#include <gtest/gtest.h>

#include "tessera/error.h"
#include "train/memory/machine.h"
#include "train/memory/plan.h"
#include "train/small_run.h"

namespace tessera::train {

namespace {

constexpr std::int64_t mib = 1 << 20;

MemoryShape shape() {
  MemoryShape s;
  s.model.hidden_size = 512;
  s.model.num_hidden_layers = 8;
  s.model.intermediate_size = 1376;
  s.model.num_attention_heads = 8;
  s.model.num_key_value_heads = 4;
  s.model.head_dim = 64;
  s.model.vocab_size = 32000;
  s.model.max_position_embeddings = 65536;
  s.lora = LoraConfig{};
  s.columns = 2048;
  s.loss_bytes = 128 * mib;
  s.base = 50 * mib;
  return s;
}

std::int64_t peak(MemoryShape s) {
  return predict_memory(s).peak();
}

// Twice the tokens, twice what tokens cost, whatever the length.
TEST(Memory, GrowsInAStraightLineWithLength) {
  auto s = shape();
  s.columns = 16384;
  const auto once = peak(s);
  s.columns = 32768;
  const auto twice = peak(s);
  s.columns = 65536;
  EXPECT_EQ(peak(s) - twice, 2 * (twice - once));
}

TEST(Memory, FallsWithEachRecomputedLayerOfALongRun) {
  auto s = shape();
  s.columns = 32768;
  for (auto last = peak(s); s.recomputed_layers < 7; last = peak(s)) {
    ++s.recomputed_layers;
    EXPECT_LT(peak(s), last) << s.recomputed_layers;
  }
}

// What MLX kept would be held beside what is in use.
TEST(Memory, FreedMemoryIsNotKept) {
  return_freed_memory();
  for (int i = 0; i < 3; ++i) {
    mx::full({1 << 20}, static_cast<float>(i)).eval();
  }
  EXPECT_EQ(mx::get_cache_memory(), 0u);
}

// All parameters trained: the parameter, its gradient and two moments.
TEST(Memory, CountsFourNumbersATrainedParameter) {
  auto s = shape();
  s.lora.reset();
  const auto p = predict_memory(s);
  std::int64_t parameters = 0;
  for (const auto& [name, dimensions] : parameter_shapes(s.model)) {
    std::int64_t size = 1;
    for (const auto axis : dimensions) {
      size *= axis;
    }
    parameters += size;
  }
  EXPECT_EQ(p.trained + p.optimizer, 4 * 4 * parameters);
  EXPECT_EQ(p.weights, 0);
}

TEST(Memory, AutoRecomputesAsFewLayersAsItMust) {
  auto s = shape();
  s.columns = 32768;
  const GradCheckpoint automatic;
  const auto whole = peak(s);
  EXPECT_EQ(decide_memory(s, automatic, 2 * whole).recomputed_layers, 0);
  EXPECT_EQ(decide_memory(s, automatic, 0).recomputed_layers, 0);
  const auto available = whole; // 80 % of which is less than it takes
  const auto plan = decide_memory(s, automatic, available);
  ASSERT_GT(plan.recomputed_layers, 0);
  ASSERT_LT(plan.recomputed_layers, 8);
  EXPECT_LE(double(plan.predicted.peak()), 0.8 * double(available));
  s.recomputed_layers = plan.recomputed_layers - 1;
  EXPECT_GT(double(peak(s)), 0.8 * double(available));
}

TEST(Memory, KnowsTheMostThatFits) {
  auto s = shape();
  const GradCheckpoint off{GradCheckpoint::Kind::off, 0};
  const auto available = 3 * peak(s);
  const auto plan = decide_memory(s, off, available);
  EXPECT_TRUE(plan.fits());
  auto at = s;
  at.columns = plan.most_columns;
  EXPECT_LE(peak(at), available);
  ++at.columns;
  EXPECT_GT(peak(at), available);
  at = s;
  at.rows = plan.most_rows;
  EXPECT_LE(peak(at), available);
  ++at.rows;
  EXPECT_GT(peak(at), available);
}

TEST(Memory, RefusesWithTheFlagsThatWouldDo) {
  auto s = shape();
  s.rows = 4;
  s.columns = 8192;
  const GradCheckpoint off{GradCheckpoint::Kind::off, 0};
  const auto refused = [&](std::int64_t available) {
    return refusal([&] { check_memory(s, decide_memory(s, off, available)); });
  };
  EXPECT_EQ(refused(2 * peak(s)), "");
  const auto all = refused(peak(s) - 1);
  EXPECT_NE(all.find("--grad-checkpoint all"), all.npos) << all;
  s.recomputed_layers = 8;
  const auto smaller = refused(peak(s) - 1);
  s.recomputed_layers = 0;
  EXPECT_EQ(smaller.find("--grad-checkpoint all,"), smaller.npos) << smaller;
  EXPECT_NE(smaller.find("--batch-size 3"), smaller.npos) << smaller;
  EXPECT_NE(smaller.find("--max-seq-length "), smaller.npos) << smaller;
  const auto none = refused(60 * mib);
  EXPECT_NE(none.find("no batch of this model fits"), none.npos) << none;
}

TEST(Memory, OfThisProcessIsWhatItTouches) {
  const auto before = held_memory();
  ASSERT_GT(before, 0);
  std::vector<char> touched(64 * mib, 1);
  EXPECT_GE(held_memory(), before + 60 * mib);
  EXPECT_GE(peak_memory(), before + 60 * mib);
  EXPECT_GT(available_memory(), 64 * mib);
  EXPECT_EQ(touched.back(), 1);
}

class MemoryOfRun : public SmallRun {};

TEST_F(MemoryOfRun, IsPlannedWithoutWeights) {
  auto o = options();
  fs::remove(folder_ / "base/model.safetensors");
  const auto plan = plan_memory(o);
  EXPECT_GT(plan.predicted.peak(), plan.predicted.base);
  EXPECT_EQ(plan.rows, 3);
  EXPECT_GT(plan.columns, 4);
  EXPECT_EQ(plan.layers, 2);
  EXPECT_FALSE(fs::exists(o.adapter_path));
  o.max_memory = 1;
  EXPECT_FALSE(plan_memory(o).fits());
}

TEST_F(MemoryOfRun, IsRefusedBeforeWeightsAreRead) {
  auto o = options();
  o.max_memory = 8 * mib;
  fs::remove(folder_ / "base/model.safetensors");
  const auto text = refusal([&] { finetune(o); });
  EXPECT_NE(text.find("predicted peak"), text.npos) << text;
}

TEST(KeptMemory, IsThatOfLargeRunsOfAdapters) {
  MemoryPrediction predicted;
  predicted.base = 4096 * mib; // of no array
  predicted.weights = 200 * mib;
  predicted.activations = 400 * mib;
  predicted.trained = predicted.optimizer = 2 * mib;
  EXPECT_EQ(most_kept(predicted), std::size_t{(604 - 96) * mib});
  predicted.activations = 300 * mib;
  EXPECT_EQ(most_kept(predicted), 0u); // under half a GiB
  predicted.activations = 400 * mib;
  predicted.trained = predicted.optimizer = 400 * mib;
  EXPECT_EQ(most_kept(predicted), 0u); // every parameter
}

} // namespace

} // namespace tessera::train
