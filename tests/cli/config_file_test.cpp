#include "cli/config_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "tessera/error.h"

namespace tessera::cli {
namespace {

class ConfigFile : public testing::Test {
 protected:
  void SetUp() override {
    file_ = std::filesystem::temp_directory_path() /
        ("tessera-config-" + std::to_string(getpid()) + ".yaml");
    command_->add_option("--batch-size", batch_size_);
    command_->add_option("--lora-rank", rank_);
    command_->add_option("--lora-keys", keys_)->delimiter(',');
    command_->add_flag("--mask-prompt,!--no-mask-prompt", mask_prompt_);
  }

  void TearDown() override {
    std::filesystem::remove(file_);
  }

  // Parses flags, then the file, as a command does.
  void apply(const std::string& yaml, std::vector<std::string> flags = {}) {
    std::ofstream(file_) << yaml;
    flags.insert(flags.begin(), "finetune");
    std::reverse(flags.begin(), flags.end()); // CLI11 takes them from the back
    program_.parse(flags);
    apply_config_file(*command_, file_);
  }

  std::string refusal(const std::string& yaml) {
    try {
      apply(yaml);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path file_;
  CLI::App program_;
  CLI::App* command_ = program_.add_subcommand("finetune");
  int batch_size_ = 4;
  int rank_ = 8;
  std::vector<std::string> keys_ = {"q_proj"};
  bool mask_prompt_ = false;
};

TEST_F(ConfigFile, GivesWhatTheCommandLineLeftOut) {
  apply("batch_size: 2\nmask_prompt: true\n");
  EXPECT_EQ(batch_size_, 2);
  EXPECT_TRUE(mask_prompt_);
}

TEST_F(ConfigFile, FlagsWin) {
  apply("batch_size: 2\n", {"--batch-size", "16"});
  EXPECT_EQ(batch_size_, 16);
}

TEST_F(ConfigFile, ReadsTheNestedTablesOfMlxLm) {
  apply("lora_parameters:\n  rank: 3\n  keys: [q_proj, v_proj]\n");
  EXPECT_EQ(rank_, 3);
  EXPECT_EQ(keys_, (std::vector<std::string>{"q_proj", "v_proj"}));
}

TEST_F(ConfigFile, AFalseFlagStaysFalse) {
  apply("mask_prompt: false\n");
  EXPECT_FALSE(mask_prompt_);
}

TEST_F(ConfigFile, RefusesAnUnknownKeyWithItsLine) {
  const auto text = refusal("batch_size: 2\nbatchsize: 3\n");
  EXPECT_NE(text.find("got batchsize"), std::string::npos) << text;
  EXPECT_NE(text.find(file_.string() + ":2"), std::string::npos) << text;
}

TEST_F(ConfigFile, TakesUnsupportedKeysOfMlxLmSwitchedOffOnly) {
  EXPECT_EQ(refusal("hf_dataset: false\nwandb: null\n"), "accepted");
  const auto text = refusal("batch_size: 2\nhf_dataset: true\n");
  EXPECT_NE(text.find("got hf_dataset"), std::string::npos) << text;
}

TEST_F(ConfigFile, RefusesAWrongValueWithItsLine) {
  const auto text = refusal("\n\nbatch_size: many\n");
  EXPECT_NE(text.find("batch_size"), std::string::npos) << text;
  EXPECT_NE(text.find(file_.string() + ":3"), std::string::npos) << text;
}

TEST_F(ConfigFile, RefusesListsOfAnotherLengthAndRepeatedKeys) {
  EXPECT_NE(refusal("batch_size: []\n").find("list of 0"), std::string::npos);
  EXPECT_NE(
      refusal("batch_size: [1, 2]\n").find("list of 2"), std::string::npos);
  EXPECT_NE(
      refusal("batch_size: 1\nbatch_size: 2\n").find("again"),
      std::string::npos);
}

TEST_F(ConfigFile, RefusesWhatIsNotYaml) {
  EXPECT_NE(refusal("a: [1, 2\n").find("expected YAML"), std::string::npos);
  EXPECT_NE(refusal("just text").find("table"), std::string::npos);
}

TEST_F(ConfigFile, RefusesAMissingFile) {
  EXPECT_THROW(apply_config_file(*command_, "/nonexistent.yaml"), InputError);
}

} // namespace
} // namespace tessera::cli
