#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>

#include "cli/blas.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "tessera/error.h"
#include "tessera/warning.h"

namespace {

constexpr int kInternalFault = 1;
constexpr int kInputFault = 2;

// One line, whatever the text holds: a terminal and a log both keep it whole.
int report(int code, std::string_view text) {
  std::string line(text);
  while (!line.empty() && line.back() == '\n') {
    line.pop_back();
  }
  for (char& c : line) {
    c = c == '\n' ? ' ' : c;
  }
  // fmt::print would throw where standard error is full too.
  std::fputs(fmt::format("tessera: {}\n", line).c_str(), stderr);
  return code;
}

// Whether something that was said got lost: on a full disk, for one.
bool output_failed() {
  std::cout.flush();
  return std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
}

int report_output() {
  return report(
      kInputFault,
      "[output] expected a standard output that can be written; got an error; "
      "free space there or choose another place");
}

} // namespace

int main(int argc, char** argv) {
  tessera::cli::restart_with_fitting_kernels(argv);
  tessera::set_warning_handler(
      [](const std::string& text) { report(0, "warning: " + text); });
  // A write beyond the limit of a file's size then fails, and is reported like
  // a full disk, instead of ending the program.
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App program{
      "Fine-tune Llama, Mistral and Qwen models with attention "
      "that trains in linear memory."};
  program.name("tessera");
  program.set_version_flag("--version", TESSERA_VERSION);
  // A flag given twice means its last value, as in argparse.
  program.option_defaults()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);
  tessera::cli::add_finetune(program);
  tessera::cli::add_plan(program);
  tessera::cli::add_fuse(program);
  tessera::cli::add_generate(program);
  tessera::cli::add_score(program);
  tessera::cli::add_info(program);
  tessera::cli::add_bench(program);
  tessera::cli::add_tune(program);
  tessera::cli::add_explain(program);
  tessera::cli::add_kernel(program);
  tessera::cli::add_doctor(program);

  try {
    program.parse(argc, argv);
    if (program.get_subcommands().empty()) {
      tessera::reject(
          "tessera", "expected a subcommand; got none (see --help)");
    }
    return output_failed() ? report_output() : 0;
  } catch (const CLI::Success& done) { // --help, --version
    const int code = program.exit(done);
    return output_failed() ? report_output() : code;
  } catch (const CLI::ParseError& error) {
    return report(kInputFault, fmt::format("{} (see --help)", error.what()));
  } catch (const tessera::cli::Interrupted& stop) {
    return report(tessera::cli::kInterruptedExit, stop.what());
  } catch (const tessera::InputError& error) {
    return report(kInputFault, error.what());
  } catch (const std::exception& error) {
    if (output_failed()) { // what fmt::print throws then
      return report_output();
    }
    return report(kInternalFault, fmt::format("internal: {}", error.what()));
  }
}
