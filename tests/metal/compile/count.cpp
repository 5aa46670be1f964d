#include "compile/count.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace tessera::metal {
namespace {

using Block = std::array<int, 4>;

void count(std::string_view line, Block& block) {
  const std::size_t equals = line.find(" = ");
  if (equals == std::string_view::npos)
    return;
  const std::string_view operation = line.substr(equals + 3);
  const auto is = [&](std::string_view name) {
    return operation.starts_with(name);
  };
  // Each element of a vector counts.
  const std::size_t lanes = operation.find('<');
  const int width =
      lanes < operation.find('%') ? std::atoi(operation.data() + lanes + 1) : 1;
  if (is("fadd ") || is("fsub "))
    block[0] += width;
  else if (is("fmul "))
    block[1] += width;
  else if (is("fdiv "))
    block[3] += width;
  else if (
      is("call ") &&
      (operation.find("@llvm.fmuladd.") != operation.npos ||
       operation.find("@llvm.fma.") != operation.npos))
    block[2] += width;
}

bool ends_block(std::string_view line) {
  for (const std::string_view name :
       {"  br ", "  ret ", "  switch ", "  unreachable"})
    if (line.starts_with(name))
      return true;
  return false;
}

// The mark keeps the accesses out of the checks; volatile, so that no pass
// makes new ones without it.
std::string increments(const Block& block, int& number) {
  std::string out;
  for (std::size_t i = 0; i < block.size(); ++i)
    if (block[i] != 0) {
      out += fmt::format(
          "  %tessera.a{0} = load volatile i64, ptr getelementptr ([4 x i64], "
          "ptr "
          "@tessera_float_counts, i64 0, i64 {1}), align 8, !nosanitize !{{}}\n"
          "  %tessera.b{0} = add i64 %tessera.a{0}, {2}\n"
          "  store volatile i64 %tessera.b{0}, ptr getelementptr ([4 x i64], "
          "ptr "
          "@tessera_float_counts, i64 0, i64 {1}), align 8, "
          "!nosanitize !{{}}\n",
          number++,
          i,
          block[i]);
    }
  return out;
}

} // namespace

std::string count_floats(const std::string& assembly) {
  std::string out;
  out.reserve(assembly.size() * 5 / 4);
  Block block{};
  int number = 0;
  bool inside = false;
  for (std::size_t begin = 0; begin < assembly.size();) {
    const std::size_t end =
        std::min(assembly.find('\n', begin), assembly.size());
    const std::string_view line(assembly.data() + begin, end - begin);
    if (line.starts_with("define ")) {
      inside = true;
      if (number == 0)
        out +=
            "@tessera_float_counts = dso_local global [4 x i64] "
            "zeroinitializer, align 8\n";
      number += number == 0;
    } else if (line.starts_with("}")) {
      inside = false;
    } else if (inside && ends_block(line)) {
      out += increments(block, number);
      block = {};
    } else if (inside) {
      count(line, block);
    }
    out.append(line).push_back('\n');
    begin = end + 1;
  }
  return out;
}

} // namespace tessera::metal
