#include "text/unicode/utf8.h"

namespace tessera::text {

namespace {

unsigned char byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

std::size_t length_by_lead(unsigned char lead) {
  if (lead < 0x80) {
    return 1;
  }
  if (lead >= 0xC2 && lead <= 0xDF) {
    return 2;
  }
  if (lead >= 0xE0 && lead <= 0xEF) {
    return 3;
  }
  return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

} // namespace

Utf8Unit front_unit(std::string_view text) {
  auto lead = byte_at(text, 0);
  auto length = length_by_lead(lead);
  if (length == 0) {
    return {1, false, false};
  }
  // Overlong forms, surrogates and code points beyond U+10FFFF end at the
  // second byte.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) {
      return {i, false, true};
    }
    if (byte_at(text, i) < low || byte_at(text, i) > high) {
      return {i, false, false};
    }
    low = 0x80;
    high = 0xBF;
  }
  return {length, true, false};
}

bool is_well_formed(std::string_view text) {
  while (!text.empty()) {
    auto unit = front_unit(text);
    if (!unit.well_formed) {
      return false;
    }
    text.remove_prefix(unit.length);
  }
  return true;
}

std::string replace_ill_formed(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    auto unit = front_unit(text);
    out += unit.well_formed ? text.substr(0, unit.length) : "\uFFFD";
    text.remove_prefix(unit.length);
  }
  return out;
}

char32_t next_code_point(std::string_view& text) {
  auto lead = byte_at(text, 0);
  auto length = length_by_lead(lead);
  char32_t code_point = length == 1 ? lead : lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    code_point = code_point << 6 | (byte_at(text, i) & 0x3Fu);
  }
  text.remove_prefix(length);
  return code_point;
}

void append_utf8(std::string& out, char32_t code_point) {
  auto put = [&](char32_t byte) {
    out += static_cast<char>(byte);
  };
  if (code_point < 0x80) {
    put(code_point);
    return;
  }
  if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      put(0xE0 | code_point >> 12);
    } else {
      put(0xF0 | code_point >> 18);
      put(0x80 | (code_point >> 12 & 0x3F));
    }
    put(0x80 | (code_point >> 6 & 0x3F));
  }
  put(0x80 | (code_point & 0x3F));
}

bool is_white_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 ||
      c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
      c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

} // namespace tessera::text
