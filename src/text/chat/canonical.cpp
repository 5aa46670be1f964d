#include "text/chat/canonical.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace tessera::text {

namespace {

constexpr std::string_view whitespace = " \t\n\r\f\v";

struct Token {
  std::string text;
  bool literal = false; // a string, its escapes resolved
};

using Tokens = std::vector<Token>;

// Text between tags, {{ an expression }} or {% a statement %}.
struct Piece {
  enum class Kind { text, expression, statement };
  Kind kind = Kind::text;
  std::string text = {};
  Tokens tokens = {};
};

struct Tag {
  char kind;  // '{', '%' or '#'
  char open;  // '-' or '+' behind it, or 0
  char close; // the same in front of its end
  std::string_view inside;
  std::size_t end; // in the template
};

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// The end of the quoted string that begins at `from`; npos where it has none.
std::size_t end_of_string(std::string_view text, std::size_t from) {
  for (auto i = from + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == text[from]) {
      return i + 1;
    }
  }
  return text.npos;
}

std::optional<std::string> unescaped(std::string_view quoted) {
  std::string result;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] != '\\') {
      result += quoted[i];
      continue;
    }
    constexpr std::string_view names = "nrt\\'\"";
    constexpr std::string_view values = "\n\r\t\\'\"";
    const auto at = names.find(quoted[++i]);
    if (at == names.npos) {
      return std::nullopt;
    }
    result += values[at];
  }
  return result;
}

// The tag that opens at `from`.
std::optional<Tag> read_tag(std::string_view text, std::size_t from) {
  Tag tag{text[from + 1], 0, 0, {}, text.npos};
  const std::string end = tag.kind == '{' ? "}}" : std::string{tag.kind, '}'};
  auto begin = from + 2;
  if (begin < text.size() && (text[begin] == '-' || text[begin] == '+')) {
    tag.open = text[begin++];
  }
  auto i = begin;
  while (i < text.size() && text.substr(i, 2) != end) {
    const bool quote = text[i] == '\'' || text[i] == '"';
    i = quote && tag.kind != '#' ? end_of_string(text, i) : i + 1;
  }
  if (i >= text.size()) {
    return std::nullopt;
  }
  tag.end = i + 2;
  tag.inside = text.substr(begin, i - begin);
  if (!tag.inside.empty() &&
      (tag.inside.back() == '-' || tag.inside.back() == '+')) {
    tag.close = tag.inside.back();
    tag.inside.remove_suffix(1);
  }
  return tag;
}

std::size_t length_of_operator(std::string_view text) {
  constexpr std::string_view two[] = {"==", "!=", "<=", ">=", "//", "**"};
  return std::ranges::count(two, text.substr(0, 2)) > 0 ? 2 : 1;
}

// x['name'] -> x.name
void use_dots(Tokens& tokens) {
  for (std::size_t i = 1; i + 2 < tokens.size(); ++i) {
    const auto& name = tokens[i + 1];
    if (tokens[i].text == "[" && !tokens[i].literal && name.literal &&
        tokens[i + 2].text == "]" && !name.text.empty() &&
        std::ranges::all_of(name.text, is_word)) {
      tokens[i].text = ".";
      tokens[i + 1].literal = false;
      tokens.erase(tokens.begin() + std::ptrdiff_t(i) + 2);
    }
  }
}

std::optional<Tokens> tokenize(std::string_view text) {
  Tokens tokens;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (whitespace.find(c) != whitespace.npos) {
      ++i;
    } else if (c == '\'' || c == '"') {
      const auto end = end_of_string(text, i);
      auto value = unescaped(text.substr(i, end - i));
      if (!value) {
        return std::nullopt;
      }
      tokens.push_back({std::move(*value), true});
      i = end;
    } else {
      auto end = i + length_of_operator(text.substr(i));
      if (is_word(c)) {
        end = i;
        while (end < text.size() && is_word(text[end])) {
          ++end;
        }
      }
      tokens.push_back({std::string(text.substr(i, end - i))});
      i = end;
    }
  }
  use_dots(tokens);
  return tokens;
}

// Text as Jinja leaves it between two tags. `before` and `after` are the tags
// beside it; none: the template's own beginning or end.
std::string_view trimmed(
    std::string_view text,
    const std::optional<Tag>& before,
    const std::optional<Tag>& after) {
  bool line_begins = !before;
  if (before && before->close == '-') {
    text.remove_prefix(
        std::min(text.find_first_not_of(whitespace), text.size()));
  } else if (
      before && before->kind != '{' && before->close != '+' &&
      text.starts_with('\n')) {
    text.remove_prefix(1); // trim_blocks
    line_begins = true;
  }
  if (after && after->open == '-') {
    text = text.substr(0, text.find_last_not_of(whitespace) + 1);
  } else if (after && after->kind != '{' && after->open != '+') {
    const auto line = text.rfind('\n') + 1; // lstrip_blocks
    const bool blank = text.find_first_not_of(whitespace, line) == text.npos;
    text = blank && (line > 0 || line_begins) ? text.substr(0, line) : text;
  }
  return text;
}

void add_text(std::vector<Piece>& pieces, std::string_view text) {
  if (pieces.empty() || pieces.back().kind != Piece::Kind::text) {
    pieces.push_back({});
  }
  pieces.back().text += text;
}

// Whether `+` alone joins the operands, so that each may stand by itself.
bool only_joins(const Tokens& tokens) {
  constexpr std::string_view others[] = {
      "if", "else", "and", "or", "not", "in", "is", "~", "-", "*", "==", "!="};
  return std::ranges::none_of(tokens, [&](const Token& token) {
    return !token.literal && std::ranges::count(others, token.text) > 0;
  });
}

void add_operand(std::vector<Piece>& pieces, Tokens operand) {
  if (operand.size() == 1 && operand.front().literal) {
    add_text(pieces, operand.front().text);
  } else {
    pieces.push_back({Piece::Kind::expression, {}, std::move(operand)});
  }
}

void add_expression(std::vector<Piece>& pieces, const Tokens& tokens) {
  Tokens operand;
  int depth = 0;
  const bool joins = only_joins(tokens);
  for (const auto& token : tokens) {
    const bool symbol = !token.literal && token.text.size() == 1;
    depth +=
        symbol && std::string_view("([{").find(token.text) != std::string::npos;
    depth -=
        symbol && std::string_view(")]}").find(token.text) != std::string::npos;
    if (joins && depth == 0 && symbol && token.text == "+") {
      add_operand(pieces, std::move(operand));
      operand.clear();
    } else {
      operand.push_back(token);
    }
  }
  add_operand(pieces, std::move(operand));
}

bool add_tag(std::vector<Piece>& pieces, const Tag& tag) {
  if (tag.kind == '#') {
    return true;
  }
  auto tokens = tokenize(tag.inside);
  if (!tokens || tokens->empty()) {
    return false;
  }
  const auto& first = tokens->front().text;
  if (tag.kind == '{') {
    add_expression(pieces, *tokens);
  } else if (first != "generation" && first != "endgeneration") {
    pieces.push_back({Piece::Kind::statement, {}, std::move(*tokens)});
  }
  return true;
}

std::size_t next_tag(std::string_view text, std::size_t from) {
  for (auto i = text.find('{', from); i < text.size();
       i = text.find('{', i + 1)) {
    if (i + 1 < text.size() &&
        std::string_view("{%#").find(text[i + 1]) != text.npos) {
      return i;
    }
  }
  return text.size();
}

std::optional<std::vector<Piece>> parse(std::string_view text) {
  std::vector<Piece> pieces;
  std::optional<Tag> before;
  for (std::size_t from = 0;;) {
    const auto at = next_tag(text, from);
    const auto after = at < text.size() ? read_tag(text, at) : std::nullopt;
    if (at < text.size() && !after) {
      return std::nullopt;
    }
    const auto between = trimmed(text.substr(from, at - from), before, after);
    if (!between.empty()) {
      add_text(pieces, between);
    }
    if (!after) {
      return pieces;
    }
    if (!add_tag(pieces, *after)) {
      return std::nullopt;
    }
    from = after->end;
    before = after;
  }
}

// Cuts X out of each text, and out of each string that is X.
std::optional<std::string> cut_default_system(std::vector<Piece>& pieces) {
  constexpr std::string_view head = "<|im_start|>system\n";
  constexpr std::string_view tail = "<|im_end|>\n";
  std::optional<std::string> system;
  for (auto& [kind, text, tokens] : pieces) {
    if (!system && text.starts_with(head) && text.ends_with(tail) &&
        text.size() > head.size() + tail.size()) {
      system =
          text.substr(head.size(), text.size() - head.size() - tail.size());
      text.erase(head.size(), system->size());
    }
  }
  for (auto& piece : pieces) {
    if (system && piece.text == *system) {
      piece.text.clear();
    }
  }
  return system;
}

} // namespace

std::optional<CanonicalTemplate> canonical_template(std::string_view jinja) {
  if (jinja.ends_with('\n')) {
    jinja.remove_suffix(1); // as Jinja does
  }
  auto pieces = parse(jinja);
  if (!pieces) {
    return std::nullopt;
  }
  CanonicalTemplate result;
  result.default_system = cut_default_system(*pieces);
  for (const auto& [kind, text, tokens] : *pieces) {
    // Marks that no template holds keep kinds and tokens apart.
    result.text += static_cast<char>(1 + static_cast<int>(kind));
    result.text += text;
    for (const auto& token : tokens) {
      result.text += token.literal ? '\x04' : '\x05';
      result.text += token.text;
    }
  }
  return result;
}

} // namespace tessera::text
