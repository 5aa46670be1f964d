#include "text/pipeline/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "tessera/error.h"
#include "text/unicode/tables.h"
#include "text/unicode/utf8.h"

namespace tessera::text {

namespace {

template <typename Range, std::size_t N>
bool in_table(const Range (&table)[N], char32_t c) {
  auto after = std::upper_bound(
      std::begin(table),
      std::end(table),
      c,
      [](char32_t value, const Range& r) { return value < r.first; });
  return after != std::begin(table) && c <= std::prev(after)->last;
}

bool is_inert(char32_t c) {
  return in_table(inert_in_normalisation, c) ||
      in_table(assigned_since_unicode_14, c);
}

int combining_class(std::int32_t c) {
  return utf8proc_get_property(c)->combining_class;
}

void append_decomposed(std::vector<std::int32_t>& out, char32_t c) {
  std::int32_t parts[8]; // the longest canonical decomposition has 4
  int boundary = 0;
  auto count = utf8proc_decompose_char(
      static_cast<std::int32_t>(c), parts, 8, UTF8PROC_DECOMPOSE, &boundary);
  if (count < 0 || count > 8) {
    fail("normalizer", "utf8proc_decompose_char gave {}", count);
  }
  out.insert(out.end(), parts, parts + count);
}

// utf8proc orders by insertion, which a long run of marks makes quadratic.
void order_marks(std::vector<std::int32_t>& text) {
  auto is_mark = [](std::int32_t c) {
    return combining_class(c) != 0;
  };
  for (auto i = text.begin(); i != text.end();) {
    auto first = std::find_if(i, text.end(), is_mark);
    i = std::find_if_not(first, text.end(), is_mark);
    std::stable_sort(first, i, [](std::int32_t a, std::int32_t b) {
      return combining_class(a) < combining_class(b);
    });
  }
}

void flush(std::vector<std::int32_t>& pending, bool compose, std::string& out) {
  order_marks(pending);
  auto count = static_cast<utf8proc_ssize_t>(pending.size());
  if (compose) {
    count = utf8proc_normalize_utf32(
        pending.data(),
        count,
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    append_utf8(
        out, static_cast<char32_t>(pending[static_cast<std::size_t>(i)]));
  }
  pending.clear();
}

// Below U+0300 (lead byte 0xCC) every text is in NFC, and ASCII in NFD.
bool is_trivial(std::string_view text, bool compose) {
  auto first_hard = static_cast<unsigned char>(compose ? 0xCC : 0x80);
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return static_cast<unsigned char>(c) < first_hard;
  });
}

std::string normalize(
    const CanonicalForm& form, std::string_view text, std::size_t) {
  return canonical_form(text, form.compose);
}

std::string normalize(const Prepend& step, std::string_view text, std::size_t) {
  return text.empty() ? "" : step.prefix + std::string(text);
}

std::string normalize(
    const Replace& step, std::string_view text, std::size_t most) {
  return step(text, most);
}

} // namespace

std::string canonical_form(std::string_view text, bool compose) {
  if (is_trivial(text, compose)) {
    return std::string(text);
  }
  std::string out;
  out.reserve(text.size());
  std::vector<std::int32_t> pending;
  while (!text.empty()) {
    auto c = next_code_point(text);
    if (is_inert(c)) {
      flush(pending, compose, out);
      append_utf8(out, c);
    } else {
      append_decomposed(pending, c);
    }
  }
  flush(pending, compose, out);
  return out;
}

std::string Replace::operator()(std::string_view text, std::size_t most) const {
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;
  pattern.for_each_match(text, [&](Match match) {
    out += text.substr(done, match.start - done);
    out += content;
    done = match.stop;
    if (out.size() > most) {
      reject(
          "tokenizer",
          "expected replacements that make at most {} bytes of a text; got "
          "more",
          most);
    }
  });
  out += text.substr(done);
  return out;
}

Regex read_pattern(const JsonField& field) {
  auto literal = field["String"];
  if (!literal.is_null()) {
    return Regex::literal(literal.text());
  }
  auto pattern = field["Regex"];
  try {
    return Regex::compile(pattern.text());
  } catch (const InputError& error) {
    pattern.refuse("a supported pattern", error.what());
  }
}

Replace read_replace(const JsonField& field) {
  return {read_pattern(field["pattern"]), field["content"].text()};
}

Normalizer::Normalizer(const JsonField& field) {
  if (!field.is_null()) {
    read(field, 0);
  }
}

void Normalizer::read(const JsonField& field, int depth) {
  const auto& type = field["type"].text();
  if (depth > max_nesting) {
    field.refuse("fewer nested sequences");
  }
  if (steps_.size() >= max_steps) {
    field.refuse("fewer steps");
  }
  if (type == "Sequence") {
    for (const auto& step : field["normalizers"].elements()) {
      read(step, depth + 1);
    }
  } else if (type == "NFC" || type == "NFD") {
    steps_.emplace_back(CanonicalForm{type == "NFC"});
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{field["prepend"].text()});
  } else if (type == "Replace") {
    steps_.emplace_back(read_replace(field));
  } else {
    field["type"].refuse(
        "a supported normalizer (Sequence, NFC, NFD, Prepend, Replace)");
  }
}

std::string Normalizer::operator()(std::string_view text) const {
  std::string out(text);
  const std::size_t most = most_growth(text.size());
  for (const auto& step : steps_) {
    out = std::visit(
        [&](const auto& s) { return normalize(s, out, most); }, step);
  }
  return out;
}

} // namespace tessera::text
