#include <fmt/core.h>

#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "cli/command.h"
#include "cli/flags.h"
#include "tessera/dataset.h"
#include "tessera/generate.h"

namespace tessera::cli {
namespace {

struct Options {
  ModelFlags model;
  std::filesystem::path data;
  bool json = false;
};

struct Total {
  double loss = 0.0; // summed over tokens
  std::int64_t tokens = 0;
};

nlohmann::json score_document(
    const LoadedModel& loaded, const Document& document, Total& total) {
  const auto logprobs = document.tokens.size() < 2
      ? std::vector<float>()
      : score(
            loaded.config, loaded.parameters, document.tokens, loaded.forward);
  const double sum = std::accumulate(logprobs.begin(), logprobs.end(), 0.0);
  total.loss -= sum;
  total.tokens += static_cast<std::int64_t>(logprobs.size());
  nlohmann::json line = {{"tokens", document.tokens}, {"logprobs", logprobs}};
  // A document of one token predicts nothing.
  line["loss"] = logprobs.empty()
      ? nlohmann::json(nullptr)
      : nlohmann::json(-sum / static_cast<double>(logprobs.size()));
  return line;
}

void run(const Options& options) {
  const auto loaded = load_model(options.model);
  const auto data = read_dataset(
      options.data,
      loaded.tokenizer,
      {.tokenizer_folder = options.model.model});
  Total total;
  for (const auto& document : data.documents) {
    const auto line = score_document(loaded, document, total);
    if (options.json && !(std::cout << line.dump() << '\n')) {
      return; // the program says so
    }
  }
  if (!options.json) {
    const double mean = total.tokens == 0
        ? std::nan("")
        : total.loss / static_cast<double>(total.tokens);
    std::cout << fmt::format(
        "{} documents, {} tokens scored, loss {:.4f}, perplexity {:.2f}\n",
        data.documents.size(),
        total.tokens,
        mean,
        std::exp(mean));
  }
}

} // namespace

void add_score(CLI::App& program) {
  auto* command = program.add_subcommand(
      "score", "Log-probability of each token of each document");
  auto options = std::make_shared<Options>();
  add_model_flags(*command, options->model);
  command
      ->add_option(
          "--data",
          options->data,
          "A .jsonl of {text}, {prompt, completion} or {messages}, or a .txt")
      ->required();
  command->add_flag(
      "--json",
      options->json,
      "A line a document: {\"tokens\", \"logprobs\", \"loss\"}");
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
