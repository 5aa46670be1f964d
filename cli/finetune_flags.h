#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "tessera/finetune.h"

namespace tessera::cli {

// Gives the command every option of a run of training, and -c for a YAML file
// with them; calls `run` with what they say.
void on_finetune_options(
    CLI::App& command, std::function<void(const FinetuneOptions&)> run);

} // namespace tessera::cli
