#include "tessera/doctor.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "cli/attention_flags.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "tessera/error.h"

namespace tessera::cli {
namespace {

struct Options {
  std::vector<std::filesystem::path> out;
  bool quick = false;
  bool json = false;
  bool force = false;
};

void add_files(OutputFiles& files, const Options& o, const Diagnosis& found) {
  for (const auto& path : o.out) {
    const auto kind = path.extension();
    if (kind != ".json" && kind != ".html") {
      reject(
          "doctor",
          "expected a file .json or .html for --out; got {}",
          path.string());
    }
    files.add("--out", path, [&found, html = kind == ".html"] {
      return html ? diagnosis_html(found) : diagnosis_json(found);
    });
  }
}

void print_head(const SystemInfo& info, const Diagnosis& found) {
  fmt::print(
      "tessera         {}, mlx {}\n"
      "processor       {}, {} threads, {} kernels\n"
      "gpu             {}\n"
      "matmul          {:.0f} GF/s\n",
      found.tessera_version,
      info.mlx_version,
      info.processor,
      info.threads,
      info.instruction_set,
      info.gpu.empty() ? "none" : info.gpu,
      found.matmul_gflops);
}

void print(const Diagnosis& found) {
  print_head(found.system, found);
  for (const auto* backend : {"cpu", "metal"}) {
    int count = 0;
    int right = 0;
    double worst = 0;
    for (const auto& one : found.cases) {
      if (one.backend != backend) {
        continue;
      }
      ++count;
      right += one.failed.empty();
      for (const auto& [name, error] : one.errors) {
        worst = std::max(worst, error);
      }
    }
    if (count > 0) {
      fmt::print(
          "{:<16}{} of {} calls right, the worst at {:.2g} of the tolerance\n",
          backend,
          right,
          count,
          worst);
    }
  }
  for (const auto& one : found.cases) {
    if (!one.failed.empty()) {
      fmt::print(
          "WRONG           {}, {}: {}\n",
          one.backend,
          describe(one.attention),
          one.failed);
      for (const auto& [pass, plan] : one.plans) {
        fmt::print("                {}: {}\n", pass, plan);
      }
    }
  }
}

void run(const Options& o) {
  Diagnosis found;
  OutputFiles files("doctor");
  add_files(files, o, found);
  files.check(o.force);
  InterruptGuard interrupt;
  ProgressLine progress(stderr_is_terminal());
  found = diagnose(
      {.quick = o.quick}, [&](const ExaminedCase& one, int done, int count) {
        progress.show(fmt::format(
            "{} of {}: {}, {}",
            done,
            count,
            one.backend,
            describe(one.attention)));
        return !interrupt.requested();
      });
  progress.clear();
  if (o.json) {
    fmt::print("{}", diagnosis_json(found));
  } else {
    print(found);
  }
  files.write(o.force);
  if (found.interrupted) {
    throw Interrupted("stopped; what was examined is kept");
  }
  if (!found.healthy()) {
    fail("doctor", "expected right results in every call; got some wrong ones");
  }
}

} // namespace

void add_doctor(CLI::App& program) {
  auto* command = program.add_subcommand(
      "doctor", "Examine attention on this machine, and write a report");
  auto options = std::make_shared<Options>();
  command
      ->add_option(
          "--out", options->out, "A report to send, .json or .html, or both")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(a_name())
      ->option_text("FILE");
  command->add_flag("--quick", options->quick, "A seventh of the calls");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->add_flag("--force", options->force, "Replace files that exist");
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
