#include "tessera/fuse.h"

#include <fmt/core.h>

#include <memory>

#include "cli/command.h"
#include "cli/flags.h"

namespace tessera::cli {

void add_fuse(CLI::App& program) {
  auto* command = program.add_subcommand(
      "fuse", "Write a model with an adapter in it as a Hugging Face folder");
  auto options = std::make_shared<FuseOptions>();
  command->add_option("--model", options->model, "Hugging Face folder")
      ->required();
  command
      ->add_option(
          "--adapter-path",
          options->adapter_path,
          "Folder of a LoRA adapter, mlx-lm's or PEFT's")
      ->required();
  command->add_option("--save-path", options->save_path, "The folder to make")
      ->required();
  command
      ->add_option(
          "--max-shard-size",
          options->max_shard_size,
          "Of a file of weights, such as 2GB; more make shards; default 5GB")
      ->transform(CLI::AsSizeValue(true));
  add_base_flag(*command, options->allow_other_base);
  add_dtype_flag(
      *command, options->dtype, "Of the weights; default the model's own");
  command->callback([options] {
    fuse(*options);
    fmt::print("{}\n", options->save_path.string());
  });
}

} // namespace tessera::cli
