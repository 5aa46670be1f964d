#include "train/run/folder.h"

#include "train/small_run.h"

namespace tessera::train {

namespace {

class RunFolder : public SmallRun {
 protected:
  std::string refused(const FinetuneOptions& o) const {
    return refusal([&] { finetune(o); });
  }

  nlohmann::json json(const std::string& file) const {
    return nlohmann::json::parse(read_text(folder_ / "run" / file));
  }
};

TEST_F(RunFolder, HoldsWhatItPromises) {
  finetune(options());
  auto config = json("config.json");
  EXPECT_EQ(config["options"]["learning_rate"], 1e-2);
  EXPECT_EQ(config["options"]["lora_parameters"]["rank"], 4);
  EXPECT_EQ(config["options"]["dtype"], "float32");
  EXPECT_EQ(config["mlx"], mx::version());
  EXPECT_FALSE(config["attention"]["reason"].get<std::string>().empty());
  EXPECT_TRUE(json("adapter_config.json").contains("lora_parameters"));
  EXPECT_TRUE(fs::exists(folder_ / "run/adapters.safetensors"));
  EXPECT_TRUE(fs::exists(folder_ / "run/checkpoints/step-0000006"));

  std::ifstream in(folder_ / "run/metrics.jsonl");
  std::vector<int> steps;
  std::vector<int> evals;
  for (std::string line; std::getline(in, line);) {
    auto metrics = nlohmann::json::parse(line);
    (metrics.contains("loss") ? steps : evals).push_back(metrics["step"]);
    if (metrics.contains("loss")) {
      EXPECT_GT(metrics["tokens_per_second"], 0.0);
      EXPECT_GT(metrics["peak_memory_gib"], 0.0);
      EXPECT_EQ(metrics["learning_rate"], 1e-2);
    } else {
      EXPECT_GT(metrics["perplexity"], 1.0);
    }
  }
  EXPECT_EQ(steps, (std::vector{2, 4, 6}));
  EXPECT_EQ(evals, (std::vector{0, 3, 6}));
}

TEST_F(RunFolder, ReportHoldsTheRunAndNeedsNoNetwork) {
  auto o = options();
  o.adapter_path = folder_ / "run </script>";
  finetune(o);
  std::string html = read_text(o.adapter_path / "report.html");
  std::string open = R"(<script type="application/json" id="run">)";
  auto begin = html.find(open);
  ASSERT_NE(begin, std::string::npos);
  begin += open.size();
  auto run = nlohmann::json::parse(
      html.substr(begin, html.find("</script>", begin) - begin));
  EXPECT_EQ(run["status"], "finished");
  EXPECT_EQ(run["metrics"].size(), 6u);
  EXPECT_EQ(run["config"]["options"]["adapter_path"], o.adapter_path.string());
  EXPECT_TRUE(html.ends_with("</html>\n"));
  for (const char* outside : {"src=", "href=", "url(", "@import"}) {
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  }
}

TEST_F(RunFolder, ProfileSaysWhatAttentionTook) {
  const std::vector<std::string> timed = {
      "attention_time_ms",
      "attention_forward_ms",
      "attention_backward_ms",
      "attention_share_pct",
      "attention_gflops",
      "attention_forward_gflops",
      "attention_backward_gflops",
      "attention_moved_mb",
      "alu_utilization_pct"};
  for (bool flash : {true, false}) {
    auto o = options(flash ? "on" : "off");
    o.profile_attention = true;
    o.use_flash_attention =
        flash ? Implementation::tessera : Implementation::mlx;
    Recorder recorder;
    finetune(o, recorder);
    std::ifstream in(o.adapter_path / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      auto metrics = nlohmann::json::parse(line);
      if (!metrics.contains("loss")) {
        continue;
      }
      EXPECT_TRUE(metrics["gpu_utilization_pct"].is_null());
      EXPECT_GT(metrics["memory_usage_mb"], 1.0);
      for (const std::string& name : timed) {
        EXPECT_EQ(metrics[name].is_number(), flash) << name;
        EXPECT_TRUE(!flash || metrics[name] > 0.0) << name;
      }
      if (flash) {
        EXPECT_DOUBLE_EQ(
            metrics["attention_time_ms"],
            double(metrics["attention_forward_ms"]) +
                double(metrics["attention_backward_ms"]));
        EXPECT_LT(metrics["attention_share_pct"], 100.0);
      }
    }
    EXPECT_EQ(recorder.steps.back().attention.has_value(), flash);
    auto config =
        nlohmann::json::parse(read_text(o.adapter_path / "config.json"));
    auto layers = config["attention"]["layers"];
    ASSERT_EQ(layers.size(), 1u);
    EXPECT_EQ(layers[0]["first"], 0);
    EXPECT_EQ(layers[0]["last"], 1);
    EXPECT_EQ(layers[0]["name"], flash ? "tessera/cpu" : "mlx");
    EXPECT_GT(config["peak_gflops"], 0.0);
  }
}

TEST_F(RunFolder, IsNotOverwrittenUnlessForced) {
  finetune(options());
  auto adapters = read_text(folder_ / "run/adapters.safetensors");
  auto o = options();
  o.seed = 5;
  auto text = refused(o);
  EXPECT_NE(text.find("--force"), std::string::npos) << text;
  EXPECT_EQ(read_text(folder_ / "run/adapters.safetensors"), adapters);
  o.force = true;
  o.iters = 1;
  EXPECT_EQ(refused(o), "");
  EXPECT_NE(read_text(folder_ / "run/adapters.safetensors"), adapters);
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoints/step-0000006"));
}

TEST_F(RunFolder, ForceTouchesNothingThatIsNoRun) {
  auto o = options("base"); // the model's own folder
  o.force = true;
  auto config = read_text(folder_ / "base/config.json");
  auto text = refused(o);
  EXPECT_NE(text.find("config.json of something else"), std::string::npos)
      << text;
  EXPECT_EQ(read_text(folder_ / "base/config.json"), config);
  EXPECT_FALSE(fs::exists(folder_ / "base/.lock"));
}

TEST_F(RunFolder, KeepsASecondRunOutWhileItLasts) {
  class Second : public FinetuneObserver {
   public:
    explicit Second(std::function<void()> meet) : meet_(std::move(meet)) {}
    void stepped(const StepReport& report) override {
      if (report.step == 3) {
        meet_();
      }
    }

   private:
    std::function<void()> meet_;
  };
  int met = 0;
  Second observer([&] {
    for (const bool force : {true, false}) {
      auto o = options();
      o.force = force;
      o.resume = !force;
      const auto text = refused(o);
      EXPECT_NE(text.find("no other process"), std::string::npos) << text;
      EXPECT_NE(text.find((folder_ / "run").string()), std::string::npos);
      ++met;
    }
    EXPECT_EQ(refused(options("elsewhere")), "");
  });
  finetune(options(), observer);
  EXPECT_EQ(met, 2);
  const auto text = [&](const char* run, const char* file) {
    return read_text(folder_ / run / file);
  };
  EXPECT_EQ(
      text("run", "adapters.safetensors"),
      text("elsewhere", "adapters.safetensors"));
  auto o = options();
  o.force = true;
  EXPECT_EQ(refused(o), ""); // it has ended
}

TEST_F(RunFolder, OtherFilesInItAreLeftAlone) {
  fs::create_directories(folder_ / "run");
  write_text(folder_ / "run/notes.txt", "mine");
  finetune(options());
  auto o = options();
  o.force = true;
  finetune(o);
  EXPECT_EQ(read_text(folder_ / "run/notes.txt"), "mine");
}

TEST_F(RunFolder, WhatAKilledProcessLeftIsRemovedAndNothingElse) {
  const auto run = folder_ / "run";
  finetune(options());
  const std::vector<std::string> left = {
      "metrics.jsonl.tessera-0123abcd.tmp",
      "probe.tessera-ffffffff.tmp",
      "peft/adapter_config.json.tessera-00000000.tmp"};
  const std::vector<std::string> others = {
      "metrics.jsonl.tmp",
      "report.html.tmp",
      ".writable",
      ".tessera-01234567.tmp",
      "a.tessera-0123456.tmp",
      "a.tessera-0123456g.tmp",
      "a.tessera-01234567.tmp.txt",
      "peft/adapter_config.json.tmp"};
  for (const auto* names : {&left, &others}) {
    for (const auto& name : *names) {
      write_text(run / name, "mine");
    }
  }
  auto o = options();
  o.resume = true;
  o.iters = 8;
  finetune(o);
  for (const auto& name : left) {
    EXPECT_FALSE(fs::exists(run / name)) << name;
  }
  for (const auto& name : others) {
    EXPECT_EQ(read_text(run / name), "mine") << name;
  }
}

// Killed behind the last save, before older checkpoints were gone.
TEST_F(RunFolder, AFinishedRunIsPrunedWhereItIsResumed) {
  finetune(options());
  const auto checkpoints = folder_ / "run/checkpoints";
  fs::create_directories(checkpoints / "step-0000000.unfinished");
  fs::copy(checkpoints / "step-0000002", checkpoints / "step-0000001");
  auto o = options();
  o.resume = true;
  finetune(o);
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    left.insert(entry.path().filename());
  }
  EXPECT_EQ(
      left,
      (std::set<std::string>{"step-0000002", "step-0000004", "step-0000006"}));
}

TEST_F(RunFolder, NothingIsWrittenWhereTheInputIsBad) {
  finetune(options());
  auto metrics = read_text(folder_ / "run/metrics.jsonl");
  write_text(folder_ / "data/train.jsonl", "{\"text\": 3}\n");
  auto o = options();
  o.force = true;
  EXPECT_NE(refused(o), "");
  EXPECT_EQ(read_text(folder_ / "run/metrics.jsonl"), metrics);
}

TEST_F(RunFolder, AnUnwritablePlaceIsNamed) {
  write_text(folder_ / "file", "");
  auto o = options("file/run");
  auto text = refused(o);
  EXPECT_NE(text.find("file/run"), std::string::npos) << text;
  EXPECT_NE(text.find("--adapter-path"), std::string::npos) << text;
}

TEST_F(RunFolder, OptionsOutOfRangeAreNamed) {
  struct Case {
    const char* name;
    void (*change)(FinetuneOptions&);
  };
  for (auto [name, change] : std::initializer_list<Case>{
           {"iters",
            [](auto& o) {
              o.iters = 0;
            }},
           {"batch_size",
            [](auto& o) {
              o.batch_size = 0;
            }},
           {"learning_rate",
            [](auto& o) {
              o.learning_rate = -1;
            }},
           {"learning_rate",
            [](auto& o) {
              o.learning_rate = NAN;
            }},
           {"beta2",
            [](auto& o) {
              o.beta2 = 1;
            }},
           {"max_seq_length",
            [](auto& o) {
              o.max_seq_length = 1;
            }},
           {"dropout",
            [](auto& o) {
              o.lora.dropout = -0.1;
            }},
           {"--model or --init",
            [](auto& o) {
              o.model.clear();
            }},
           {"--data",
            [](auto& o) {
              o.data.clear();
            }},
           {"--resume",
            [](auto& o) {
              o.resume = o.force = true;
            }},
           {"test_batches",
            [](auto& o) {
              o.test = true;
              o.test_batches = 0;
            }},
           {"val_batches", [](auto& o) {
              o.val_batches = -2;
            }}}) {
    auto o = options();
    change(o);
    auto text = refused(o);
    EXPECT_NE(text.find(name), std::string::npos) << name << ": " << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
}

TEST_F(RunFolder, InterruptedReportSaysSo) {
  auto o = options();
  Recorder recorder;
  recorder.stop_after = 3;
  finetune(o, recorder);
  EXPECT_NE(
      read_text(folder_ / "run/report.html").find("\"status\":\"interrupted\""),
      std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "run/adapters.safetensors"));
  EXPECT_TRUE(
      fs::exists(folder_ / "run/checkpoints/step-0000003/adapter_config.json"));
}

} // namespace

} // namespace tessera::train
