#include "compile/compiler.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <sstream>
#include <unordered_map>

#include "compile/count.h"
#include "compile/process.h"
#include "compile/text.h"

// TESSERA_METAL_SHIM, _COMPILE, _HEADERS, _CACHE and _CLANG come from CMake.
namespace tessera::metal {
namespace fs = std::filesystem;
namespace {

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Everything that decides about the machine code, but for the text.
const std::string& tool_key() {
  static const std::string key = [] {
    std::uint64_t sum = 0; // in whatever order files are found
    for (const char* folder : {TESSERA_METAL_SHIM, TESSERA_METAL_COMPILE})
      for (const auto& file : fs::recursive_directory_iterator(folder))
        if (file.is_regular_file()) {
          const std::string text = read_file(file.path());
          sum += XXH3_64bits(text.data(), text.size());
        }
    return fmt::format(
        "{:x} {} {}", sum, TESSERA_METAL_CLANG, TESSERA_METAL_HEADERS);
  }();
  return key;
}

std::string constant_flag(unsigned number, const std::string& value) {
  return fmt::format("-Dtessera_constant_{}=]] = ({}); [[", number, value);
}

std::string key_of(const Dispatch& dispatch, Fill fill) {
  std::string all = tool_key() + dispatch.source + '\0' + dispatch.function;
  for (const auto& [number, value] : dispatch.function_constants)
    all += constant_flag(number, value);
  all += fill == Fill::zero ? 'z' : 'p';
  const XXH128_hash_t hash = XXH3_128bits(all.data(), all.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// C++ for OpenCL, with Metal's names from the shim, for a target.
std::vector<std::string> language_for(const std::vector<std::string>& target) {
  std::vector<std::string> command = {
      TESSERA_METAL_CLANG,
      "-x",
      "clcpp",
      "-cl-std=clc++2021",
      "-cl-no-stdinc",
      "-I" TESSERA_METAL_SHIM,
      "-I" TESSERA_METAL_HEADERS,
      "-Wno-everything"};
  command.insert(command.end(), target.begin(), target.end());
  return command;
}
std::vector<std::string> language() {
  return language_for(
      {"--target=x86_64-linux-gnu",
       "-march=x86-64-v3",
       "-Xclang",
       "-ffloat16-excess-precision=none",
       "-Xclang",
       "-fbfloat16-excess-precision=none",
       "-Wimplicit-float-conversion"});
}

std::string run(
    std::vector<std::string> command, const std::vector<std::string>& more) {
  command.insert(command.end(), more.begin(), more.end());
  Finished finished = run_program(command);
  if (finished.status != 0)
    throw ExecutionError(
        "[metal] expected a text that compiles; got\n" + finished.output);
  return std::move(finished.output);
}

// What becomes a bfloat does so by a cast; for clang it need not.
void check_conversions(const std::string& diagnostics) {
  std::istringstream lines(diagnostics);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t to = line.find("' to '");
    if (line.find("implicit conversion loses") != line.npos &&
        to != line.npos && line.find("bf", to) != line.npos)
      throw ExecutionError("[metal] expected a cast to bfloat; got\n" + line);
  }
}

std::string preprocess(const Dispatch& dispatch, const fs::path& stem) {
  const std::string source = stem.string() + ".metal";
  write_file(source, dispatch.source);
  std::vector<std::string> more = {"-E"};
  for (const auto& [number, value] : dispatch.function_constants)
    more.push_back(constant_flag(number, value));
  const std::string out = stem.string() + ".i";
  more.insert(more.end(), {source, "-o", out});
  run(language(), more);
  return read_file(out);
}

// The text that clang compiles.
std::string lowered(
    const Dispatch& dispatch,
    const fs::path& stem,
    Target target = Target::execution) {
  const std::string text = preprocess(dispatch, stem);
  check_rules(text);
  return lower(text, target) +
      entry(find_kernel(text, dispatch.function), target);
}

// Unoptimised assembly that counts what it computes.
void write_assembly(
    const std::string& source, Fill fill, const std::string& to) {
  const std::string diagnostics =
      run(language(),
          {"-O1",
           "-Xclang",
           "-disable-llvm-passes",
           "-fsanitize=thread",
           "-fPIC",
           "-gline-tables-only",
           "-S",
           "-emit-llvm",
           fmt::format(
               "-ftrivial-auto-var-init={}",
               fill == Fill::zero ? "zero" : "pattern"),
           source,
           "-o",
           to});
  check_conversions(diagnostics);
  write_file(to, count_floats(read_file(to)));
}

// Text, assembly, checks, code, library.
void compile(const Dispatch& dispatch, Fill fill, const fs::path& stem) {
  const std::string s = stem.string();
  write_file(s + ".cl", lowered(dispatch, stem));
  write_assembly(s + ".cl", fill, s + ".ll");
  const auto clang = [](const std::vector<std::string>& arguments) {
    run({TESSERA_METAL_CLANG}, arguments);
  };
  // Checks come before optimisation, so that every access of the text is one.
  clang(
      {"-x",
       "ir",
       "-O0",
       "-fsanitize=thread",
       "-mllvm",
       "-tsan-instrument-func-entry-exit=0",
       "-mllvm",
       "-tsan-instrument-read-before-write=1",
       "-w",
       "-S",
       "-emit-llvm",
       s + ".ll",
       "-o",
       s + ".checked.ll"});
  clang(
      {"-x",
       "ir",
       "-O1",
       "-fPIC",
       "-w",
       "-c",
       s + ".checked.ll",
       "-o",
       s + ".o"});
  clang({"-shared", "-nostdlib", s + ".o", "-o", s + ".so"});
}

// Compiles beside and renames, so that two processes may do so at once.
void provide(const Dispatch& dispatch, Fill fill, const fs::path& stem) {
  if (fs::exists(stem.string() + ".so"))
    return;
  fs::create_directories(TESSERA_METAL_CACHE);
  const fs::path work = stem.string() + fmt::format("-{}", getpid());
  fs::create_directories(work);
  const fs::path kernel = work / "text";
  try {
    compile(dispatch, fill, kernel);
    fs::rename(kernel.string() + ".so", stem.string() + ".so");
  } catch (...) {
    fs::remove_all(work);
    throw;
  }
  fs::remove_all(work);
}

Module open(const fs::path& stem) {
  const std::string path = stem.string() + ".so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw ExecutionError(fmt::format("[metal] {}", dlerror()));
  const auto symbol = [&](const char* name) {
    void* address = dlsym(library, name);
    if (address == nullptr)
      throw ExecutionError(fmt::format("[metal] {}", dlerror()));
    return address;
  };
  const auto limit = reinterpret_cast<unsigned (*)()>(symbol("tessera_limit"));
  return {
      path,
      reinterpret_cast<void (*)()>(symbol("tessera_entry")),
      limit(),
      static_cast<std::uint64_t*>(symbol("tessera_float_counts"))};
}

} // namespace

const Module& load(const Dispatch& dispatch, Fill fill) {
  static std::mutex mutex;
  static std::unordered_map<std::string, Module> modules;
  const std::string key = key_of(dispatch, fill);
  const std::lock_guard lock(mutex);
  if (const auto found = modules.find(key); found != modules.end())
    return found->second;
  const fs::path stem = fs::path(TESSERA_METAL_CACHE) / key;
  provide(dispatch, fill, stem);
  return modules.emplace(key, open(stem)).first->second;
}

namespace {

// Lowers a text in a folder of its own, for `use` to look at.
template <typename Use>
void with_text(const Dispatch& dispatch, Target target, Use use) {
  const fs::path work =
      fs::path(TESSERA_METAL_CACHE) / fmt::format("check-{}", getpid());
  fs::create_directories(work);
  try {
    const fs::path stem = work / "text";
    write_file(stem.string() + ".cl", lowered(dispatch, stem, target));
    use(stem.string());
  } catch (...) {
    fs::remove_all(work);
    throw;
  }
  fs::remove_all(work);
}

} // namespace

void check_address_spaces(
    const std::string& source, const std::string& function) {
  with_text(
      {source, function, {}, {}, {}},
      Target::execution,
      [](const std::string& stem) {
        check_conversions(run(language(), {"-fsyntax-only", stem + ".cl"}));
      });
}

namespace {

// The figure of a line ".name: 12" of an assembly's metadata.
std::size_t figure(const std::string& assembly, const std::string& name) {
  const std::size_t at = assembly.find("." + name + ":");
  if (at == std::string::npos)
    throw ExecutionError("[metal] expected ." + name + " in an assembly");
  return std::stoul(assembly.substr(at + name.size() + 2));
}

} // namespace

Private private_of(const Dispatch& dispatch, int registers) {
  Private found;
  with_text(dispatch, Target::registers, [&](const std::string& stem) {
    // Simdgroups of 32 lanes, as Apple's.
    run(language_for(
            {"--target=amdgcn-amd-amdhsa",
             "-mcpu=gfx1030",
             "-Xclang",
             "-cl-ext=+__opencl_c_generic_address_space"}),
        {"-nogpulib",
         "-O2",
         fmt::format("-DTESSERA_REGISTERS={}", registers),
         "-S",
         stem + ".cl",
         "-o",
         stem + ".s"});
    const std::string assembly = read_file(stem + ".s");
    found = {
        static_cast<int>(figure(assembly, "vgpr_count")),
        static_cast<int>(figure(assembly, "private_segment_fixed_size"))};
  });
  return found;
}

std::string source_line(const void* address) {
  Dl_info info;
  if (address == nullptr || dladdr(address, &info) == 0)
    return "";
  // The call ends where the address begins.
  const auto offset = static_cast<const char*>(address) -
      static_cast<const char*>(info.dli_fbase) - 1;
  const Finished found = run_program(
      {"addr2line", "-e", info.dli_fname, "-i", fmt::format("{:#x}", offset)});
  std::istringstream lines(found.output);
  std::string out;
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("entry") && !line.starts_with(TESSERA_METAL_SHIM))
      out += fmt::format("\n    at {}", line.substr(line.rfind('/') + 1));
  return out;
}

} // namespace tessera::metal
