#include "check/case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "check/dtype.h"
#include "tessera/error.h"

namespace tessera::cases {

namespace {

std::string side(const std::optional<int>& bound) {
  return bound ? std::to_string(*bound) : "";
}

void check_segments(const AttentionCase& c) {
  if (c.segments.empty()) {
    return;
  }
  const auto sum =
      std::accumulate(c.segments.begin(), c.segments.end(), std::int64_t{0});
  const bool positive =
      *std::min_element(c.segments.begin(), c.segments.end()) > 0;
  if (!positive || sum != c.Nq || c.Nq != c.Nk) {
    reject(
        "bench",
        "expected lengths of documents above 0 whose sum is the length of "
        "queries and of keys, {} and {}; got {} (sum {})",
        c.Nq,
        c.Nk,
        fmt::join(c.segments, ","),
        sum);
  }
}

// The documents' span that a position lies in.
Span document(const std::vector<int>& lengths, int position) {
  int start = 0;
  for (const int length : lengths) {
    if (position < start + length) {
      return {start, start + length};
    }
    start += length;
  }
  return {start, start};
}

} // namespace

void check(const AttentionCase& c) {
  constexpr int largest = 1 << 24;
  for (const auto& [what, value] :
       {std::pair{"a batch size", c.B},
        {"query heads", c.Hq},
        {"key heads", c.Hkv},
        {"a length of queries", c.Nq},
        {"a length of keys", c.Nk},
        {"a head dimension", c.D},
        {"a value dimension", c.Dv}}) {
    if (value < 1 || value > largest) {
      reject("bench", "expected {} from 1 to {}; got {}", what, largest, value);
    }
  }
  if (c.Hq % c.Hkv != 0) {
    reject(
        "bench",
        "expected query heads that are a multiple of key heads; got {}:{}",
        c.Hq,
        c.Hkv);
  }
  check_segments(c);
  if (c.blocks && (c.blocks->rows < 1 || c.blocks->columns < 1)) {
    reject(
        "bench",
        "expected sides of blocks of 1 or more; got {} and {}",
        c.blocks->rows,
        c.blocks->columns);
  }
}

Problem problem_of(const AttentionCase& c, Pass pass) {
  Problem p;
  p.pass = pass;
  p.dtype = dtype_of(c.dtype).value();
  p.B = c.B;
  p.Hq = c.Hq;
  p.Hkv = c.Hkv;
  p.Nq = c.Nq;
  p.Nk = c.Nk;
  p.D = c.D;
  p.Dv = c.Dv;
  p.causal = c.causal;
  if (c.window) {
    p.left = c.window->left.value_or(unbounded);
    p.right = c.window->right.value_or(unbounded);
  }
  p.chunk = c.chunk.value_or(0);
  if (c.blocks) {
    p.block_rows = c.blocks->rows;
    p.block_columns = c.blocks->columns;
  }
  p.features.prefix = c.prefix.has_value();
  p.features.segments = !c.segments.empty();
  p.features.mask = !c.mask.empty();
  p.features.bias = !c.bias.empty();
  p.features.alibi = c.alibi;
  p.features.softcap = c.softcap.has_value();
  p.features.sinks = c.sinks;
  p.features.dropout = c.dropout > 0;
  return p;
}

Span seen(const AttentionCase& c, int row) {
  const auto mask = problem_of(c, Pass::forward).mask(c.prefix.value_or(0));
  const Span span = mask.span(row);
  return c.segments.empty() ? span : intersect(span, document(c.segments, row));
}

mx::Shape resolve(
    const std::string& text, const AttentionCase& c, const char* what) {
  const int whole[] = {c.B, c.Hq, c.Nq, c.Nk};
  const char letters[] = {'B', 'H', 'N', 'N'};
  std::vector<std::string> parts(1);
  for (const char letter : text) {
    if (letter == 'x' || letter == ',') {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  mx::Shape shape;
  for (std::size_t i = 0; i < parts.size() && parts.size() <= 4; ++i) {
    const auto& part = parts[i];
    const std::size_t axis = 4 - parts.size() + i;
    int size = part == std::string(1, letters[axis]) ? whole[axis] : 0;
    if (size == 0) {
      const auto end = part.data() + part.size();
      const auto [stop, error] = std::from_chars(part.data(), end, size);
      size = error == std::errc() && stop == end ? size : 0;
    }
    if (size != 1 && size != whole[axis]) {
      break;
    }
    shape.push_back(size);
  }
  if (shape.size() != parts.size()) {
    reject(
        "bench",
        "expected a shape of {} as 1x1xNxN, broadcastable to [{}]; got {}",
        what,
        fmt::join(whole, ", "),
        text);
  }
  return shape;
}

std::string dtype_name(mx::Dtype dtype) {
  return dtype == mx::float32 ? "float32"
      : dtype == mx::float16  ? "float16"
                              : "bfloat16";
}

std::string describe_mask(const AttentionCase& c) {
  std::vector<std::string> parts;
  const auto add = [&](bool has, const std::string& text) {
    if (has) {
      parts.push_back(text);
    }
  };
  const auto window = c.window.value_or(Window{});
  add(c.causal, "causal");
  add(c.window.has_value(),
      fmt::format("window {}:{}", side(window.left), side(window.right)));
  add(c.prefix.has_value(), fmt::format("prefix {}", c.prefix.value_or(0)));
  add(c.chunk.has_value(), fmt::format("chunk {}", c.chunk.value_or(0)));
  add(!c.segments.empty(), fmt::format("{} segments", c.segments.size()));
  add(!c.mask.empty(), "mask " + c.mask);
  if (c.blocks) {
    parts.push_back(
        fmt::format("blocks {}:{}", c.blocks->rows, c.blocks->columns));
  }
  add(!c.bias.empty(), "bias " + c.bias);
  add(c.alibi, "alibi");
  add(c.softcap.has_value(), fmt::format("softcap {}", c.softcap.value_or(0)));
  add(c.sinks, "sinks");
  add(c.dropout > 0, fmt::format("dropout {}", c.dropout));
  return fmt::format("{}", fmt::join(parts, ", "));
}

} // namespace tessera::cases

namespace tessera {

std::string describe(const AttentionCase& c) {
  const auto mask = cases::describe_mask(c);
  return fmt::format(
      "{}, B {}, heads {}:{}, lengths {}:{}, D {}{}{}{}",
      cases::dtype_name(c.dtype),
      c.B,
      c.Hq,
      c.Hkv,
      c.Nq,
      c.Nk,
      c.D,
      c.Dv == c.D ? "" : fmt::format(", Dv {}", c.Dv),
      mask.empty() ? "" : ", ",
      mask);
}

std::vector<AttentionCase> AttentionGrid::cases() const {
  const auto or_own = [](const std::vector<int>& list, int own) {
    return list.empty() ? std::vector{own} : list;
  };
  std::vector<AttentionCase> cases;
  for (const int N : or_own(seq_lengths, 0)) {
    for (const int D : or_own(head_dims, attention.D)) {
      for (const int B : or_own(batch_sizes, attention.B)) {
        AttentionCase c = attention;
        if (!seq_lengths.empty()) {
          c.Nq = c.Nk = N;
        }
        c.D = D;
        c.Dv = value_dim.value_or(head_dims.empty() ? attention.Dv : D);
        c.B = B;
        cases.push_back(c);
      }
    }
  }
  return cases;
}

} // namespace tessera
