#include "text/unicode/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <limits>

#include "tessera/error.h"
#include "text/unicode/utf8.h"

namespace tessera::text {

struct Regex::Program {
  pcre2_code* code = nullptr;
  std::string pattern;

  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    pcre2_code_free(code);
  }
};

namespace {

// How much a match that begins at one place may try. What a sensible pattern
// tries grows with the text; nested repetition tries powers of its length.
std::uint32_t most_tries(std::size_t bytes) {
  constexpr std::size_t base = 1'000'000;
  constexpr std::size_t for_a_byte = 64;
  constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(
      std::min(most, base + for_a_byte * std::min(bytes, most / for_a_byte)));
}

// What the searches through one text share.
struct Search {
  pcre2_match_data* data;
  pcre2_match_context* context;

  Search(const pcre2_code* code, std::size_t bytes)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)),
        context(pcre2_match_context_create(nullptr)) {
    constexpr std::uint32_t heap = 4 << 20; // KiB
    pcre2_set_match_limit(context, most_tries(bytes));
    pcre2_set_depth_limit(context, most_tries(bytes));
    pcre2_set_heap_limit(context, heap);
  }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;
  ~Search() {
    pcre2_match_context_free(context);
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
    Search& state,
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
        state.data,
        state.context);
  };
  int result = run(0);
  return result == PCRE2_ERROR_JIT_STACKLIMIT ? run(PCRE2_NO_JIT) : result;
}

// Whether a search has found something.
bool found(int result, const std::string& pattern) {
  if (result >= 0 || result == PCRE2_ERROR_NOMATCH) {
    return result >= 0;
  }
  if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT ||
      result == PCRE2_ERROR_HEAPLIMIT) {
    reject(
        "tokenizer",
        "expected patterns whose work grows with the text; got {}, which tries "
        "too many ways to match one",
        pattern.substr(0, 80));
  }
  fail("regex", "PCRE2 error {} on {}", result, pattern);
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
  Search state(program_->code, text.size());
  const auto* offsets = pcre2_get_ovector_pointer(state.data);
  constexpr auto none = std::numeric_limits<std::size_t>::max();
  std::size_t from = 0;
  std::size_t last_stop = none;
  while (from <= text.size()) {
    if (!found(search(program_->code, state, text, from), program_->pattern)) {
      return;
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
  Search state(program_->code, text.size());
  return found(
      search(program_->code, state, text, 0, PCRE2_ANCHORED),
      program_->pattern);
}

} // namespace tessera::text
