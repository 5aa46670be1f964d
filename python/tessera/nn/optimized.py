"""Attention and LoRA under the names q_proj, k_proj, v_proj and out_proj."""

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from .attention import attend, split_heads
from .lora import LoRALinear


class OptimizedMultiHeadAttention(nn.Module):
    """Self-attention with any mask and a cache.

    Args:
        dims: Of the model, over all heads.
        num_heads: Query and key heads.
        bias: Whether the projections have one.

    Raises:
        ValueError: Heads that do not divide ``dims``.
    """

    def __init__(self, dims: int, num_heads: int, bias: bool = False):
        super().__init__()
        if dims % num_heads:
            raise ValueError(
                "[OptimizedMultiHeadAttention] expected num_heads that divide dims; got "
                f"{num_heads} and {dims}"
            )
        self.dims = dims
        self.num_heads = self.num_kv_heads = num_heads
        self.head_dim = dims // num_heads
        self.scale = 1.0 / math.sqrt(self.head_dim)
        self.q_proj = nn.Linear(dims, dims, bias=bias)
        self.k_proj = nn.Linear(dims, dims, bias=bias)
        self.v_proj = nn.Linear(dims, dims, bias=bias)
        self.out_proj = nn.Linear(dims, dims, bias=bias)

    @classmethod
    def from_base(cls, base: nn.Module) -> "OptimizedMultiHeadAttention":
        """Takes over the projections, heads, scale and RoPE of an attention of
        mlx-lm's Llama or Qwen2."""
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        module.num_heads, module.num_kv_heads = base.n_heads, base.n_kv_heads
        module.scale = base.scale
        module.head_dim = round(base.scale**-2)
        module.dims = module.num_heads * module.head_dim
        module.q_proj, module.k_proj = base.q_proj, base.k_proj
        module.v_proj, module.out_proj = base.v_proj, base.o_proj
        module.rope = base.rope
        return module

    def __call__(
        self, x: mx.array, mask: str | mx.array | None = None, cache: Any = None
    ) -> mx.array:
        """``[B, N, dims]`` to the same; mask and cache as for
        `MultiHeadAttention`."""
        out = attend(
            split_heads(self.q_proj(x), self.num_heads),
            split_heads(self.k_proj(x), self.num_kv_heads),
            split_heads(self.v_proj(x), self.num_kv_heads),
            rope=self.get("rope"),
            cache=cache,
            scale=self.scale,
            mask=mask,
        )
        return self.out_proj(out)


class OptimizedLoRALinear(LoRALinear):
    """`LoRALinear` with the factor ``alpha / r``.

    Args:
        base_layer: The linear module, which is kept and frozen. Where it has an
            ``attention`` of its own, with q_proj, k_proj, v_proj and out_proj, an
            `OptimizedMultiHeadAttention` of its ``dims`` and ``num_heads`` takes over
            the weights and that place.
        r: The rank.
        alpha: Over ``r``, the factor.
        dropout: As for `LoRALinear`; the attribute is the number.

    Raises:
        ValueError: A rank below 1, a dropout outside [0, 1), or an attention of other
            parameters.
    """

    def __init__(self, base_layer: nn.Module, r: int = 8, alpha: float = 16, dropout: float = 0.0):
        super().__init__(base_layer, r, dropout, alpha / max(r, 1))
        self._dropout = self.pop("dropout")
        self.r = r
        self.alpha = alpha
        self.dropout = dropout
        if hasattr(base_layer, "attention"):
            base_layer.attention = _same_attention(base_layer)
            base_layer.attention.freeze()

    @property
    def base_layer(self) -> nn.Module:
        """The module that is adapted; ``linear`` by mlx-lm's name."""
        return self.linear

    @property
    def attention(self) -> OptimizedMultiHeadAttention:
        """That of `base_layer`, where it has one."""
        return self.linear.attention

    def _dropped(self, x: mx.array) -> mx.array:
        return self._dropout(x)


def _same_attention(layer: nn.Module) -> OptimizedMultiHeadAttention:
    """Ours, with the weights of the layer's own."""
    theirs = layer.attention.parameters()
    bias = "bias" in theirs.get("q_proj", {})
    ours = OptimizedMultiHeadAttention(layer.dims, layer.num_heads, bias)
    want, got = (dict(tree_flatten(p)) for p in (ours.parameters(), theirs))
    if {n: x.shape for n, x in want.items()} != {n: x.shape for n, x in got.items()}:
        raise ValueError(
            "[OptimizedLoRALinear] expected a base_layer whose attention has the parameters "
            f"{', '.join(want)} of its dims {layer.dims}; got {', '.join(got)}"
        )
    ours.update(theirs)
    return ours


def create_optimized_lora_model(model: nn.Module, args: Any) -> nn.Module:
    """Gives the last layers of a model our attention, and LoRA on q and v.

    Args:
        model: A Llama or Qwen2 model of mlx-lm; changed in place. Its weights stay,
            frozen, so that the output is at first the same.
        args: ``lora_layers``, how many, and ``lora_rank``.

    Returns:
        The model, whose trainable parameters are the adapters'.

    Raises:
        ValueError: A model of another architecture, or too few layers.
    """
    kind = getattr(model, "model_type", type(model).__name__)
    if kind not in ("llama", "qwen2"):
        raise ValueError(
            f"[create_optimized_lora_model] expected a Llama or Qwen2 model of mlx-lm; got {kind}"
        )
    layers = model.model.layers
    if not 0 < args.lora_layers <= len(layers):
        raise ValueError(
            "[create_optimized_lora_model] expected args.lora_layers from 1 to "
            f"{len(layers)}; got {args.lora_layers}"
        )
    model.freeze()
    for layer in layers[-args.lora_layers :]:
        layer.self_attn = OptimizedMultiHeadAttention.from_base(layer.self_attn)
        for name in ("q_proj", "v_proj"):
            layer.self_attn[name] = LoRALinear.from_base(layer.self_attn[name], r=args.lora_rank)
    return model
