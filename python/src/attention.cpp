#include "tessera/attention.h"

#include <fmt/format.h>

#include "arguments.h"
#include "module.h"

namespace tessera::python {

namespace {

using namespace nb::literals;

constexpr const char* op = "attention";

constexpr const char* attention_doc =
    R"(Attention with any mask, in memory linear in the length.

``O = softmax(scores) V``, forward and backward, without ever holding the
scores. Every keyword combines with every other. Works under ``mx.grad``,
``mx.value_and_grad``, ``mx.vmap``, ``mx.compile`` and ``mx.checkpoint``.

With ``i' = i + Nk - Nq`` the position of query ``i``, it sees key ``j`` iff
(not ``causal``, or ``j <= i'``, or ``j < prefix``), and the window, the chunk,
the segments, the mask and the block list allow it. A score, in float32:
``s = scale * q.k``; ``s = c * tanh(s / c)``; ``s += bias``;
``s -= slope * |i' - j|``; keys not seen leave the sum; the sink joins the
denominator as it is. A row that sees no key is 0.

Args:
    q: Queries ``[B, Hq, Nq, D]``, float32, float16 or bfloat16.
    k: Keys ``[B, Hkv, Nk, D]`` in q's dtype; Hq is a multiple of Hkv.
    v: Values ``[B, Hkv, Nk, Dv]`` in q's dtype.
    scale: Factor on ``q k^T``; ``1 / sqrt(D)`` where absent.
    causal: Keys ``j <= i'`` alone (lower-right aligned).
    mask: ``"causal"``; a boolean array that broadcasts to ``[B, Hq, Nq, Nk]``,
        where true keeps; or a float one, which is a bias.
    bias: Float of any dtype that broadcasts to ``[B, Hq, Nq, Nk]``, added to
        the scaled scores. Differentiable, in its own shape and dtype.
    window: ``(left, right)``: keys ``i' - left`` to ``i' + right``; None is no
        bound. Hugging Face's ``sliding_window`` w is ``(w - 1, 0)``.
    segments: Ids of packed documents, an integer array ``[B, N]`` or a pair
        ``([B, Nq], [B, Nk])``: equal ids see each other.
    prefix: With causal: keys ``j < prefix`` are seen by every query; an int or
        ``[B]``.
    chunk: With causal: only keys of the same chunk of so many keys.
    alibi: Slopes ``[Hq]`` or ``[B, Hq]``. Differentiable.
    softcap: ``c`` of ``c * tanh(s / c)``.
    sinks: ``[Hq]``, one more logit a head in the denominator. Differentiable.
    dropout: Probability in [0, 1) that an attention weight is left out.
    seed: Of dropout: an int, or an integer scalar array (which ``mx.compile``
        keeps an input).
    blocks: ``(list, rows, columns)``, a boolean list ``[B or 1, Hq or 1,
        ceil(Nq / rows), ceil(Nk / columns)]``; blocks that are off cost
        nothing.
    return_lse: Also return the logsumexp of the scores.
    implementation: ``"auto"``, ``"tessera"`` or ``"mlx"``. ``auto`` is
        Tessera's unless MLX's own op was measured faster where both agree.
    block_size: Rows and columns of a tile; left to the plan where absent.
    stream: Stream or device.

Returns:
    O ``[B, Hq, Nq, Dv]`` in q's dtype; with ``return_lse`` the pair (O, L),
    L ``[B, Hq, Nq]`` float32, natural logarithm, the sink included and dropout
    not, -inf where no key is seen. L is differentiable.

Raises:
    ValueError: A shape, dtype, number or word that does not fit.
    TypeError: An argument of another type.

Method: Dao, "FlashAttention-2" (2023), sections 3.1 and 3.2. ALiBi: Press et
al. (2022), section 3. Sinks: Xiao et al. (2024), section 3.2. Dropout: Salmon
et al. (2011), section 3.4 (Philox).)";

nb::object attention_call(
    nb::handle q, nb::handle k, nb::handle v, const nb::kwargs& given) {
  const auto Q = array_of(q, op, "q");
  const auto K = array_of(k, op, "k");
  const auto V = array_of(v, op, "v");
  const auto keywords = attention_keywords(given);
  if (!keywords.return_lse) {
    return nb::cast(
        tessera::attention(Q, K, V, keywords.options, keywords.stream));
  }
  const auto both =
      attention_with_logsumexp(Q, K, V, keywords.options, keywords.stream);
  return nb::make_tuple(both.O, both.L);
}

void add_overload(
    nb::module_& module, const char* return_lse, const char* result) {
  const auto signature = attention_signature(op, result, return_lse);
  module.def(
      op,
      &attention_call,
      "q"_a.none(),
      "k"_a.none(),
      "v"_a.none(),
      "keywords"_a,
      nb::sig(signature.c_str()),
      attention_doc);
}

} // namespace

// One function three times, so that type checkers know what a call returns. The
// first takes every call.
void add_attention(nb::module_& module) {
  constexpr const char* one = "mlx.core.array";
  constexpr const char* both = "tuple[mlx.core.array, mlx.core.array]";
  const auto either = fmt::format("{} | {}", one, both);
  add_overload(module, "typing.Literal[False] = False", one);
  add_overload(module, "typing.Literal[True]", both);
  add_overload(module, "bool", either.c_str());
}

} // namespace tessera::python
