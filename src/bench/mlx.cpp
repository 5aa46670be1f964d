#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "bench/contender.h"
#include "check/case.h"
#include "tessera/info.h"

namespace tessera::bench {

namespace {

// Why MLX's op cannot compute a case; empty where it can.
std::string why_not(const AttentionCase& c, bool backward) {
  if (c.softcap) {
    return "MLX's op has no softcap";
  }
  if (c.dropout > 0) {
    return "MLX's op has no dropout";
  }
  // It holds scores and probabilities, and in the backward pass their
  // gradients; what does not fit would be swapped or killed, not timed.
  const double scores = static_cast<double>(c.B) * c.Hq * c.Nq * c.Nk *
      static_cast<double>(mx::size_of(c.dtype)) / (1 << 30);
  const double held = scores * (backward ? 5 : 3);
  const double memory = system_info().memory_gib;
  if (held > 0.6 * memory) {
    return fmt::format(
        "MLX's op holds about {:.0f} GiB of scores; this machine has {:.0f}",
        held,
        memory);
  }
  return "";
}

// true keeps; absent where every pair sees each other.
std::optional<mx::array> seen(const Arrays& arrays) {
  const auto& c = arrays.attention;
  std::optional<mx::array> keep = kept(arrays);
  if (c.causal || c.window || c.chunk || !c.segments.empty()) {
    const auto positions = seen_by(c, all_rows(c));
    keep = keep ? mx::logical_and(*keep, positions) : positions;
  }
  return keep;
}

// What is added to the scores, in the dtype that MLX's op asks for; absent
// where nothing is.
std::optional<mx::array> added(
    const Arrays& arrays, const std::optional<mx::array>& keep) {
  const auto& o = arrays.options;
  std::optional<mx::array> sum = o.bias;
  if (o.alibi) {
    const auto slopes = mx::reshape(*o.alibi, {-1, 1, 1});
    const auto alibi = mx::multiply(
        slopes, distances(arrays.attention, all_rows(arrays.attention)));
    sum = sum ? mx::add(*sum, alibi) : alibi;
  }
  if (sum && keep) {
    sum = mx::where(
        *keep, *sum, mx::array(-std::numeric_limits<float>::infinity()));
  }
  return sum ? std::optional(mx::astype(*sum, arrays.Q.dtype())) : std::nullopt;
}

bool only_causal(const AttentionCase& c) {
  return c.causal && !c.window && !c.chunk && !c.prefix && c.segments.empty() &&
      c.mask.empty() && !c.blocks && c.bias.empty() && !c.alibi && c.Nq <= c.Nk;
}

mx::array call(const Arrays& a, const std::optional<mx::array>& mask) {
  return mx::fast::scaled_dot_product_attention(
      a.Q,
      a.K,
      a.V,
      1.0f / std::sqrt(static_cast<float>(a.attention.D)),
      only_causal(a.attention) ? "causal"
          : mask               ? "array"
                               : "",
      mask,
      a.options.sinks);
}

} // namespace

std::unique_ptr<Contender> mlx_contender(const Arrays& arrays, bool backward) {
  const auto& c = arrays.attention;
  const auto refusal = why_not(c, backward);
  std::optional<mx::array> keep;
  std::optional<mx::array> mask;
  // Made here, outside of the timing, but where a gradient goes through it.
  if (refusal.empty() && !only_causal(c)) {
    keep = seen(arrays);
    mask = added(arrays, keep);
    mask = mask ? mask : keep;
    if (mask) {
      mx::eval(*mask);
    }
  }
  const bool learned = arrays.all_gradients && backward &&
      (arrays.options.bias || arrays.options.alibi);
  auto contender = std::make_unique<MlxContender>(arrays, [=](const Arrays& a) {
    return call(a, learned ? added(a, keep) : mask);
  });
  contender->name = contender->path = "mlx";
  contender->skipped = refusal;
  return contender;
}

} // namespace tessera::bench
