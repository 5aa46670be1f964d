#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tessera::text {

// A Jinja template as its parser sees it, so that two spellings of the same
// program are the same text: trim_blocks and lstrip_blocks applied (as
// transformers sets them), quotes, escapes and spaces within tags gone,
// message['role'] as message.role, {{ 'a' + b }} as a{{ b }}, comments and
// {% generation %} marks left out.
struct CanonicalTemplate {
  std::string text;
  // X, where "<|im_start|>system\nX<|im_end|>\n" stands in it; X is cut out.
  std::optional<std::string> default_system;
};

// Absent where the template has a tag without an end or a string with an escape
// that is not known.
std::optional<CanonicalTemplate> canonical_template(std::string_view jinja);

} // namespace tessera::text
