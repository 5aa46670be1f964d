"""Attention for MLX that trains with any mask in linear memory."""

from . import _blas, _build, _mlx

_blas.load()  # before mlx.core
_mlx.require()

from ._core import (
    attention,
    attention_profile,
    explain,
    system_info,
    use_table,
)
from ._measure import benchmark, doctor, plan, tune
from ._patch import patch, unpatch
from . import nn
from .flash import (
    AdaptiveFlashAttention,
    FlashAttentionBenchmark,
    FlashAttentionProfiler,
    MemoryOptimizedFlashAttention,
)
from .nn import (
    OptimizedLoRALinear,
    OptimizedMultiHeadAttention,
    create_optimized_lora_model,
)

__version__ = _build.VERSION

__all__ = [
    "AdaptiveFlashAttention",
    "FlashAttentionBenchmark",
    "FlashAttentionProfiler",
    "MemoryOptimizedFlashAttention",
    "OptimizedLoRALinear",
    "OptimizedMultiHeadAttention",
    "attention",
    "attention_profile",
    "benchmark",
    "create_optimized_lora_model",
    "doctor",
    "explain",
    "nn",
    "patch",
    "plan",
    "system_info",
    "tune",
    "unpatch",
    "use_table",
]
