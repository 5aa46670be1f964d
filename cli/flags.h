#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tessera/model.h"
#include "tessera/tokenizer.h"

namespace tessera::cli {

// Passes 0, 1, 2, ... as digits only.
CLI::Validator whole_number();

// What --use-flash-attention and --flash-block-size ask for.
void add_attention_flags(
    CLI::App& command, Implementation& implementation, int& block_size);

// --dtype {float32,float16,bfloat16}; absent: float32 on the CPU, where MLX's
// 16-bit matmul is slow, bfloat16 elsewhere.
void add_dtype_flag(
    CLI::App& command,
    std::optional<mx::Dtype>& dtype,
    const std::string& description =
        "Compute type; default float32 on the CPU, bfloat16 elsewhere");

// Checks an option's text against a table of names and stores what it names.
template <typename T>
CLI::Option* add_choice(
    CLI::App& command,
    const std::string& flags,
    T& value,
    const std::map<std::string, T>& names,
    const std::string& description) {
  auto* option = command.add_option_function<std::string>(
      flags,
      [&value, names](const std::string& name) { value = names.at(name); },
      description);
  std::vector<std::string> allowed;
  for (const auto& [name, unused] : names) {
    allowed.push_back(name);
  }
  return option->check(CLI::IsMember(allowed));
}

// A model that is ready to run, as --model, --adapter-path, --dtype and the
// attention flags describe it.
struct ModelFlags {
  std::filesystem::path model;
  std::filesystem::path adapter_path;
  bool allow_other_base = false;
  std::optional<mx::Dtype> dtype;
  Implementation implementation = Implementation::automatic;
  int block_size = 0;
};

void add_model_flags(CLI::App& command, ModelFlags& flags);

// --allow-other-base
void add_base_flag(CLI::App& command, bool& allow);

struct LoadedModel {
  ModelConfig config;
  Parameters parameters;
  Tokenizer tokenizer;
  ForwardOptions forward;
};

LoadedModel load_model(const ModelFlags& flags);

} // namespace tessera::cli
