#include "train/run/checkpoint.h"

#include <sys/resource.h>

#include <csignal>

#include "train/run/files.h"
#include "train/small_run.h"

namespace tessera::train {

namespace {

class Checkpoints : public SmallRun {
 protected:
  void SetUp() override {
    SmallRun::SetUp();
    config_ = read_config(folder_ / "base/config.json");
  }

  Checkpoint checkpoint(int step) const {
    Checkpoint c;
    c.state = begin_training(init_lora(config_, {}, 1));
    for (auto& [name, v] : c.state.v) {
      v = v + mx::array(float(step));
    }
    c.state.updates = step;
    c.identity = {{"options", {{"learning_rate", 0.1}, {"seed", 1}}}};
    c.interval = {{"loss", 0.1 + 0.2}};
    return c;
  }

  fs::path save(int step) const {
    return save_checkpoint(folder_, checkpoint(step), kind());
  }

  CheckpointKind kind() const {
    return {config_, LoraConfig{}};
  }

  ModelConfig config_;
};

TEST_F(Checkpoints, ComeBackToTheBit) {
  fs::path folder = save(12);
  EXPECT_EQ(folder, folder_ / "checkpoints/step-0000012");
  auto want = checkpoint(12);
  auto got = load_checkpoint(folder, want.identity, kind());
  EXPECT_EQ(got.state.updates, 12);
  EXPECT_EQ(got.interval, want.interval);
  for (auto group : {&Trained::parameters, &Trained::m, &Trained::v}) {
    ASSERT_EQ((got.state.*group).size(), (want.state.*group).size());
    for (const auto& [name, array] : want.state.*group) {
      EXPECT_TRUE(
          mx::array_equal((got.state.*group).at(name), array).item<bool>())
          << name;
    }
  }
}

TEST_F(Checkpoints, NewestIsByStepAndWhole) {
  EXPECT_FALSE(newest_checkpoint(folder_));
  save(9);
  save(10);
  fs::create_directories(folder_ / "checkpoints/step-0000011.unfinished");
  fs::create_directories(folder_ / "checkpoints/step-0000012.damaged");
  EXPECT_EQ(newest_checkpoint(folder_)->filename(), "step-0000010");
}

TEST_F(Checkpoints, KeepsTheNewestAndWhatIsNotItsOwn) {
  for (int step : {1, 2, 3, 4}) {
    save(step);
  }
  fs::create_directories(folder_ / "checkpoints/best");
  fs::create_directories(folder_ / "checkpoints/step-0000005.unfinished");
  prune_checkpoints(folder_, 0);
  EXPECT_TRUE(fs::exists(folder_ / "checkpoints/step-0000001"));
  prune_checkpoints(folder_, 2);
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints")) {
    left.insert(entry.path().filename());
  }
  EXPECT_EQ(
      left, (std::set<std::string>{"best", "step-0000003", "step-0000004"}));
}

TEST_F(Checkpoints, NamesTheOptionThatDiffers) {
  fs::path folder = save(3);
  auto identity = checkpoint(3).identity;
  identity["options"]["learning_rate"] = 0.2;
  auto text = refusal([&] { load_checkpoint(folder, identity, kind()); });
  EXPECT_NE(text.find("expected learning_rate 0.1"), std::string::npos) << text;
  EXPECT_NE(text.find("got 0.2"), std::string::npos) << text;
  identity = checkpoint(3).identity;
  identity["weights"] = "abc";
  text = refusal([&] { load_checkpoint(folder, identity, kind()); });
  EXPECT_NE(text.find("expected weights none"), std::string::npos) << text;
}

TEST_F(Checkpoints, DamageIsFoundInEveryByte) {
  const fs::path folder = save(3);
  EXPECT_EQ(damage_of(folder), "");
  for (const char* name :
       {"adapters.safetensors",
        "adapter_config.json",
        "optimizer.safetensors",
        "state.json"}) {
    const std::string whole = read_text(folder / name);
    const auto damage = [&](const std::string& text) {
      write_text(folder / name, text);
      return damage_of(folder);
    };
    // Every byte of the small files, some of the large ones.
    const std::size_t step = 1 + whole.size() / 400;
    for (std::size_t at = 0; at < whole.size(); at += step) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ 1);
      const bool blank = whole[at] == '\n' && name[0] == 's';
      EXPECT_TRUE(damage(flipped).starts_with(name) || blank) << name << at;
    }
    EXPECT_TRUE(damage(whole.substr(0, whole.size() / 2)).starts_with(name));
    EXPECT_TRUE(damage("").starts_with(name));
    fs::remove(folder / name);
    EXPECT_EQ(damage_of(folder).find(name), 0u) << damage_of(folder);
    EXPECT_EQ(damage(whole), "");
  }
}

TEST_F(Checkpoints, WhatIsSetAsideCountsNoMore) {
  save(2);
  const fs::path newest = save(4);
  EXPECT_EQ(set_aside(newest), folder_ / "checkpoints/step-0000004.damaged");
  EXPECT_EQ(newest_checkpoint(folder_)->filename(), "step-0000002");
  set_aside(save(4)); // in place of the one before
  prune_checkpoints(folder_, 1);
  EXPECT_EQ(checkpoints(folder_).size(), 1u);
  EXPECT_TRUE(fs::exists(folder_ / "checkpoints/step-0000004.damaged"));
}

// The kernel refuses to let files grow, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(Checkpoints, AFullDiskLeavesWhatWasThere) {
  fs::path old = save(2);
  write_json(folder_ / "config.json", {{"old", true}});
  std::string text;
  {
    FullDisk full(4096);
    text = refusal([&] { save(3); });
    EXPECT_NE(
        refusal([&] {
          write_json(folder_ / "config.json", std::string(10'000, 'x'));
        }),
        "");
  }
  EXPECT_NE(text.find("adapters.safetensors"), std::string::npos) << text;
  EXPECT_NE(text.find("File too large; free space"), std::string::npos) << text;
  EXPECT_FALSE(fs::exists(folder_ / "checkpoints/step-0000003.unfinished"));
  EXPECT_EQ(newest_checkpoint(folder_), old);
  EXPECT_EQ(
      nlohmann::json::parse(read_text(folder_ / "config.json"))["old"], true);
  EXPECT_EQ(refusal([&] { save(3); }), "");
}

} // namespace

} // namespace tessera::train
