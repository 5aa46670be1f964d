#include "train/log/tensorboard.h"

#include <fmt/format.h>

#include "train/small_run.h"

namespace tessera::train {

namespace {

std::string hexadecimal(std::string_view bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

// What RecordWriter of the `tensorboard` package writes of the same events.
TEST(Tensorboard, WritesTheBytesOfTheOfficialWriter) {
  EXPECT_EQ(
      hexadecimal(first_events(1.5, 7)),
      "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a"
      "322a28646c0f000000000000006d532b0909000000000000f83f10073a020801774771"
      "c7");
  EXPECT_EQ(
      hexadecimal(event_of(
          {{"step", 300}, {"loss", 0.1}, {"grad_norm", 3}, {"none", nullptr}},
          2.25)),
      "39000000000000008b0737f109000000000000024010ac022a2b0a160a0f747261696e"
      "2f677261645f6e6f726d15000040400a110a0a747261696e2f6c6f737315cdcccc3da9"
      "d8120d");
  EXPECT_EQ(
      hexadecimal(event_of(
          {{"step", 300},
           {"split", "valid"},
           {"eval_loss", 2.5},
           {"perplexity", 12.0}},
          2.25)),
      "3a000000000000001295eae209000000000000024010ac022a2c0a110a0a76616c6964"
      "2f6c6f737315000020400a170a1076616c69642f706572706c65786974791500004041"
      "49eaabff");
}

class TensorboardRun : public SmallRun {
 protected:
  std::vector<fs::path> files(const fs::path& run) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(run / "tensorboard")) {
      found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  // How many records a file has.
  static int records(const fs::path& file) {
    const std::string bytes = read_text(file);
    int count = 0;
    for (std::size_t at = 0; at < bytes.size(); ++count) {
      std::uint64_t length = 0;
      bytes.copy(reinterpret_cast<char*>(&length), sizeof length, at);
      at += sizeof length + 4 + length + 4;
      EXPECT_LE(at, bytes.size());
    }
    return count;
  }
};

TEST_F(TensorboardRun, HasAnEventForEachLine) {
  auto o = options();
  o.log_tensorboard = true;
  finetune(o);
  ASSERT_EQ(files(o.adapter_path).size(), 1u);
  // Version and start, three lines of training, three evaluations.
  EXPECT_EQ(records(files(o.adapter_path)[0]), 2 + 3 + 3);
  o.adapter_path = folder_ / "without";
  o.log_tensorboard = false;
  finetune(o);
  EXPECT_FALSE(fs::exists(o.adapter_path / "tensorboard"));
}

// The reader drops what the first file has of step 2 and later ones, so the
// second one begins with the line of step 2.
TEST_F(TensorboardRun, AResumedRunBeginsAFileOfItsOwn) {
  auto o = options();
  o.log_tensorboard = true;
  Recorder recorder;
  recorder.stop_after = 4;
  finetune(o, recorder);
  fs::remove_all(o.adapter_path / "checkpoints/step-0000004");
  const std::string first = read_text(files(o.adapter_path)[0]);
  o.resume = true;
  finetune(o);
  ASSERT_EQ(files(o.adapter_path).size(), 2u);
  EXPECT_EQ(read_text(files(o.adapter_path)[0]), first);
  // Steps 2, 4 and 6, and evaluations at 3 and 6.
  EXPECT_EQ(records(files(o.adapter_path)[1]), 2 + 3 + 2);
}

} // namespace

} // namespace tessera::train
