"""Attention for MLX that trains with any mask in linear memory."""

from . import _blas

_blas.load()  # before mlx.core

import mlx.core as _mx

from . import _build

if _mx.__version__ != _build.MLX_VERSION:
    raise ImportError(
        f"[tessera] expected mlx {_build.MLX_VERSION}, which this package was built "
        f"against; got {_mx.__version__}. Install that one, or rebuild in Tessera's "
        "folder: pip install scikit-build-core nanobind && pip install "
        "--force-reinstall --no-deps --no-build-isolation "
        f"--config-settings=cmake.define.TESSERA_MLX={_mx.__version__} ."
    )

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
