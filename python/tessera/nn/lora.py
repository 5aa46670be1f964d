"""Low-rank adaptation of a linear module."""

import math

import mlx.core as mx
import mlx.nn as nn


class LoRALinear(nn.Module):
    """A linear module whose output gains ``scale * (x A) B``.

    The parameters' names and shapes are mlx-lm's, ``lora_a [in, r]`` and
    ``lora_b [r, out]`` beside ``linear``, so that its adapters load here and ours
    there. Method: Hu et al., "LoRA" (2021), section 4.1.

    Args:
        base: A linear or quantised linear module, which is kept and frozen.
        r: The rank.
        dropout: Probability that an element of x is left out on its way into A.
        scale: The factor.

    Raises:
        ValueError: A rank below 1.
        TypeError: A module that is not linear.
    """

    def __init__(self, base: nn.Module, r: int = 8, dropout: float = 0.0, scale: float = 20.0):
        super().__init__()
        if r < 1:
            raise ValueError(f"[LoRALinear] expected a rank r of 1 or more; got {r}")
        if not isinstance(base, nn.Linear | nn.QuantizedLinear):
            raise TypeError(
                f"[LoRALinear] expected an mlx.nn.Linear or QuantizedLinear; got {type(base)}"
            )
        outputs, inputs = base.weight.shape
        if isinstance(base, nn.QuantizedLinear):
            inputs = inputs * 32 // base.bits
        self.linear = base
        self.linear.freeze()
        self.dropout = nn.Dropout(dropout)
        self.scale = scale
        bound = 1 / math.sqrt(inputs)
        self.lora_a = mx.random.uniform(-bound, bound, (inputs, r))
        self.lora_b = mx.zeros((r, outputs))

    @classmethod
    def from_base(
        cls, linear: nn.Module, r: int = 8, dropout: float = 0.0, scale: float = 20.0
    ) -> "LoRALinear":
        """Adapts ``linear``, which is kept and frozen; the output is at first the
        same. The arguments are mlx-lm's."""
        return cls(linear, r, dropout, scale)

    def __call__(self, x: mx.array) -> mx.array:
        """``[..., in]`` to ``[..., out]`` in x's dtype."""
        update = (self._dropped(x) @ self.lora_a) @ self.lora_b
        return self.linear(x) + (self.scale * update).astype(x.dtype)

    def _dropped(self, x: mx.array) -> mx.array:
        return self.dropout(x)
