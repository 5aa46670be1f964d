#include "compile/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "compile/lexer.h"
#include "executor.h"

namespace tessera::metal {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && space(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && space(text.back()))
    text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '(' || c == '[' || c == '<' || c == '{')
      ++depth;
    else if (c == ')' || c == ']' || c == '>' || c == '}')
      --depth;
    else if (c == ',' && depth == 0) {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  if (!trimmed(text.substr(begin)).empty())
    parts.push_back(text.substr(begin));
  return parts;
}

Parameter parameter(std::string_view text, const std::string& kernel) {
  const std::size_t open = text.find("[[");
  if (open != std::string_view::npos) {
    const std::string_view attributes = text.substr(open);
    for (unsigned kind = 0; kind < builtin_names.size(); ++kind) {
      const std::size_t at = find_word(attributes, builtin_names[kind], 0);
      if (at == std::string_view::npos)
        continue;
      if (kind != 0)
        return {kind, 0};
      const std::size_t number = attributes.find('(', at) + 1;
      return {
          0,
          static_cast<unsigned>(
              std::stoul(std::string(attributes.substr(number))))};
    }
  }
  throw ExecutionError(fmt::format(
      "[metal] expected every parameter of {} to have an attribute that the "
      "executor knows; got `{}`",
      kernel,
      trimmed(text)));
}

// Line markers of the preprocessor are no part of a declaration.
std::string without_markers(std::string_view text) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (text[begin] != '#')
      out += std::string(text.substr(begin, end - begin)) + " ";
    begin = end + 1;
  }
  return out;
}

struct Definition {
  std::string head, parameters;
};

// A definition is the name, its parameters, and a body.
Definition find_definition(const std::string& text, const std::string& name) {
  for (std::size_t at = find_word(text, name, 0); at != std::string::npos;
       at = find_word(text, name, at + 1)) {
    const std::size_t open = skip_space(text, at + name.size());
    if (open >= text.size() || text[open] != '(')
      continue;
    const std::size_t close = skip_bracket(text, open);
    const std::size_t body = skip_space(text, close);
    if (body >= text.size() || text[body] != '{')
      continue;
    const std::size_t before = text.find_last_of(";}", at);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    return {
        without_markers(std::string_view(text).substr(begin, at - begin)),
        without_markers(
            std::string_view(text).substr(open + 1, close - open - 2))};
  }
  throw ExecutionError(
      fmt::format("[metal] expected a kernel named {}; got none", name));
}

// template [[host_name("x")]] [[kernel]] decltype(f<T>) f<T>;
std::string named_instance(const std::string& text, const std::string& name) {
  const std::string attribute = fmt::format("host_name(\"{}\")", name);
  std::size_t at = text.find(attribute);
  if (at == std::string::npos)
    return name;
  at = text.find("decltype", at);
  at = skip_bracket(text, text.find('(', at));
  return std::string(
      trimmed(std::string_view(text).substr(at, text.find(';', at) - at)));
}

} // namespace

const std::vector<std::string> builtin_names = {
    "buffer",
    "thread_position_in_grid",
    "threadgroup_position_in_grid",
    "thread_position_in_threadgroup",
    "thread_index_in_threadgroup",
    "thread_index_in_simdgroup",
    "simdgroup_index_in_threadgroup",
    "threads_per_threadgroup",
    "threadgroups_per_grid",
    "threads_per_grid",
    "simdgroups_per_threadgroup",
    "threads_per_simdgroup",
    "thread_execution_width",
    "dispatch_threads_per_threadgroup",
    "dispatch_simdgroups_per_threadgroup"};

Kernel find_kernel(const std::string& text, const std::string& function) {
  Kernel kernel;
  kernel.call = named_instance(text, function);
  const std::string bare = kernel.call.substr(0, kernel.call.find('<'));
  const std::size_t scope = bare.rfind(':');
  kernel.name = std::string(
      trimmed(scope == std::string::npos ? bare : bare.substr(scope + 1)));
  const Definition found = find_definition(text, kernel.name);

  const std::size_t header = find_word(found.head, "template", 0);
  if (header != std::string::npos) {
    const std::size_t open = found.head.find('<', header);
    kernel.template_header =
        found.head.substr(header, skip_bracket(found.head, open) - header);
  }
  const std::size_t limit =
      find_word(found.head, "max_total_threads_per_threadgroup", 0);
  if (limit != std::string::npos) {
    const std::size_t open = found.head.find('(', limit);
    const std::size_t close = skip_bracket(found.head, open);
    kernel.limit = found.head.substr(open, close - open);
  }
  for (const std::string_view p : split(found.parameters))
    kernel.parameters.push_back(parameter(p, kernel.name));
  return kernel;
}

std::string entry(const Kernel& kernel, Target target) {
  std::string numbers;
  for (const Parameter& p : kernel.parameters)
    numbers += fmt::format(
        "{}{}u", numbers.empty() ? "" : ", ", p.kind << 16 | p.slot);
  std::string limit = kernel.limit.empty() ? "1024" : kernel.limit;
  std::string limit_struct;
  if (!kernel.limit.empty() && !kernel.template_header.empty()) {
    limit_struct = fmt::format(
        "{} struct tessera_limit_of {{ enum {{ value = {} }}; }};\n",
        kernel.template_header,
        kernel.limit);
    limit = "tessera_limit_of" + kernel.call.substr(kernel.call.find('<')) +
        "::value";
  }
  const char* const head = target == Target::execution
      ? "extern \"C\""
      : "#include \"tessera/gpu.h\"\n"
        "__kernel __attribute__((amdgpu_num_vgpr(TESSERA_REGISTERS)))";
  return fmt::format(
      "\n# 1 \"entry\"\n"
      "#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable\n{}"
      "template <typename F> struct tessera_call;\n"
      "template <typename... P> struct tessera_call<void(P...)> {{\n"
      "  template <unsigned... n> static void run() {{\n"
      "    {}(tessera_parameter<P>::get(n >> 16, n & 65535u)...);\n  }}\n}};\n"
      "{} void tessera_entry() {{\n"
      "  tessera_call<decltype({})>::template run<{}>();\n}}\n"
      "extern \"C\" unsigned tessera_limit() {{ return {}; }}\n"
      "#pragma clang attribute pop\n",
      limit_struct,
      kernel.call,
      head,
      kernel.call,
      numbers,
      limit);
}

} // namespace tessera::metal
