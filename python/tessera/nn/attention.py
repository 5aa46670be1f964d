"""Multi-head attention with any mask."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .._core import attention


def split_heads(x: mx.array, heads: int) -> mx.array:
    """``[B, N, heads * D]`` to ``[B, heads, N, D]``, without a copy."""
    return mx.unflatten(x, -1, (heads, -1)).swapaxes(1, 2)


def attend(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    *,
    rope: Callable[..., mx.array] | None = None,
    cache: Any = None,
    **keywords: Any,
) -> mx.array:
    """Attention of heads ``[B, H, N, D]``, rotated and joined to a cache of mlx-lm's
    kind, as ``[B, N, H * D]``."""
    if rope is not None:
        offset = cache.offset if cache is not None else 0
        q, k = rope(q, offset=offset), rope(k, offset=offset)
    if cache is not None:
        k, v = cache.update_and_fetch(k, v)
    return mx.flatten(attention(q, k, v, **keywords).swapaxes(1, 2), -2, -1)


class MultiHeadAttention(nn.MultiHeadAttention):
    """``mlx.nn.MultiHeadAttention`` with any mask, grouped heads, RoPE and a cache.

    The first arguments and the parameters' names are MLX's, so its weights load.

    Args:
        dims: Of the model, over all heads.
        num_heads: Query heads.
        query_input_dims: Of the queries; ``dims`` where absent.
        key_input_dims: Of the keys; ``dims`` where absent.
        value_input_dims: Of the values; those of the keys where absent.
        value_dims: Of the projected values, over ``num_heads``; ``dims`` where
            absent.
        value_output_dims: Of the output; ``dims`` where absent.
        bias: Whether the projections have one.
        num_kv_heads: Key heads, a divisor of ``num_heads``; as many where absent.
        rope: A module that rotates ``[B, H, N, D]`` by positions, called with
            ``offset``, such as ``mlx.nn.RoPE``.

    Raises:
        ValueError: Heads that do not divide.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        query_input_dims: int | None = None,
        key_input_dims: int | None = None,
        value_input_dims: int | None = None,
        value_dims: int | None = None,
        value_output_dims: int | None = None,
        bias: bool = False,
        *,
        num_kv_heads: int | None = None,
        rope: nn.Module | None = None,
    ):
        if dims % num_heads:
            raise ValueError(
                "[MultiHeadAttention] expected num_heads that divide dims; got "
                f"{num_heads} and {dims}"
            )
        kv_heads = num_kv_heads or num_heads
        if num_heads % kv_heads:
            raise ValueError(
                "[MultiHeadAttention] expected num_kv_heads that divide num_heads; got "
                f"{kv_heads} and {num_heads}"
            )
        super().__init__(
            dims,
            num_heads,
            query_input_dims,
            key_input_dims,
            value_input_dims,
            value_dims,
            value_output_dims,
            bias,
        )
        self.num_kv_heads = kv_heads
        if kv_heads != num_heads:
            for name in ("key_proj", "value_proj"):
                outputs, inputs = self[name].weight.shape
                self[name] = nn.Linear(inputs, outputs // num_heads * kv_heads, bias)
        if rope is not None:
            self.rope = rope

    def __call__(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        mask: str | mx.array | None = None,
        cache: Any = None,
        **keywords: Any,
    ) -> mx.array:
        """Attends.

        Args:
            queries: ``[B, Nq, query_input_dims]``.
            keys: ``[B, Nk, key_input_dims]``.
            values: ``[B, Nk, value_input_dims]``.
            mask: As for `tessera.attention`.
            cache: Of mlx-lm's kind (``offset``, ``update_and_fetch``).
            **keywords: What else `tessera.attention` takes.

        Returns:
            ``[B, Nq, value_output_dims]``.
        """
        out = attend(
            split_heads(self.query_proj(queries), self.num_heads),
            split_heads(self.key_proj(keys), self.num_kv_heads),
            split_heads(self.value_proj(values), self.num_kv_heads),
            rope=self.get("rope"),
            cache=cache,
            mask=mask,
            **keywords,
        )
        return self.out_proj(out)
