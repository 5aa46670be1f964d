#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "model/safetensors.h"
#include "tessera/finetune.h"

namespace tessera::train {

namespace fs = std::filesystem;

inline std::string utf8(int code) {
  if (code < 0x80) {
    return {static_cast<char>(code)};
  }
  return {
      static_cast<char>(0xc0 | (code >> 6)),
      static_cast<char>(0x80 | (code & 0x3f))};
}

// A byte-level BPE without merges: a token a byte, by GPT-2's alphabet, in
// which the bytes that do not print stand for U+0100 and up. Its id is the
// byte.
inline nlohmann::json byte_tokenizer() {
  nlohmann::json vocab;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    vocab[utf8(prints ? byte : next++)] = byte;
  }
  nlohmann::json byte_level = {
      {"type", "ByteLevel"},
      {"add_prefix_space", false},
      {"trim_offsets", false},
      {"use_regex", true}};
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"vocab", vocab},
        {"merges", nlohmann::json::array()}}}};
}

inline nlohmann::json small_config() {
  return {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"hidden_size", 32},
      {"intermediate_size", 64},
      {"num_hidden_layers", 2},
      {"num_attention_heads", 4},
      {"num_key_value_heads", 2},
      {"vocab_size", 256},
      {"max_position_embeddings", 256},
      {"rms_norm_eps", 1e-5},
      {"rope_theta", 10000.0},
      {"hidden_act", "silu"},
      {"tie_word_embeddings", false},
      {"eos_token_id", 0},
      {"initializer_range", 0.3}};
}

inline void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_text(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// A folder of its own with a small Llama, a tokenizer and documents of 4 to 40
// tokens; gone with the test.
class SmallRun : public testing::Test {
 protected:
  void SetUp() override {
    auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
        ("tessera-train-" + std::to_string(::getpid()) + "-" + test->name());
    fs::create_directories(folder_ / "base");
    fs::create_directories(folder_ / "data");
    write_text(folder_ / "base/config.json", small_config().dump());
    write_text(folder_ / "base/tokenizer.json", byte_tokenizer().dump());
    auto config = read_config(folder_ / "base/config.json");
    write_safetensors(
        folder_ / "base/model.safetensors",
        init_parameters(config, mx::float32, 5));
    write_pairs("train", 23);
    write_pairs("valid", 9);
  }

  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all, fs::perm_options::add);
    fs::remove_all(folder_);
  }

  void write_pairs(const std::string& split, int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      nlohmann::json line = {
          {"prompt", std::string(static_cast<std::size_t>(1 + i % 5), 'p')},
          {"completion",
           std::string(static_cast<std::size_t>(3 + i * 5 % 32), 'x') +
               char('a' + i % 26)}};
      lines += line.dump() + "\n";
    }
    write_text(folder_ / "data" / (split + ".jsonl"), lines);
  }

  FinetuneOptions options(const std::string& run = "run") const {
    FinetuneOptions o;
    o.model = folder_ / "base";
    o.data = folder_ / "data";
    o.adapter_path = folder_ / run;
    o.lora.rank = 4;
    o.learning_rate = 1e-2;
    o.batch_size = 3;
    o.iters = 6;
    o.steps_per_report = 2;
    o.steps_per_eval = 3;
    o.save_every = 2;
    o.max_seq_length = 64;
    return o;
  }

  fs::path folder_;
};

// Keeps what it is told; asks to stop after `stop_after` updates.
class Recorder : public FinetuneObserver {
 public:
  void started(const RunPlan& p) override {
    plan = p;
  }
  void stepped(const StepReport& report) override {
    losses.push_back(report.loss);
    steps.push_back(report);
  }
  void evaluated(const EvalReport& report) override {
    evals.push_back(report);
  }
  void saved(const fs::path& folder) override {
    checkpoints.push_back(folder);
  }
  bool should_stop() override {
    return !steps.empty() && steps.back().step == stop_after;
  }

  int stop_after = -1;
  RunPlan plan;
  std::vector<float> losses;
  std::vector<StepReport> steps;
  std::vector<EvalReport> evals;
  std::vector<fs::path> checkpoints;
};

inline bool same(const Parameters& a, const Parameters& b) {
  return a.size() == b.size() &&
      std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           auto other = b.find(entry.first);
           return other != b.end() &&
               mx::array_equal(entry.second, other->second)
                   .template item<bool>();
         });
}

// The InputError that `action` ends with; empty where it does not.
template <typename Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

} // namespace tessera::train
