#pragma once

#include <CLI/CLI.hpp>

namespace tessera::cli {

// Each adds its subcommand to the program; the subcommand's callback runs it.
void add_finetune(CLI::App& program);
void add_plan(CLI::App& program);
void add_fuse(CLI::App& program);
void add_generate(CLI::App& program);
void add_score(CLI::App& program);
void add_info(CLI::App& program);
void add_bench(CLI::App& program);
void add_tune(CLI::App& program);
void add_explain(CLI::App& program);
void add_kernel(CLI::App& program);
void add_doctor(CLI::App& program);

} // namespace tessera::cli
