#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>

#include "fuzz/mutate.h"
#include "model/configs.h"
#include "model/safetensors.h"
#include "model/scratch.h"
#include "tessera/dataset.h"
#include "tessera/error.h"
#include "tessera/model.h"
#include "text/small.h"
#include "train/small_run.h"

#ifdef __SANITIZE_ADDRESS__
extern "C" const char* __asan_default_options() {
  return "max_allocation_size_mb=2048";
}
#endif

namespace tessera::fuzz {

namespace {

using nlohmann::json;
using train::read_text;
using train::write_text;

// A file that is read for longer than this hangs; the slowest takes a second.
constexpr unsigned watchdog_seconds = 60;

// Room for what the files here may ask for, not for what they claim to hold.
void limit_memory() {
#ifndef __SANITIZE_ADDRESS__ // whose shadow takes terabytes of addresses
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t now = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  if (pages > 0) {
    limit.rlim_cur = now + (rlim_t{3} << 30);
    setrlimit(RLIMIT_AS, &limit);
  }
#endif
}

// Makes the files of one kind from a seed, and reads them: each is taken or
// refused with one line.
class Fuzz : public testing::Test {
 protected:
  void run(
      const std::string& name,
      const std::function<std::string(Random&)>& make,
      const std::function<void(const std::filesystem::path&)>& read) {
    limit_memory();
    const auto file = scratch_.folder / name;
    int taken = 0;
    for (int seed = 0; seed < TESSERA_FUZZ_CASES; ++seed) {
      SCOPED_TRACE(name + ", seed " + std::to_string(seed));
      Random random(static_cast<std::uint64_t>(seed));
      write_text(file, make(random));
      ::alarm(watchdog_seconds); // its signal ends the program
      taken += outcome([&] { read(file); });
      ::alarm(0);
    }
    // The mutations must reach what lies behind the first check.
    EXPECT_GT(taken, TESSERA_FUZZ_CASES / 100) << name;
    EXPECT_LT(taken, TESSERA_FUZZ_CASES * 9 / 10) << name;
  }

  // Whether `read` took its file.
  static bool outcome(const std::function<void()>& read) {
    try {
      read();
      return true;
    } catch (const InputError& error) {
      EXPECT_EQ(std::strchr(error.what(), '\n'), nullptr) << error.what();
      EXPECT_LT(std::strlen(error.what()), 2000u) << error.what();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "not an InputError: " << error.what();
    }
    return false;
  }

  Scratch scratch_;
};

TEST_F(Fuzz, Jsonl) {
  const auto tokenizer_file = scratch_.folder / "tokenizer.json";
  write_text(tokenizer_file, train::byte_tokenizer().dump());
  const auto tokenizer = Tokenizer::load(tokenizer_file);
  const std::vector<json> lines = {
      {{"text", "plain text"}},
      {{"text", "naïve — 日本語 🙂"}, {"id", 3}},
      {{"prompt", "two and two"}, {"completion", " is four"}},
      {{"messages", {{{"role", "user"}, {"content", "hello"}}}}}};
  const auto make = [&](Random& random) {
    std::string text;
    for (std::size_t i = 0; i <= random.below(4); ++i) {
      const json& line = random.pick(lines);
      text += random.one_in(3) ? line.dump() : mutate_json(line, random);
      text += random.one_in(8) ? "\r\n" : "\n";
    }
    return random.one_in(3) ? mutate_bytes(text, random) : text;
  };
  int turn = 0;
  run("train.jsonl", make, [&](const std::filesystem::path& file) {
    ++turn;
    DatasetOptions options;
    options.mask_prompt = turn % 2 == 0;
    options.max_seq_length = 64;
    options.long_documents = static_cast<LongDocuments>(turn % 3);
    options.eos_id = 0;
    const auto data = read_dataset(file, tokenizer, options);
    std::vector<std::size_t> all(data.documents.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    make_batch(data, pack(data, all, 64));
  });
}

// A header, said to be as long as `length`, with some bytes of data.
std::string safetensors(
    const std::string& header, std::uint64_t length, std::size_t data) {
  std::string text(sizeof length, 0);
  std::memcpy(text.data(), &length, sizeof length);
  return text + header + std::string(data, '\x3c');
}

TEST_F(Fuzz, Safetensors) {
  const json good = {
      {"__metadata__", {{"format", "pt"}}},
      {"a", {{"dtype", "F32"}, {"shape", {2, 3}}, {"data_offsets", {0, 24}}}},
      {"b", {{"dtype", "BF16"}, {"shape", {4}}, {"data_offsets", {24, 32}}}},
      {"c",
       {{"dtype", "F16"},
        {"shape", json::array()},
        {"data_offsets", {32, 34}}}}};
  const auto make = [&](Random& random) {
    json header = good;
    if (random.one_in(3)) { // holes, overlaps, what lies outside
      auto& offsets =
          header[random.pick<std::string>({"a", "b", "c"})]["data_offsets"];
      offsets[random.below(2)] =
          random.one_in(2) ? json(random.below(40)) : odd_value(random);
    }
    const std::string text =
        random.one_in(4) ? header.dump() : mutate_json(header, random);
    std::uint64_t length = text.size();
    if (random.one_in(6)) {
      length = random.pick<std::uint64_t>(
          {0,
           1,
           length - 1,
           length + 1,
           99'999'999,
           std::uint64_t{1} << 32,
           ~std::uint64_t{0},
           ~std::uint64_t{0} - 7});
    }
    const std::size_t data = random.one_in(6) ? random.below(60) : 34;
    std::string file = safetensors(text, length, data);
    return random.one_in(4) ? mutate_bytes(std::move(file), random) : file;
  };
  run("model.safetensors", make, [](const std::filesystem::path& file) {
    for (auto& [name, array] : read_safetensors(file)) {
      mx::sum(mx::astype(array, mx::float32)).eval();
    }
  });
}

TEST_F(Fuzz, Config) {
  const std::vector<json> good = {
      tiny_llama,
      llama_2_7b,
      llama_3_2_1b,
      qwen2_5_half_b,
      train::small_config()};
  const auto make = [&](Random& random) {
    return random.one_in(4) ? mutate_bytes(random.pick(good).dump(), random)
                            : mutate_json(random.pick(good), random);
  };
  run("config.json", make, [](const std::filesystem::path& file) {
    const auto config = read_config(file);
    parameter_shapes(config);
    EXPECT_EQ(parse_config(config_json(config, mx::float32), "again"), config);
  });
}

TEST_F(Fuzz, Tokenizer) {
  json byte_level = train::byte_tokenizer();
  byte_level["model"]["vocab"]["aa"] = 256;
  byte_level["model"]["vocab"]["aaa"] = 257;
  byte_level["model"]["merges"] = {"a a", "aa a", "a aa"};
  const std::vector<json> good = {
      json::parse(tests::small_tokenizer()), byte_level};
  const auto make = [&](Random& random) {
    return random.one_in(4) ? mutate_bytes(random.pick(good).dump(), random)
                            : mutate_json(random.pick(good), random);
  };
  const std::string text = "ab new<s>12 \xFF\xC3 naïve 日本語\u0301\n  " +
      std::string(200, 'a') + "b";
  run("tokenizer.json", make, [&](const std::filesystem::path& file) {
    const auto tokenizer = Tokenizer::load(file);
    const auto ids = tokenizer.encode(text);
    tokenizer.decode(ids, false);
    tokenizer.decode(ids);
    tokenizer.decode(TokenIds{0, -1, 7, 1 << 30}, false);
  });
}

} // namespace

} // namespace tessera::fuzz
