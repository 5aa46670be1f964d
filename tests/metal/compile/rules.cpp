#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "compile/lexer.h"
#include "compile/text.h"
#include "executor.h"

namespace tessera::metal {
namespace {

constexpr std::array no_metal = {
    "double",
    "goto",
    "virtual",
    "try",
    "catch",
    "throw",
    "new",
    "delete",
    "dynamic_cast",
    "typeid",
    "thread_local",
    "std",
    // Words of Metal's own, of functions that are no kernels.
    "vertex",
    "fragment"};

constexpr std::array spaces = {
    "__global",
    "__constant",
    "__private",
    "threadgroup",
    "device",
    "constant",
    "thread"};

// Strings and attributes replaced by spaces, and everything that the
// preprocessor marks as an include's.
std::string own_text(const std::string& text) {
  std::string out = text;
  bool own = false;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line(text.data() + begin, end - begin);
    const bool marker = line.starts_with('#');
    if (marker && line.find('"') != line.npos)
      own = line.find("text.metal\"") != line.npos;
    if (marker || !own)
      std::fill(
          out.begin() + static_cast<std::ptrdiff_t>(begin),
          out.begin() + static_cast<std::ptrdiff_t>(end),
          ' ');
    begin = end + 1;
  }
  for (std::size_t at = out.find("[["); at != out.npos; at = out.find("[[", at))
    for (const std::size_t end = skip_bracket(out, at); at < end; ++at)
      out[at] = out[at] == '\n' ? '\n' : ' ';
  return out;
}

constexpr std::array declare_types = {"typename", "struct", "class", "using"};

std::string_view word_before(std::string_view text, std::size_t at) {
  const std::size_t end = back_space(text, at);
  std::size_t begin = end;
  while (begin > 0 && word(text[begin - 1]))
    --begin;
  return text.substr(begin, end - begin);
}

// Whether a name that the text gives a type is a variable's too, elsewhere.
bool is_variable_too(std::string_view text, std::string_view name) {
  for (std::size_t at = find_word(text, name, 0); at != text.npos;
       at = find_word(text, name, at + 1)) {
    const std::string_view before = word_before(text, at);
    const std::size_t next = skip_space(text, at + name.size());
    if (next < text.size() &&
        std::string_view(";.[+-/=").find(text[next]) != text.npos &&
        std::find(declare_types.begin(), declare_types.end(), before) ==
            declare_types.end())
      return true;
  }
  return false;
}

// Names of types: the language's, and those that the text brings.
std::set<std::string_view> type_names(std::string_view text) {
  std::set<std::string_view> names;
  for (const std::string_view keyword : declare_types)
    for (std::size_t at = find_word(text, keyword, 0); at != text.npos;
         at = find_word(text, keyword, at + 1)) {
      const std::size_t begin = skip_space(text, at + keyword.size());
      const std::string_view name =
          text.substr(begin, skip_word(text, begin) - begin);
      if (!name.empty() && !is_variable_too(text, name))
        names.insert(name);
    }
  names.insert({"bool",     "char",       "uchar",
                "short",    "ushort",     "int",
                "uint",     "long",       "ulong",
                "half",     "bfloat",     "float",
                "void",     "auto",       "vec",
                "size_t",   "bfloat16_t", "float16_t",
                "int32_t",  "uint32_t",   "int64_t",
                "uint64_t", "uint8_t",    "int8_t",
                "uint16_t", "int16_t",    "simdgroup_matrix"});
  return names;
}

// Whether a type may stand there: no operand of a multiplication does.
bool begins_type(std::string_view text, std::size_t at) {
  const std::string_view before = word_before(text, at);
  if (!before.empty())
    return before != "return" &&
        std::isdigit(static_cast<unsigned char>(before[0])) == 0;
  const std::size_t end = back_space(text, at);
  return end == 0 ||
      std::string_view("(,;{}<>)").find(text[end - 1]) != text.npos;
}

bool is_vector(std::string_view name, const std::set<std::string_view>& names) {
  return name.size() > 3 && name.back() >= '2' && name.back() <= '4' &&
      names.contains(name.substr(0, name.size() - 1));
}

// Whether the declaration around [from, to) names an address space.
bool has_space(std::string_view text, std::size_t from, std::size_t to) {
  std::size_t begin = from;
  while (begin > 0 &&
         std::string_view("(,;{}<").find(text[begin - 1]) ==
             std::string_view::npos)
    --begin;
  const std::string_view declaration = text.substr(begin, to - begin);
  return std::any_of(spaces.begin(), spaces.end(), [&](std::string_view name) {
    return find_word(declaration, name, 0) != declaration.npos;
  });
}

std::string_view line_at(std::string_view text, std::size_t at) {
  const std::size_t before = text.rfind('\n', at);
  const std::size_t begin = before == text.npos ? 0 : before + 1;
  return text.substr(begin, std::min(text.find('\n', at), text.size()) - begin);
}

[[noreturn]] void refuse(
    const std::string& what, std::string_view text, std::size_t at) {
  throw ExecutionError(
      fmt::format("[metal] expected {}; got `{}`", what, line_at(text, at)));
}

void check_pointers(std::string_view text) {
  const std::set<std::string_view> names = type_names(text);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!word(text[at]) || (at > 0 && word(text[at - 1])))
      continue;
    const std::size_t end = skip_word(text, at);
    const std::string_view name = text.substr(at, end - at);
    if ((!names.contains(name) && !is_vector(name, names)) ||
        !begins_type(text, at))
      continue;
    std::size_t next = skip_space(text, end);
    if (next < text.size() && text[next] == '<')
      next = skip_space(text, skip_bracket(text, next));
    if (text.substr(next, 5) == "const")
      next = skip_space(text, next + 5);
    const bool pointer =
        next < text.size() && (text[next] == '*' || text[next] == '&');
    if (pointer && text.substr(next, 2) != "&&" && !has_space(text, at, next))
      refuse("an address space at every pointer and reference", text, at);
  }
}

// Where the brace opens that holds a place; npos at namespace scope.
std::size_t enclosing_brace(std::string_view text, std::size_t at) {
  int depth = 0;
  while (at > 0) {
    --at;
    if (text[at] == '}')
      ++depth;
    else if (text[at] == '{' && depth-- == 0)
      return at;
  }
  return text.npos;
}

// Whether the body that opens at a brace is a kernel's.
bool is_kernel(std::string_view text, std::size_t brace) {
  const std::size_t before = text.find_last_of(";}", brace);
  const std::size_t begin = before == text.npos ? 0 : before + 1;
  const std::string_view head = text.substr(begin, brace - begin);
  return find_word(head, "kernel", 0) != head.npos;
}

// Threadgroup variables stand in kernels alone, not in what these call.
void check_threadgroup_variables(std::string_view text, std::string_view own) {
  for (std::size_t at = find_word(own, "threadgroup", 0); at != own.npos;
       at = find_word(own, "threadgroup", at + 1)) {
    const std::size_t end = own.find(';', at);
    const std::string_view declaration = own.substr(at, end - at);
    if (!begins_statement(own, at) ||
        declaration.find_first_of("*&(=") < declaration.find('['))
      continue;
    std::size_t brace = enclosing_brace(text, at);
    while (brace != text.npos && !is_kernel(text, brace))
      brace = enclosing_brace(text, brace);
    if (brace == text.npos)
      refuse("threadgroup variables in kernels alone", own, at);
  }
}

} // namespace

void check_rules(const std::string& text) {
  const std::string own = own_text(text);
  for (const char* name : no_metal)
    if (const std::size_t at = find_word(own, name, 0); at != own.npos)
      refuse(fmt::format("no `{}`, which Metal has not", name), own, at);
  for (const std::string_view lambda : {"[&]", "[=]"})
    if (const std::size_t at = own.find(lambda); at != own.npos)
      refuse("no lambda, which Metal has not before version 4", own, at);
  check_pointers(own);
  check_threadgroup_variables(text, own);
}

} // namespace tessera::metal
