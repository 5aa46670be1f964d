#include "bench/tune/tune.h"

#include <fmt/format.h>

#include <memory>
#include <utility>
#include <variant>

#include "bench/tune/file.h"
#include "cli/attention_flags.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "tessera/error.h"

namespace tessera::cli {
namespace {

struct Options {
  AttentionFlags attention;
  GridFlags grid;
  MeasureFlags measure;
  TableFlag table;
  bool force = false;
};

void print(const TunedPass& one) {
  fmt::print(
      "{:<8}  {}\n"
      "          {} x {} of {} candidates: {:.4g} ms; planned {:.4g} ms{}\n",
      one.pass,
      describe(one.attention),
      one.best.rows,
      one.best.columns,
      one.candidates,
      one.seconds * 1e3,
      one.planned_seconds * 1e3,
      one.mlx_seconds
          ? fmt::format("; MLX's op {:.4g} ms", *one.mlx_seconds * 1e3)
          : "");
  std::fflush(stdout);
}

void run(const Options& o) {
  const auto file = o.table.file();
  if (!file) {
    reject("tune", "expected a file for --table; got none");
  }
  check_table_file(*file, o.force);
  auto before = load_table(*file);
  if (std::holds_alternative<std::string>(before)) {
    before = Table{};
  }
  TuneOptions options;
  options.cases = grid_of(o.attention, o.grid).cases();
  options.forward = o.measure.has("forward");
  options.backward = o.measure.has("backward");
  options.rounds = o.measure.rounds;
  InterruptGuard interrupt;
  const auto found =
      tune(std::move(std::get<Table>(before)), options, print, [&] {
        return interrupt.requested();
      });
  save_table(found, *file, o.force);
  if (!found.empty()) {
    fmt::print("saved     {} ({} entries)\n", file->string(), found.size());
  }
  if (interrupt.requested()) {
    throw Interrupted(
        found.empty() ? "stopped before anything was tuned"
                      : "stopped; what was tuned is saved");
  }
}

} // namespace

void add_tune(CLI::App& program) {
  auto* command = program.add_subcommand(
      "tune", "Measure block sizes of attention on this machine and save them");
  auto options = std::make_shared<Options>();
  options->attention.attention.implementation = Implementation::tessera;
  add_case_flags(*command, options->attention);
  add_grid_flags(*command, options->grid);
  add_measure_flags(*command, options->measure);
  add_table_flag(*command, options->table);
  command->add_flag(
      "--force", options->force, "Replace a table that cannot be read");
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
