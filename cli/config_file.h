#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>

namespace tessera::cli {

// Gives each option of `command` that the command line left out the value that
// a YAML file has for it. Keys are the flags' names with underscores
// ("batch_size" for --batch-size); mlx-lm's two nested tables are read too:
//   lora_parameters: {rank, alpha, scale, dropout, keys} -> --lora-*
//   lr_schedule: {name, warmup, min_lr}                  -> --lr-*
// Its keys for what there is no flag for may stand there switched off.
// An unknown key or a value of the wrong type is an InputError with the line.
void apply_config_file(CLI::App& command, const std::filesystem::path& file);

} // namespace tessera::cli
