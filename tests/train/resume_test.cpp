#include <fmt/format.h>

#include "api/tuning.h"
#include "backend/cpu/launch.h"
#include "train/run/checkpoint.h"
#include "train/small_run.h"

namespace tessera::train {

namespace {

// What may become of a checkpoint on a disk.
enum class Damage { cut, flipped, state_cut, missing };

class Resume : public SmallRun {
 protected:
  static void apply(Damage damage, const fs::path& checkpoint) {
    const fs::path weights = checkpoint / "adapters.safetensors";
    std::string bytes = read_text(weights);
    switch (damage) {
      case Damage::cut:
        return write_text(weights, bytes.substr(0, bytes.size() - 100));
      case Damage::flipped:
        bytes[bytes.size() - 5] =
            static_cast<char>(bytes[bytes.size() - 5] ^ 4);
        return write_text(weights, bytes);
      case Damage::state_cut:
        return fs::resize_file(checkpoint / "state.json", 40);
      case Damage::missing:
        fs::remove(checkpoint / "optimizer.safetensors");
    }
  }

  // Runs until `step`, as one that is killed then leaves its folder.
  std::vector<float> run_until(FinetuneOptions o, int step) const {
    Recorder recorder;
    recorder.stop_after = step;
    finetune(o, recorder);
    return recorder.losses;
  }

  std::string refused(const FinetuneOptions& o) const {
    return refusal([&] { finetune(o); });
  }
};

TEST_F(Resume, FallsBackFromADamagedCheckpoint) {
  auto o = options("unbroken");
  o.save_every = 1;
  o.keep_checkpoints = 2;
  Recorder unbroken;
  finetune(o, unbroken);
  for (Damage damage :
       {Damage::cut, Damage::flipped, Damage::state_cut, Damage::missing}) {
    o.adapter_path = folder_ / fmt::format("run{}", int(damage));
    o.resume = false;
    run_until(o, 4);
    const fs::path newest = *newest_checkpoint(o.adapter_path);
    apply(damage, newest);
    o.resume = true;
    Recorder after;
    finetune(o, after);
    EXPECT_EQ(after.plan.first_step, 3);
    ASSERT_EQ(after.plan.notes.size(), 1u);
    EXPECT_NE(after.plan.notes[0].find(newest.string()), std::string::npos);
    EXPECT_TRUE(fs::exists(newest.string() + ".damaged"));
    EXPECT_EQ(
        after.losses,
        std::vector<float>(unbroken.losses.begin() + 3, unbroken.losses.end()));
    EXPECT_EQ(
        read_text(o.adapter_path / "adapters.safetensors"),
        read_text(folder_ / "unbroken/adapters.safetensors"));
    for (const fs::path& kept : checkpoints(o.adapter_path)) {
      EXPECT_EQ(damage_of(kept), "") << kept;
    }
    EXPECT_EQ(checkpoints(o.adapter_path).size(), 2u);
  }
}

// A damaged newest one counts for nothing when old ones are removed.
TEST_F(Resume, TheCheckpointFallenBackToStaysUntilANewerIsWhole) {
  auto o = options();
  o.save_every = 2;
  o.keep_checkpoints = 0;
  run_until(o, 4);
  o.keep_checkpoints = 1;
  apply(Damage::cut, *newest_checkpoint(o.adapter_path));
  o.resume = true;
  run_until(o, 3);
  EXPECT_EQ(checkpoints(o.adapter_path).size(), 1u);
  EXPECT_EQ(newest_checkpoint(o.adapter_path)->filename(), "step-0000003");
  EXPECT_EQ(damage_of(*newest_checkpoint(o.adapter_path)), "");
}

TEST_F(Resume, NamesAllWhereNoneIsWhole) {
  auto o = options();
  o.save_every = 2;
  run_until(o, 4);
  for (const fs::path& checkpoint : checkpoints(o.adapter_path)) {
    apply(Damage::flipped, checkpoint);
  }
  o.resume = true;
  const auto text = refused(o);
  for (const char* part :
       {"step-0000002 (adapters.safetensors", "step-0000004", "--force"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  EXPECT_EQ(checkpoints(o.adapter_path).size(), 2u); // refusing changes nothing
}

TEST_F(Resume, BeginsWhereThereIsNoCheckpointYet) {
  auto o = options("unbroken");
  Recorder unbroken;
  finetune(o, unbroken);
  o.adapter_path = folder_ / "run";
  o.resume = true;
  for (int attempt = 0; attempt < 2; ++attempt) {
    Recorder recorder;
    finetune(o, recorder);
    EXPECT_EQ(recorder.plan.first_step, 0);
    ASSERT_EQ(recorder.plan.notes.size(), 1u);
    EXPECT_NE(
        recorder.plan.notes[0].find("begins at step 0"), std::string::npos);
    EXPECT_EQ(recorder.losses, unbroken.losses);
    EXPECT_EQ(recorder.evals.front().step, 0);
    // As a run that was killed before its first checkpoint.
    fs::remove_all(o.adapter_path / "checkpoints");
    fs::remove(o.adapter_path / "adapters.safetensors");
    write_text(
        o.adapter_path / "metrics.jsonl",
        "{\"step\":2,\"loss\":9.0}\n{\"step\":4,\"lo");
  }
  o.seed = 9;
  const auto text = refused(o);
  EXPECT_NE(text.find("expected seed 0"), std::string::npos) << text;
  o.adapter_path = folder_ / "base";
  EXPECT_NE(refused(o).find("of something else"), std::string::npos);
}

TEST_F(Resume, AnOldRunThatWasBeingRemovedIsStillOne) {
  auto o = options();
  finetune(o);
  o.seed = 4;
  o.force = true;
  // --force was stopped in the middle.
  fs::remove(o.adapter_path / "metrics.jsonl");
  fs::remove(o.adapter_path / "adapters.safetensors");
  EXPECT_EQ(refused(o), "");
}

// Blocks of another size give other bits, so a resumed run takes those of its
// record, whatever has been measured since.
TEST_F(Resume, FollowsTheTableThatTheFolderRecorded) {
  auto tuned_to = [&](int rows, int columns) {
    Table table;
    Problem p;
    p.causal = true;
    p.dtype = Dtype::float32;
    p.Hq = 4;
    p.Hkv = 2;
    p.D = p.Dv = 8;
    for (Pass pass : {Pass::forward, Pass::backward}) {
      for (int length = 1; length <= 64; length *= 2) {
        for (int batch = 1; batch <= 3; ++batch) {
          p.pass = pass;
          p.B = batch;
          p.Nq = p.Nk = length;
          table[key_of(p, cpu::this_device())] = {rows, columns, false};
        }
      }
    }
    return table;
  };
  auto o = options("unbroken");
  o.save_every = 2;
  {
    const TableScope scope(tuned_to(24, 24));
    finetune(o);
  }
  const auto recorded = [](const fs::path& run) {
    return nlohmann::json::parse(read_text(run / "config.json"))["tuning"];
  };
  EXPECT_EQ(recorded(o.adapter_path)["entries"].size(), 2u * 7 * 2);
  o.adapter_path = folder_ / "run";
  {
    const TableScope scope(tuned_to(24, 24));
    run_until(o, 3);
  }
  o.resume = true;
  const TableScope scope(tuned_to(48, 48));
  finetune(o);
  EXPECT_EQ(recorded(o.adapter_path), recorded(folder_ / "unbroken"));
  EXPECT_EQ(
      read_text(o.adapter_path / "adapters.safetensors"),
      read_text(folder_ / "unbroken/adapters.safetensors"));
  EXPECT_EQ(table_in_use(), tuned_to(48, 48)); // a run leaves it as it was
}

} // namespace

} // namespace tessera::train
