#include "tessera/finetune.h"

#include "train/small_run.h"
#include "train/trainer.h"

namespace tessera::train {

namespace {

class Finetune : public SmallRun {
 protected:
  std::vector<float> losses(const FinetuneOptions& options) const {
    Recorder recorder;
    finetune(options, recorder);
    return recorder.losses;
  }

  // What is left of a run that counts: everything but times and memory.
  std::vector<nlohmann::json> metrics(const std::string& run) const {
    std::vector<nlohmann::json> lines;
    std::ifstream in(folder_ / run / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      auto json = nlohmann::json::parse(line);
      for (const char* name :
           {"seconds", "tokens_per_second", "peak_memory_gib"}) {
        json.erase(name);
      }
      lines.push_back(json);
    }
    return lines;
  }

  // Interrupts after `step` updates, resumes, and compares with an unbroken
  // run.
  void expect_resumes(FinetuneOptions options, int step) {
    options.adapter_path = folder_ / "unbroken";
    Recorder unbroken;
    finetune(options, unbroken);
    options.adapter_path = folder_ / "broken";
    Recorder before;
    before.stop_after = step;
    auto result = finetune(options, before);
    EXPECT_TRUE(result.interrupted);
    EXPECT_EQ(result.steps, step);
    EXPECT_EQ(before.checkpoints.back(), result.output);
    options.resume = true;
    Recorder after;
    result = finetune(options, after);
    EXPECT_FALSE(result.interrupted);
    EXPECT_EQ(after.plan.first_step, step);
    EXPECT_EQ(result.steps, options.iters);
    auto joined = before.losses;
    joined.insert(joined.end(), after.losses.begin(), after.losses.end());
    EXPECT_EQ(joined, unbroken.losses);
    EXPECT_EQ(metrics("broken"), metrics("unbroken"));
  }
};

TEST_F(Finetune, LearnsAndSaysSo) {
  auto o = options();
  o.iters = 30;
  Recorder recorder;
  auto result = finetune(o, recorder);
  EXPECT_EQ(recorder.losses.size(), 30u);
  EXPECT_LT(result.last_eval->loss, 0.7 * result.first_eval->loss);
  EXPECT_NEAR(
      result.last_eval->perplexity, std::exp(result.last_eval->loss), 1e-9);
  EXPECT_EQ(result.first_eval->step, 0);
  EXPECT_EQ(result.last_eval->step, 30);
  EXPECT_EQ(recorder.evals.size(), 11u);
  EXPECT_EQ(result.steps, 30);
  EXPECT_GT(result.tokens_per_second, 0);
  EXPECT_GT(result.peak_memory_gib, 0);
  EXPECT_EQ(recorder.plan.train_documents, 23u);
  EXPECT_EQ(recorder.plan.trainable_parameters, 2 * 4 * (64 + 48 + 48 + 64));
}

TEST_F(Finetune, IsDeterministicBySeed) {
  auto o = options("a");
  o.lora.dropout = 0.2;
  auto a = losses(o);
  o.adapter_path = folder_ / "b";
  EXPECT_EQ(losses(o), a);
  EXPECT_EQ(
      read_text(folder_ / "a/adapters.safetensors"),
      read_text(folder_ / "b/adapters.safetensors"));
  o.adapter_path = folder_ / "c";
  o.seed = 1;
  EXPECT_NE(losses(o), a);
}

TEST_F(Finetune, ResumesToTheBitWithDropout) {
  auto o = options();
  o.lora.dropout = 0.3;
  o.lr_schedule = {LearningRateSchedule::Kind::cosine, 2, 1e-4};
  o.iters = 12; // beyond one epoch of 8 batches
  o.save_every = 0;
  o.steps_per_report = 4;
  o.steps_per_eval = 7; // due where the run breaks off
  expect_resumes(o, 7);
}

TEST_F(Finetune, ResumesFromScratchWithAccumulation) {
  auto o = options();
  o.model.clear();
  o.init = folder_ / "base/config.json";
  o.grad_accumulation_steps = 2;
  o.steps_per_eval = 2;
  expect_resumes(o, 3);
}

TEST_F(Finetune, ResumeTakesNothingElse) {
  auto o = options();
  finetune(o);
  o.resume = true;
  auto refused = [&](auto change) {
    auto changed = o;
    change(changed);
    return refusal([&] { finetune(changed); });
  };
  EXPECT_NE(
      refused([](auto& c) { c.learning_rate = 0.5; }).find("learning_rate"),
      std::string::npos);
  EXPECT_NE(
      refused([](auto& c) { c.lora.rank = 2; }).find("rank"),
      std::string::npos);
  EXPECT_NE(
      refused([](auto& c) { c.iters = 5; }).find("iters"), std::string::npos);
  write_pairs("train", 22);
  EXPECT_NE(
      refused([](auto&) {}).find("expected train_data"), std::string::npos);
}

TEST_F(Finetune, MoreIterationsExtendARun) {
  auto o = options("long");
  o.iters = 8;
  auto all = losses(o);
  o.adapter_path = folder_ / "short";
  o.iters = 5;
  auto joined = losses(o);
  o.iters = 8;
  o.resume = true;
  auto rest = losses(o);
  joined.insert(joined.end(), rest.begin(), rest.end());
  EXPECT_EQ(joined, all);
}

TEST_F(Finetune, FlashOnAndOffAgree) {
  auto o = options("on");
  o.use_flash_attention = Implementation::tessera;
  auto on = losses(o);
  o.adapter_path = folder_ / "off";
  o.use_flash_attention = Implementation::mlx;
  auto off = losses(o);
  ASSERT_EQ(on.size(), off.size());
  for (std::size_t i = 0; i < on.size(); ++i) {
    EXPECT_NEAR(on[i], off[i], 2e-5 * on[i]) << "step " << i + 1;
  }
}

TEST_F(Finetune, FromScratchLeavesAModelFolder) {
  auto o = options();
  o.model.clear();
  o.init = folder_ / "base/config.json";
  o.iters = 20;
  auto result = finetune(o);
  EXPECT_EQ(result.output, folder_ / "run/model");
  EXPECT_LT(result.last_eval->loss, 0.7 * result.first_eval->loss);
  auto config = read_config(result.output / "config.json");
  EXPECT_EQ(config, read_config(o.init));
  EXPECT_TRUE(fs::exists(result.output / "tokenizer.json"));
  // Its weights are what was evaluated last.
  FinetuneOptions test = options("elsewhere");
  test.model = result.output;
  test.fine_tune_type = FineTuneType::full;
  test.train = false;
  test.test = true;
  test.test_batches = o.val_batches;
  fs::copy_file(folder_ / "data/valid.jsonl", folder_ / "data/test.jsonl");
  EXPECT_EQ(finetune(test).test->loss, result.last_eval->loss);
  EXPECT_FALSE(fs::exists(folder_ / "elsewhere"));
}

TEST_F(Finetune, FullTrainingMovesEveryParameter) {
  auto o = options();
  o.fine_tune_type = FineTuneType::full;
  o.iters = 1;
  auto result = finetune(o);
  auto config = read_config(o.model / "config.json");
  auto before = load_parameters(o.model, config, mx::float32);
  auto after = load_parameters(result.output, config, mx::float32);
  for (const auto& [name, array] : before) {
    EXPECT_FALSE(mx::array_equal(array, after.at(name)).item<bool>()) << name;
  }
}

TEST_F(Finetune, TestsAnAdapterWithoutTraining) {
  fs::copy_file(folder_ / "data/valid.jsonl", folder_ / "data/test.jsonl");
  auto o = options();
  o.test = true;
  auto trained = finetune(o);
  EXPECT_EQ(trained.test->loss, trained.last_eval->loss);
  auto before = read_text(folder_ / "run/metrics.jsonl");
  o.train = false;
  o.lora = {}; // the adapter's own is taken
  auto tested = finetune(o);
  EXPECT_EQ(tested.test->loss, trained.test->loss);
  EXPECT_EQ(read_text(folder_ / "run/metrics.jsonl"), before);
}

TEST_F(Finetune, StartsFromAnAdapter) {
  auto o = options("first");
  auto first = finetune(o);
  o.adapter_path = folder_ / "second";
  o.resume_adapter_file = folder_ / "first/adapters.safetensors";
  auto second = finetune(o);
  EXPECT_EQ(second.first_eval->loss, first.last_eval->loss);
}

TEST_F(Finetune, EpochsCountUpdates) {
  auto o = options();
  o.epochs = 2;
  o.grad_accumulation_steps = 3;
  Recorder recorder;
  auto result = finetune(o, recorder);
  EXPECT_EQ(result.steps, 6); // 2 epochs of 8 batches, 3, 3 and 2 an update
  EXPECT_NEAR(recorder.plan.epochs, 2, 1e-9);
}

// The documents of each update too, over epochs that end with a short one.
TEST_F(Finetune, AccumulationIsTheBigBatch) {
  for (const bool pack : {false, true}) {
    auto o = options(pack ? "packed" : "padded");
    o.pack = pack;
    o.epochs = 3;
    o.batch_size = 6;
    const auto big = losses(o);
    o.adapter_path = folder_ / (pack ? "packed parts" : "padded parts");
    o.batch_size = 2;
    o.grad_accumulation_steps = 3;
    const auto parts = losses(o);
    ASSERT_EQ(parts.size(), big.size());
    for (std::size_t i = 0; i < big.size(); ++i) {
      EXPECT_NEAR(parts[i], big[i], 1e-5 * big[i]) << "update " << i;
    }
  }
}

TEST_F(Finetune, WithoutValidationSaysSo) {
  fs::remove(folder_ / "data/valid.jsonl");
  Recorder recorder;
  auto result = finetune(options(), recorder);
  EXPECT_FALSE(result.last_eval);
  ASSERT_EQ(recorder.plan.notes.size(), 1u);
  EXPECT_NE(recorder.plan.notes[0].find("no valid"), std::string::npos);
}

TEST_F(Finetune, CountsDocumentsWithoutAToken) {
  write_text(
      folder_ / "data/train.jsonl",
      R"({"text": "some text to learn from"})"
      "\n"
      R"({"text": ""})"
      "\n");
  auto o = options();
  o.batch_size = 1;
  o.iters = 2;
  Recorder recorder;
  finetune(o, recorder);
  EXPECT_EQ(recorder.plan.train_documents, 1u);
  ASSERT_EQ(recorder.plan.notes.size(), 1u);
  EXPECT_NE(recorder.plan.notes[0].find("1 documents"), std::string::npos);
}

TEST_F(Finetune, TokensOfAnotherModelAreRefused) {
  auto config = small_config();
  config["vocab_size"] = 100;
  write_text(folder_ / "small.json", config.dump());
  auto o = options();
  o.model.clear();
  o.init = folder_ / "small.json";
  o.tokenizer = folder_ / "base/tokenizer.json";
  auto text = refusal([&] { finetune(o); });
  EXPECT_NE(text.find("vocab_size 100"), std::string::npos) << text;
}

// k batches of one document each give what one batch of k gives, though their
// numbers of targets differ.
TEST_F(Finetune, AccumulationEqualsTheLargeBatch) {
  Network network;
  network.config = read_config(folder_ / "base/config.json");
  network.frozen =
      load_parameters(folder_ / "base", network.config, mx::float32);
  LoraConfig lora;
  Parameters trained = init_lora(network.config, lora, 1);
  for (auto& [name, array] : trained) {
    array = array + mx::array(0.01f);
  }
  network.forward.lora_scale = 2;
  Dataset data;
  for (int n : {5, 17, 9}) {
    TokenIds ids;
    for (int i = 0; i < n; ++i) {
      ids.push_back((i * 37 + n) % 256);
    }
    data.documents.push_back({ids, {{0, n / 4}}, 1});
  }
  auto batch = [&](const Rows& rows) {
    return make_batch(data, rows);
  };
  auto large = loss_and_gradient(network, trained, {batch({{0}, {1}, {2}})}, 0);
  auto small = loss_and_gradient(
      network, trained, {batch({{0}}), batch({{1}}), batch({{2}})}, 0);
  EXPECT_NEAR(large.loss.item<float>(), small.loss.item<float>(), 2e-6);
  for (const auto& [name, want] : large.gradient) {
    float size = mx::max(mx::abs(want)).item<float>();
    float error =
        mx::max(mx::abs(want - small.gradient.at(name))).item<float>();
    EXPECT_GT(size, 0) << name;
    EXPECT_LT(error, 1e-5f * size) << name;
  }
}

// A network with an adapter that does something, and documents with prompts.
struct Fixture {
  Network network;
  Parameters trained;
  Dataset data;

  explicit Fixture(const fs::path& base) {
    network.config = read_config(base / "config.json");
    network.frozen = load_parameters(base, network.config, mx::float32);
    network.forward.lora_scale = 2;
    trained = init_lora(network.config, {}, 1);
    for (auto& [name, array] : trained) {
      array = array + mx::array(0.01f);
    }
    for (int n : {5, 17, 9, 2, 30, 11}) {
      TokenIds ids;
      for (int i = 0; i < n; ++i) {
        ids.push_back((i * 37 + n) % 256);
      }
      data.documents.push_back({ids, {{0, n / 4}}, 1});
    }
  }

  LossAndGradient at(const std::vector<Rows>& batches) const {
    std::vector<Batch> made;
    for (const Rows& rows : batches) {
      made.push_back(make_batch(data, rows));
    }
    return loss_and_gradient(network, trained, made, 0);
  }
};

void expect_same(
    const LossAndGradient& got, const LossAndGradient& want, float rounding) {
  auto value = [](mx::array x) {
    return x.item<float>();
  };
  EXPECT_NEAR(value(got.loss), value(want.loss), 2e-6);
  for (const auto& [name, gradient] : want.gradient) {
    const float size = value(mx::max(mx::abs(gradient)));
    const float error =
        value(mx::max(mx::abs(gradient - got.gradient.at(name))));
    EXPECT_GT(size, 0) << name;
    EXPECT_LE(error, rounding * size) << name;
  }
}

// Packed rows, in one batch and accumulated, beside a document a row.
TEST_F(Finetune, PackingIsTheSameTraining) {
  const Fixture f(folder_ / "base");
  const auto padded = f.at({{{0}, {1}, {2}, {3}, {4}, {5}}});
  const auto rows = pack(f.data, {0, 1, 2, 3, 4, 5}, 32);
  EXPECT_EQ(rows.size(), 3u);
  expect_same(f.at({rows}), padded, 1e-5f);
  expect_same(f.at({{rows[0]}, {rows[1], rows[2]}}), padded, 1e-5f);
}

TEST_F(Finetune, RecomputedLayersGiveTheSameBits) {
  Fixture f(folder_ / "base");
  f.network.forward.lora_dropout = 0.3f;
  const std::vector<Rows> batches{{{0, 1}, {2, 3}}, {{4}, {5}}};
  const auto kept = f.at(batches);
  for (int layers : {1, 2}) {
    f.network.forward.recomputed_layers = layers;
    expect_same(f.at(batches), kept, 0.0f);
  }
}

TEST_F(Finetune, PackedRunSaysWhatItGains) {
  auto o = options();
  o.pack = true;
  o.batch_size = 2;
  o.iters = 3;
  Recorder recorder;
  finetune(o, recorder);
  ASSERT_TRUE(recorder.plan.packing);
  EXPECT_GT(recorder.plan.packing->fill, 0.9);
  EXPECT_LE(recorder.plan.packing->fill, 1.0);
  EXPECT_GT(recorder.plan.packing->fewer_tokens, 1.0);
  // An evaluation of all documents is the same with and without packing.
  o.adapter_path = folder_ / "padded";
  o.pack = false;
  Recorder padded;
  finetune(o, padded);
  EXPECT_EQ(recorder.evals[0].target_tokens, padded.evals[0].target_tokens);
  EXPECT_NEAR(recorder.evals[0].loss, padded.evals[0].loss, 1e-5);
}

// Logits in pieces change neither loss nor gradient, tied heads among them.
TEST_F(Finetune, LogitsInPiecesAreTheSame) {
  for (bool tied : {false, true}) {
    auto json = small_config();
    json["tie_word_embeddings"] = tied;
    Network network;
    network.config = parse_config(json.dump(), "test");
    Parameters trained = init_parameters(network.config, mx::float32, 2);
    Dataset data;
    data.documents.push_back({{1, 5, 2, 9, 30, 7, 8, 9}, {{0, 2}}, 1});
    data.documents.push_back({{3, 250, 17}, {}, 1});
    std::vector<Batch> batches{make_batch(data, {{0}, {1}})};
    auto whole = loss_and_gradient(network, trained, batches, 0);
    network.loss_bytes = 3 * 256 * 4 + 1;
    auto pieces = loss_and_gradient(network, trained, batches, 0);
    EXPECT_NEAR(whole.loss.item<float>(), pieces.loss.item<float>(), 2e-6);
    for (const auto& [name, want] : whole.gradient) {
      float size = mx::max(mx::abs(want)).item<float>();
      float error =
          mx::max(mx::abs(want - pieces.gradient.at(name))).item<float>();
      EXPECT_LT(error, 1e-5f * size) << name;
    }
  }
}

// The gradient against central differences along random directions.
TEST_F(Finetune, GradientIsThatOfTheLoss) {
  Network network;
  network.config = read_config(folder_ / "base/config.json");
  Parameters trained =
      load_parameters(folder_ / "base", network.config, mx::float32);
  Dataset data;
  data.documents.push_back({{1, 5, 2, 9, 30, 7}, {{0, 2}}, 1});
  std::vector<Batch> batches{make_batch(data, {{0}})};
  auto at = loss_and_gradient(network, trained, batches, 0);
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  auto direction =
      mx::random::normal(trained.at(name).shape(), mx::random::key(3));
  auto moved = [&](float by) {
    Parameters p = trained;
    p.at(name) = p.at(name) + mx::array(by) * direction;
    return double(loss_and_gradient(network, p, batches, 0).loss.item<float>());
  };
  double slope = (moved(1e-3f) - moved(-1e-3f)) / 2e-3;
  double want = mx::sum(at.gradient.at(name) * direction).item<float>();
  EXPECT_NEAR(slope, want, 5e-3 * std::max(1.0, std::abs(want)));
}

} // namespace

} // namespace tessera::train
