#include "api/arguments.h"

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string_view>

#include "tessera/error.h"

namespace tessera {

namespace {

// [B, Hq, Nq, Nk], which mask and bias broadcast to.
mx::Shape scores_shape(const Problem& p) {
  return {p.B, p.Hq, p.Nq, p.Nk};
}

bool is_integer(const mx::array& x) {
  return mx::issubdtype(x.dtype(), mx::integer);
}

// numpy's rule: the axes match from the last one, and a 1 stands for any.
bool broadcasts_to(const mx::Shape& from, const mx::Shape& to) {
  if (from.size() > to.size()) {
    return false;
  }
  const auto gap = to.size() - from.size();
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1 && from[i] != to[gap + i]) {
      return false;
    }
  }
  return true;
}

// Axes of 1 in front until there are `ndim`: a view, whose gradient has x's own
// shape again.
mx::array with_axes(const mx::array& x, int ndim, mx::Stream stream) {
  std::vector<int> axes(
      static_cast<std::size_t>(ndim - static_cast<int>(x.ndim())));
  std::iota(axes.begin(), axes.end(), 0);
  return axes.empty() ? x : mx::expand_dims(x, axes, stream);
}

void check_numbers(const AttentionOptions& o) {
  if (o.scale && !std::isfinite(*o.scale)) {
    reject("attention", "expected a finite scale; got {}", *o.scale);
  }
  // Subnormal numbers count as 0 in the kernels.
  constexpr float least = std::numeric_limits<float>::min();
  if (o.softcap && !(std::isfinite(*o.softcap) && *o.softcap >= least)) {
    reject(
        "attention",
        "expected a finite softcap of at least 1.2e-38; got {}",
        *o.softcap);
  }
  if (!(o.dropout >= 0 && o.dropout < 1)) {
    reject("attention", "expected a dropout in [0, 1); got {}", o.dropout);
  }
  if (o.dropout > 0 && !o.seed) {
    reject(
        "attention",
        "expected a seed with dropout, which draws nothing of its own; got "
        "none");
  }
  if (o.block_size < 0) {
    reject(
        "attention",
        "expected a block size of 0 (the plan's own) or more; got {}",
        o.block_size);
  }
}

void check_side(std::string_view name, std::optional<int> side) {
  if (side && *side < 0) {
    reject(
        "attention",
        "expected the window's {} side to be 0 or more, or absent where it has "
        "no bound; got {}",
        name,
        *side);
  }
}

// What says by positions alone who sees whom.
void check_geometry(const AttentionOptions& o) {
  if (o.window) {
    check_side("left", o.window->left);
    check_side("right", o.window->right);
  }
  if (o.chunk && *o.chunk < 1) {
    reject("attention", "expected a chunk of 1 key or more; got {}", *o.chunk);
  }
  if (o.chunk && !o.causal) {
    reject("attention", "expected causal with a chunk; got causal = false");
  }
  if (o.prefix && !o.causal) {
    reject("attention", "expected causal with a prefix; got causal = false");
  }
  if (o.blocks && (o.blocks->rows < 1 || o.blocks->columns < 1)) {
    reject(
        "attention",
        "expected blocks of 1 row and 1 column or more; got {} by {}",
        o.blocks->rows,
        o.blocks->columns);
  }
}

// Checks the features' arrays one by one and brings each into its form.
class Reader {
 public:
  Reader(const Problem& problem, mx::Stream stream)
      : p_(problem), stream_(stream) {}

  mx::array mask(const mx::array& x) const {
    if (x.dtype() != mx::bool_ || !broadcasts_to(x.shape(), scores_shape(p_))) {
      reject(
          "attention",
          "expected a boolean mask that broadcasts to {}, [B, Hq, Nq, Nk] "
          "(scores to add are a bias); got {}",
          text(scores_shape(p_)),
          text(x));
    }
    return with_axes(x, 4, stream_);
  }

  mx::array bias(const mx::array& x) const {
    if (!dtype_of(x.dtype()) || !broadcasts_to(x.shape(), scores_shape(p_))) {
      reject(
          "attention",
          "expected a bias in float32, float16 or bfloat16 that broadcasts to "
          "{}, [B, Hq, Nq, Nk] (a boolean one is a mask); got {}",
          text(scores_shape(p_)),
          text(x));
    }
    return with_axes(x, 4, stream_);
  }

  mx::array slopes(const mx::array& x) const {
    const mx::Shape heads = {p_.Hq};
    const mx::Shape all = {p_.B, p_.Hq};
    if (!dtype_of(x.dtype()) || (x.shape() != heads && x.shape() != all)) {
      reject(
          "attention",
          "expected alibi slopes in float32, float16 or bfloat16 of shape {}, "
          "[Hq], or {}, [B, Hq]; got {}",
          text(heads),
          text(all),
          text(x));
    }
    return with_axes(x, 2, stream_);
  }

  mx::array sinks(const mx::array& x) const {
    const mx::Shape heads = {p_.Hq};
    if (!dtype_of(x.dtype()) || x.shape() != heads) {
      reject(
          "attention",
          "expected sinks in float32, float16 or bfloat16 of shape {}, [Hq]; "
          "got {}",
          text(heads),
          text(x));
    }
    return x;
  }

  mx::array segments(
      std::string_view name, const mx::array& x, int length) const {
    const mx::Shape shape = {p_.B, length};
    if (!is_integer(x) || x.shape() != shape) {
      reject(
          "attention",
          "expected segments.{} of an integer dtype and shape {}, [B, N{}]; "
          "got {}",
          name,
          text(shape),
          name,
          text(x));
    }
    return mx::astype(x, mx::int32, stream_);
  }

  mx::array prefix(const mx::array& x) const {
    const mx::Shape shape = {p_.B};
    if (!is_integer(x) || (x.ndim() != 0 && x.shape() != shape)) {
      reject(
          "attention",
          "expected a prefix of an integer dtype, a scalar or of shape {}, "
          "[B]; got {}",
          text(shape),
          text(x));
    }
    return mx::broadcast_to(mx::astype(x, mx::int32, stream_), shape, stream_);
  }

  // The 64 bits of the seed by the graph, so that compile keeps it an input.
  // View has no gradient, hence the stop.
  mx::array seed(const mx::array& x) const {
    if (!is_integer(x) || x.ndim() != 0) {
      reject(
          "attention",
          "expected a seed that is an integer scalar; got {}",
          text(x));
    }
    const auto word =
        mx::astype(mx::stop_gradient(x, stream_), mx::uint64, stream_);
    return mx::view(mx::expand_dims(word, 0, stream_), mx::uint32, stream_);
  }

  mx::array blocks(const BlockList& blocks) const {
    const auto parts = [](int length, int side) {
      return length == 0 ? 0 : (length - 1) / side + 1;
    };
    const mx::Shape shape = {
        p_.B, p_.Hq, parts(p_.Nq, blocks.rows), parts(p_.Nk, blocks.columns)};
    const auto& x = blocks.list;
    if (x.dtype() != mx::bool_ || x.ndim() != 4 ||
        !broadcasts_to(x.shape(), shape) || x.shape(2) != shape[2] ||
        x.shape(3) != shape[3]) {
      reject(
          "attention",
          "expected a boolean blocks.list of shape {}, [B or 1, Hq or 1, "
          "ceil(Nq / {}), ceil(Nk / {})]; got {}",
          text(shape),
          blocks.rows,
          blocks.columns,
          text(x));
    }
    return x;
  }

 private:
  const Problem& p_;
  mx::Stream stream_;
};

AttentionSettings settings_of(const AttentionOptions& o, int D) {
  AttentionSettings s;
  s.numbers.scale = o.scale.value_or(1.0f / std::sqrt(static_cast<float>(D)));
  s.numbers.softcap = o.softcap.value_or(0.0f);
  s.numbers.dropout = o.dropout;
  s.causal = o.causal;
  const Window window = o.window.value_or(Window{});
  s.left = window.left.value_or(unbounded);
  s.right = window.right.value_or(unbounded);
  s.chunk = o.chunk.value_or(0);
  s.block_rows = o.blocks ? o.blocks->rows : 0;
  s.block_columns = o.blocks ? o.blocks->columns : 0;
  s.features = {
      .prefix = o.prefix.has_value(),
      .segments = o.segments.has_value(),
      .mask = o.mask.has_value(),
      .bias = o.bias.has_value(),
      .alibi = o.alibi.has_value(),
      .softcap = o.softcap.has_value(),
      .sinks = o.sinks.has_value(),
      .dropout = o.dropout > 0};
  s.block_size = o.block_size;
  return s;
}

std::map<Operand, mx::array> arrays_of(
    const AttentionOptions& o, const Problem& problem, mx::Stream stream) {
  const Reader read(problem, stream);
  std::map<Operand, mx::array> arrays;
  if (o.bias) {
    arrays.emplace(Operand::bias, read.bias(*o.bias));
  }
  if (o.alibi) {
    arrays.emplace(Operand::slopes, read.slopes(*o.alibi));
  }
  if (o.sinks) {
    arrays.emplace(Operand::sinks, read.sinks(*o.sinks));
  }
  if (o.mask) {
    arrays.emplace(Operand::mask, read.mask(*o.mask));
  }
  if (o.blocks) {
    arrays.emplace(Operand::blocks, read.blocks(*o.blocks));
  }
  if (o.segments) {
    const auto& [q, k] = *o.segments;
    arrays.emplace(Operand::segments_q, read.segments("q", q, problem.Nq));
    arrays.emplace(Operand::segments_k, read.segments("k", k, problem.Nk));
  }
  if (o.prefix) {
    arrays.emplace(Operand::prefix, read.prefix(*o.prefix));
  }
  if (o.seed) {
    arrays.emplace(Operand::seed, read.seed(*o.seed));
  }
  return arrays;
}

} // namespace

Arguments make_arguments(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::Stream stream) {
  check_numbers(options);
  check_geometry(options);
  // Q without axes is refused before D is read.
  auto problem = problem_of(Pass::forward, {}, Q, K, V);
  const auto settings = settings_of(options, problem.D);
  problem = problem_of(Pass::forward, settings, Q, K, V);
  auto arrays = arrays_of(options, problem, stream);
  arrays.insert({{Operand::Q, Q}, {Operand::K, K}, {Operand::V, V}});
  std::vector<mx::array> inputs;
  for (const auto operand : inputs_of(settings)) {
    inputs.push_back(arrays.at(operand));
  }
  return {problem, settings, std::move(inputs)};
}

} // namespace tessera
