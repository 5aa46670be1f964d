#include "text/unicode/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <limits>

#include "tessera/error.h"
#include "text/unicode/utf8.h"

namespace tessera::text {

struct Regex::Program {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  std::string pattern;

  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

namespace {

struct MatchData {
  pcre2_match_data* data;

  explicit MatchData(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)) {}
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  ~MatchData() {
    pcre2_match_data_free(data);
  }
};

PCRE2_SPTR units(std::string_view text) {
  // PCRE2 10.42 refuses a null subject even where the length is 0.
  return reinterpret_cast<PCRE2_SPTR>(text.empty() ? "" : text.data());
}

// The machine code has a small fixed stack; where a text needs more, the
// interpreter (whose memory is the heap) finishes the work.
int search(
    const pcre2_code* code,
    pcre2_match_context* context,
    MatchData& match,
    std::string_view text,
    std::size_t from,
    std::uint32_t options = 0) {
  auto run = [&](std::uint32_t more) {
    return pcre2_match(
        code,
        units(text),
        text.size(),
        from,
        options | PCRE2_NO_UTF_CHECK | more,
        match.data,
        context);
  };
  int result = run(0);
  return result == PCRE2_ERROR_JIT_STACKLIMIT ? run(PCRE2_NO_JIT) : result;
}

} // namespace

Regex::Regex(std::shared_ptr<const Program> program)
    : program_(std::move(program)) {}

namespace {

pcre2_code* compile_code(const std::string& pattern, std::uint32_t options) {
  int error = 0;
  std::size_t offset = 0;
  auto* code = pcre2_compile(
      units(pattern), pattern.size(), options, &error, &offset, nullptr);
  if (code == nullptr) {
    unsigned char message[256] = {};
    pcre2_get_error_message(error, message, sizeof message);
    reject(
        "regex",
        "expected a well-formed pattern; got one with \"{}\" at byte {}",
        reinterpret_cast<const char*>(message),
        offset);
  }
  // A machine without just-in-time compilation runs the interpreter.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return code;
}

} // namespace

Regex Regex::native(const std::string& pattern) {
  auto program = std::make_shared<Program>();
  program->pattern = pattern;
  program->code =
      compile_code(pattern, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE);
  constexpr auto unlimited = std::numeric_limits<std::uint32_t>::max();
  program->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(program->context, unlimited);
  pcre2_set_depth_limit(program->context, unlimited);
  pcre2_set_heap_limit(program->context, unlimited);
  return Regex(program);
}

Regex Regex::compile(std::string_view pattern) {
  return native(translate_pattern(pattern));
}

Regex Regex::literal(std::string_view text) {
  std::string pattern;
  for (char c : text) {
    bool plain = static_cast<unsigned char>(c) >= 0x80 || c == '_' ||
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
        (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) <= 0x20;
    pattern += plain ? std::string(1, c) : std::string{'\\', c};
  }
  return native(pattern);
}

void Regex::for_each_match(
    std::string_view text, const std::function<void(Match)>& visit) const {
  MatchData match(program_->code);
  const auto* offsets = pcre2_get_ovector_pointer(match.data);
  constexpr auto none = std::numeric_limits<std::size_t>::max();
  std::size_t from = 0;
  std::size_t last_stop = none;
  while (from <= text.size()) {
    int result = search(program_->code, program_->context, match, text, from);
    if (result == PCRE2_ERROR_NOMATCH) {
      return;
    }
    if (result < 0) {
      fail("regex", "PCRE2 error {} on {}", result, program_->pattern);
    }
    auto [start, stop] = Match{offsets[0], offsets[1]};
    if (start == stop && stop == last_stop) {
      from += from < text.size() ? front_unit(text.substr(from)).length : 1;
      continue;
    }
    visit({start, stop});
    from = last_stop = stop;
  }
}

bool Regex::matches_at_start(std::string_view text) const {
  MatchData match(program_->code);
  return search(
             program_->code,
             program_->context,
             match,
             text,
             0,
             PCRE2_ANCHORED) >= 0;
}

} // namespace tessera::text
