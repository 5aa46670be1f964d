#include "train/log/page.h"

#include "embedded/page_css.h"
#include "tessera/error.h"

namespace tessera::train {

namespace {

std::string filled(
    std::string_view page, std::string_view place, std::string_view text) {
  const auto at = page.find(place);
  if (at == page.npos) {
    fail("page", "expected {} in a page", place);
  }
  std::string out(page.substr(0, at));
  return out.append(text).append(page.substr(at + place.size()));
}

// "</script>" in a string must not end the element.
std::string script_safe(std::string_view json) {
  std::string text;
  for (const char c : json) {
    text += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  return text;
}

} // namespace

std::string page_of(std::string_view page, std::string_view json) {
  return filled(
      filled(page, "{{style}}", page_css), "{{data}}", script_safe(json));
}

} // namespace tessera::train
