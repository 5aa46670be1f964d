#include "tessera/generate.h"

#include <fmt/core.h>

#include <chrono>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "tessera/chat.h"
#include "tessera/error.h"

namespace tessera::cli {
namespace {

struct Options {
  ModelFlags model;
  GenerateOptions generate;
  std::string prompt;
  bool ignore_eos = false;
  bool chat = false;
  std::string system;
};

std::string read_stdin() {
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

// The prompt as it is, or as a user's message in the model's chat template.
TokenIds encode_prompt(
    const Options& options,
    const Tokenizer& tokenizer,
    const std::string& text) {
  if (!options.chat) {
    if (!options.system.empty()) {
      reject("generate", "expected --chat with --system; got --system alone");
    }
    return tokenizer.encode(text);
  }
  const auto chat = load_chat_template(options.model.model);
  std::vector<ChatMessage> messages;
  if (!options.system.empty()) {
    messages.push_back({"system", options.system});
  }
  messages.push_back({"user", text});
  std::string whole;
  for (const auto& part : render_chat(chat, messages)) {
    whole += part.text;
  }
  whole += generation_prompt(chat);
  return tokenizer.encode(whole, false);
}

void run(const Options& options) {
  auto loaded = load_model(options.model);
  auto settings = options.generate;
  settings.forward = loaded.forward;
  if (options.ignore_eos) {
    loaded.config.eos_token_ids.clear();
  }
  const auto prompt = encode_prompt(
      options,
      loaded.tokenizer,
      options.prompt == "-" ? read_stdin() : options.prompt);
  if (prompt.empty()) {
    reject("generate", "expected a prompt of at least one token; got none");
  }

  StreamDecoder decoder(loaded.tokenizer);
  InterruptGuard interrupt;
  const auto print = [](const std::string& piece) {
    std::cout << piece << std::flush;
  };
  const auto start = std::chrono::steady_clock::now();
  const auto ids = generate(
      loaded.config, loaded.parameters, prompt, settings, [&](std::int32_t id) {
        print(decoder.push(id));
        return std::cout.good() && !interrupt.requested();
      });
  print(decoder.flush() + "\n");

  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  if (stderr_is_terminal()) {
    fmt::print(
        stderr,
        "{} tokens of prompt, {} generated, {:.1f} tokens/s\n",
        prompt.size(),
        ids.size(),
        static_cast<double>(ids.size()) / took.count());
  }
  if (interrupt.requested()) {
    throw Interrupted(fmt::format("stopped after {} tokens", ids.size()));
  }
}

} // namespace

void add_generate(CLI::App& program) {
  auto* command = program.add_subcommand(
      "generate", "Continue a prompt; the text is streamed as it comes");
  auto options = std::make_shared<Options>();
  add_model_flags(*command, options->model);
  command
      ->add_option(
          "--prompt",
          options->prompt,
          "Text to continue; - reads standard input")
      ->required();
  command->add_flag(
      "--chat",
      options->chat,
      "The prompt is a user's message, in the model's chat template");
  command->add_option(
      "--system", options->system, "With --chat: the system message");
  auto& generate = options->generate;
  command
      ->add_option(
          "--max-tokens", generate.max_tokens, "Most tokens to generate")
      ->check(whole_number())
      ->capture_default_str();
  command
      ->add_option(
          "--temp",
          generate.temperature,
          "Sampling temperature; 0 takes the most likely token")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command
      ->add_option(
          "--top-p",
          generate.top_p,
          "Sample from the smallest set of this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", generate.seed, "Of the sampling")
      ->check(whole_number())
      ->capture_default_str();
  command->add_flag(
      "--ignore-eos", options->ignore_eos, "Go on past an end token");
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
