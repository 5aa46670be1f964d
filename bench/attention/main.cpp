#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>

#include "backend/cpu/launch.h"
#include "cli/attention_flags.h"
#include "table.h"
#include "tessera/error.h"

// The rate of the CPU's kernels beside what the machine can do.
namespace tessera::bench {
namespace {

struct Options {
  cli::AttentionFlags attention;
  Setting setting;
  bool table = false;
  std::string only;
  int rounds = 7;
};

void add_flags(CLI::App& app, Options& o) {
  static const std::map<std::string, Isa> isas = {
      {"portable", Isa::portable},
      {"avx2", Isa::avx2},
      {"avx512", Isa::avx512},
      {"avx512_bf16", Isa::avx512_bf16},
      {"amx", Isa::amx}};
  cli::add_case_flags(app, o.attention);
  app.add_option("--isa", o.setting.device.isa, "Default: the best there is")
      ->transform(CLI::CheckedTransformer(isas));
  app.add_option("--threads", o.setting.device.threads)
      ->check(CLI::Range(1, 1024));
  app.add_option("--rows", o.setting.blocks.rows, "Of a block; with --columns");
  app.add_option("--columns", o.setting.blocks.columns)
      ->needs(app.get_option("--rows"));
  app.get_option("--rows")->needs(app.get_option("--columns"));
  app.add_option("--rounds", o.rounds)->check(CLI::Range(1, 1000000));
  app.add_flag("--table", o.table, "The whole speed table");
  app.add_option("--only", o.only, "Of the table, rows that hold this text");
}

Group one_case(const Options& o) {
  const auto c = o.attention.value();
  Group group{describe(c), tessera_cpu(c, o.setting), {}};
  const auto sgemm = group.contenders.size();
  group.contenders.push_back(openblas_sgemm(2048));
  for (std::size_t i = 0; i < sgemm; ++i) {
    group.ratios.push_back(
        {group.contenders[i].name + " / sgemm", i, sgemm, 0});
  }
  return group;
}

int run(const Options& o) {
  fmt::print(
      "{}, {} threads, medians of {} rounds (quartiles)\n",
      name(o.setting.device.isa),
      o.setting.device.threads,
      o.rounds);
  if (!o.table) {
    measure(one_case(o), o.rounds);
    return 0;
  }
  int short_of = 0;
  for (const auto& row : speed_table(o.setting)) {
    if (row.name.find(o.only) != std::string::npos) {
      short_of += measure(row.make(), o.rounds);
    }
  }
  fmt::print("{} ratios fell short of their targets\n", short_of);
  return 0;
}

} // namespace
} // namespace tessera::bench

int main(int argc, char** argv) {
  CLI::App app{"Rate of attention on the CPU beside what the machine can do"};
  tessera::bench::Options options;
  options.setting.device = tessera::cpu::this_device();
  tessera::bench::add_flags(app, options);
  CLI11_PARSE(app, argc, argv);
  const int block = options.attention.attention.block_size;
  if (block != 0) {
    options.setting.blocks = {block, block};
  }
  try {
    return tessera::bench::run(options);
  } catch (const tessera::InputError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
