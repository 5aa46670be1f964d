#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "compile/lexer.h"
#include "compile/text.h"

namespace tessera::metal {
namespace {

// Replaces by spaces, so that lines and columns stay.
void blank(std::string& text, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i)
    if (text[i] != '\n')
      text[i] = ' ';
}

void blank_pragma(std::string& text, std::string_view pragma) {
  for (std::size_t at = text.find(pragma); at != std::string::npos;
       at = text.find(pragma, at))
    blank(text, at, text.find('\n', at));
}

// template [[host_name("x")]] [[kernel]] decltype(f<T>) f<T>;
void blank_instance_names(std::string& text) {
  for (std::size_t at = text.find("[[host_name("); at != std::string::npos;
       at = text.find("[[host_name(", at + 1)) {
    std::size_t end = at;
    while (text.compare(end, 2, "[[") == 0) {
      end = skip_space(text, text.find("]]", end) + 2);
    }
    blank(text, at, end);
  }
}

void blank_kernel_words(std::string& text) {
  for (std::size_t at = find_word(text, "kernel", 0); at != text.npos;
       at = find_word(text, "kernel", at))
    blank(text, at, at + 6);
}

// A constructor `S(int x) thread : x(x) {}` also makes the object that a
// function returns, to which OpenCL gives no address space.
void blank_constructor_spaces(std::string& text) {
  const std::string_view name = "__private";
  for (std::size_t at = text.find(name); at != std::string::npos;
       at = text.find(name, at + 1)) {
    const std::size_t before = back_space(text, at);
    const std::size_t after = skip_space(text, at + name.size());
    if (before > 0 && text[before - 1] == ')' && text[after] == ':')
      blank(text, at, at + name.size());
  }
}

struct Declared {
  std::string_view name, dimensions;
};

// "T a[4], b" into its type and its names; none where it is a pointer, a
// reference or no variable at all.
std::vector<Declared> declared(std::string_view text, std::string_view& type) {
  if (text.find_first_of("*&(=") < text.find('['))
    return {};
  std::size_t end = text.find_first_of("[,");
  end = end == std::string_view::npos ? text.size() : end;
  // A comma of template arguments ends no name.
  while (end < text.size() && text[end] == ',' &&
         text.rfind('<', end) != std::string_view::npos &&
         text.find('>', end) != std::string_view::npos)
    end = std::min(text.find_first_of("[,", end + 1), text.size());
  std::size_t name = back_space(text, end);
  while (name > 0 && word(text[name - 1]))
    --name;
  type = text.substr(0, name);

  std::vector<Declared> all;
  for (std::size_t at = name; at < text.size();) {
    const std::size_t stop = skip_word(text, at);
    std::size_t next = stop;
    int depth = 0;
    while (next < text.size() && (depth > 0 || text[next] != ',')) {
      depth += text[next] == '[' ? 1 : text[next] == ']' ? -1 : 0;
      ++next;
    }
    all.push_back({text.substr(at, stop - at), text.substr(stop, next - stop)});
    at = skip_space(text, std::min(next + 1, text.size()));
  }
  return all;
}

std::string lower_threadgroup(const std::string& text) {
  constexpr std::string_view name = "threadgroup";
  std::string out;
  std::size_t from = 0;
  unsigned count = 0;
  for (std::size_t at = text.find(name); at != std::string::npos;
       at = text.find(name, at + 1)) {
    const std::size_t after = at + name.size();
    if ((at > 0 && word(text[at - 1])) || word(text[after]))
      continue;
    out.append(text, from, at - from);
    from = after;
    const std::size_t end = text.find(';', at);
    std::string_view type;
    const std::vector<Declared> variables = begins_statement(text, at)
        ? declared(std::string_view(text).substr(after, end - after), type)
        : std::vector<Declared>{};
    if (variables.empty()) {
      out += "__local";
      continue;
    }
    for (const Declared& v : variables)
      out += fmt::format(
          "__local {} (&{}){} = tessera_threadgroup<{}{}>({});",
          type,
          v.name,
          v.dimensions,
          type,
          v.dimensions,
          count++);
    from = end + 1;
  }
  return out.append(text, from);
}

// The length of a vector type's name at a place: "float2", "vec<T, 2>"; 0 where
// there is none.
std::size_t vector_name(std::string_view text, std::size_t at) {
  const std::size_t end = skip_word(text, at);
  const std::string_view name = text.substr(at, end - at);
  if (name == "vec" && end < text.size() && text[end] == '<') {
    return skip_bracket(text, end) - at;
  }
  if (name.size() < 4 || name.back() < '2' || name.back() > '4')
    return 0;
  const std::string_view element = name.substr(0, name.size() - 1);
  for (const std::string_view known :
       {"char",
        "uchar",
        "short",
        "ushort",
        "int",
        "uint",
        "long",
        "ulong",
        "half",
        "bfloat",
        "float"})
    if (element == known)
      return name.size();
  return 0;
}

bool after_operator(std::string_view text, std::size_t at) {
  return text.substr(0, back_space(text, at)).ends_with("operator");
}

// float2(a, b) is tessera_vector<float2>(a, b).
std::string lower_vectors(const std::string& text) {
  std::string out;
  out.reserve(text.size() * 9 / 8);
  for (std::size_t at = 0; at < text.size();) {
    if (!word(text[at])) {
      out += text[at++];
      continue;
    }
    std::size_t end = skip_word(text, at);
    const std::size_t name = vector_name(text, at);
    const std::size_t next = skip_space(text, at + name);
    if (name != 0 && text[next] == '(' && !after_operator(text, at)) {
      out += fmt::format("tessera_vector<{}>", text.substr(at, name));
      end = at + name;
    } else {
      out.append(text, at, end - at);
    }
    at = end;
  }
  return out;
}

} // namespace

std::string lower(const std::string& text, Target target) {
  std::string lowered = text;
  blank_pragma(lowered, "#pragma METAL");
  blank_pragma(lowered, "#pragma unroll");
  if (target == Target::execution)
    blank_pragma(lowered, "#pragma clang loop");
  blank_instance_names(lowered);
  blank_kernel_words(lowered);
  blank_constructor_spaces(lowered);
  return lower_vectors(lower_threadgroup(lowered));
}

} // namespace tessera::metal
