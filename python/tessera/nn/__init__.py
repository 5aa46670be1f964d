"""Modules for MLX's neural networks, on Tessera's attention."""

from .attention import MultiHeadAttention
from .lora import LoRALinear
from .optimized import (
    OptimizedLoRALinear,
    OptimizedMultiHeadAttention,
    create_optimized_lora_model,
)

__all__ = [
    "LoRALinear",
    "MultiHeadAttention",
    "OptimizedLoRALinear",
    "OptimizedMultiHeadAttention",
    "create_optimized_lora_model",
]
