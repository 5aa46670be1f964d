#include "tessera/bench.h"

#include <filesystem>
#include <memory>

#include "cli/attention_flags.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/output_files.h"

namespace tessera::cli {
namespace {

struct Options {
  AttentionFlags attention;
  GridFlags grid;
  MeasureFlags measure;
  TableFlag table;
  bool all_gradients = false;
  std::string torch;
  std::filesystem::path csv;
  std::filesystem::path json;
  std::filesystem::path report;
  bool force = false;
};

BenchmarkOptions benchmark_options(const Options& o) {
  BenchmarkOptions options;
  options.grid = grid_of(o.attention, o.grid);
  options.forward = o.measure.has("forward");
  options.backward = o.measure.has("backward");
  options.all_gradients = o.all_gradients;
  options.rounds = o.measure.rounds;
  options.torch = o.torch;
  return options;
}

void run(const Options& o) {
  BenchmarkResult result;
  OutputFiles files("bench");
  files.add("--csv", o.csv, [&] { return benchmark_csv(result); });
  files.add("--json", o.json, [&] { return benchmark_json(result); });
  files.add("--report", o.report, [&] { return benchmark_html(result); });
  files.check(o.force);
  use_saved_table(o.table);
  InterruptGuard interrupt;
  BenchReport report(interrupt);
  result = benchmark_attention(benchmark_options(o), &report);
  finish(result, files, o.force);
}

void add_output_flags(CLI::App& command, Options& o) {
  command.option_defaults()->group("Output");
  command.add_option("--csv", o.csv, "One line a pass")
      ->check(a_name())
      ->option_text("FILE");
  command.add_option("--json", o.json, "One object")
      ->check(a_name())
      ->option_text("FILE");
  command.add_option("--report", o.report, "A page with plots")
      ->check(a_name())
      ->option_text("FILE.html");
  command.add_flag("--force", o.force, "Replace files that exist");
}

} // namespace

void add_bench(CLI::App& program) {
  auto* bench = program.add_subcommand("bench", "Time what Tessera computes");
  bench->require_subcommand(1);
  auto* command = bench->add_subcommand(
      "attention", "Time attention beside MLX's own op, and PyTorch's");
  auto options = std::make_shared<Options>();
  options->attention.attention.implementation = Implementation::tessera;
  add_case_flags(*command, options->attention);
  add_grid_flags(*command, options->grid);
  add_measure_flags(*command, options->measure);
  add_table_flag(*command, options->table);
  command->add_flag(
      "--all-gradients",
      options->all_gradients,
      "Differentiate the bias, the slopes and the sinks too");
  command
      ->add_option(
          "--torch", options->torch, "A Python with PyTorch, timed beside")
      ->check(a_name())
      ->option_text("PYTHON");
  add_output_flags(*command, *options);
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
