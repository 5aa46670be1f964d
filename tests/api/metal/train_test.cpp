#include <gtest/gtest.h>

#include "api/metal/executor_launcher.h"
#include "train/small_run.h"

// Steps of LoRA whose attention runs in the executor, beside the CPU's.
namespace tessera::train {
namespace {

class MetalTraining : public SmallRun {
 protected:
  std::vector<float> losses(const FinetuneOptions& options) {
    Recorder recorder;
    finetune(options, recorder);
    return recorder.losses;
  }

  void expect_the_cpus(FinetuneOptions o) {
    o.use_flash_attention = Implementation::tessera;
    o.iters = 3;
    o.steps_per_report = 1;
    o.steps_per_eval = o.save_every = 3;
    o.batch_size = 2;
    o.adapter_path = folder_ / "cpu";
    const auto cpu = losses(o);
    auto launcher = std::make_shared<test::ExecutorLauncher>();
    std::vector<float> metal;
    {
      const MetalOnCpu scope({metal::Family::m1, launcher});
      o.adapter_path = folder_ / "metal";
      metal = losses(o);
    }
    EXPECT_FALSE(launcher->executed.empty());
    ASSERT_EQ(cpu.size(), metal.size());
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      EXPECT_NEAR(cpu[i], metal[i], 1e-5f * cpu[i]) << "step " << i + 1;
    }
    EXPECT_NE(metal.front(), metal.back());
  }
};

TEST_F(MetalTraining, StepsLikeTheCpu) {
  expect_the_cpus(options());
}

TEST_F(MetalTraining, StepsLikeTheCpuWithPackedDocuments) {
  auto o = options();
  o.pack = true;
  expect_the_cpus(o);
}

} // namespace
} // namespace tessera::train
