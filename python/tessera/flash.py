"""Benchmark, block sizes, profile and memory as classes."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from . import _core
from ._measure import benchmark
from ._patch import patch


class FlashAttentionBenchmark:
    """Tessera's attention beside MLX's own: time in seconds of a forward and a backward
    pass, memory in bytes.

    Args:
        **case: What else of a case `tessera.benchmark` takes: ``heads``, ``causal``,
            ``dtype``, ``rounds``, ...
    """

    def __init__(self, **case: Any):
        self.case = case

    def benchmark_attention(
        self, seq_lengths: list[int], head_dims: list[int], batch_sizes: list[int]
    ) -> dict[tuple[int, int, int], dict[str, Any]]:
        """Measures every combination.

        Returns:
            By ``(seq_len, head_dim, batch_size)``: ``mlx`` and ``flash``, each
            ``{"time", "memory"}``; ``speedup``, mlx over flash; ``memory_reduction``,
            what of mlx's memory is spared. None where something was not to be
            measured.
        """
        lists = {"seq_lengths": seq_lengths, "head_dims": head_dims, "batch_sizes": batch_sizes}
        result = benchmark(**{name: list(values) for name, values in lists.items()}, **self.case)
        return {
            (one["seq_len"], one["head_dim"], one["batch_size"]): {
                "mlx": {key: one["mlx"].get(key) for key in ("time", "memory")},
                "flash": {key: one["flash"].get(key) for key in ("time", "memory")},
                "speedup": one["speedup"],
                "memory_reduction": one["memory_reduction"],
            }
            for one in result["results"]
        }

    def benchmark_mlx_attention(
        self, batch_size: int, seq_len: int, head_dim: int
    ) -> tuple[float, int]:
        """``(time, memory)`` of MLX's own op."""
        return self._one(batch_size, seq_len, head_dim, "mlx")

    def benchmark_flash_attention(
        self, batch_size: int, seq_len: int, head_dim: int
    ) -> tuple[float, int]:
        """``(time, memory)`` of Tessera's attention."""
        return self._one(batch_size, seq_len, head_dim, "flash")

    def _one(self, batch_size: int, seq_len: int, head_dim: int, who: str) -> tuple[float, int]:
        (result,) = self.benchmark_attention([seq_len], [head_dim], [batch_size]).values()
        return result[who]["time"], result[who]["memory"]


def _zeros(seq_len: int, head_dim: int, heads: int = 1, batch_size: int = 1) -> mx.array:
    return mx.zeros((batch_size, heads, seq_len, head_dim))


def _workspace(told: dict[str, Any]) -> int:
    """The most bytes that a pass of an explained call works in."""
    return max(one.get("workspace_bytes", 0) for one in told["passes"])


class AdaptiveFlashAttention:
    """Block sizes by the planner, for as much memory as there is."""

    def __init__(self) -> None:
        self.block_size_cache: dict[tuple[int, int, int], int] = {}

    def get_optimal_block_size(self, seq_len: int, head_dim: int, available_memory: int) -> int:
        """A ``block_size`` for `tessera.attention`.

        Args:
            seq_len: Of queries and keys.
            head_dim: Of queries, keys and values.
            available_memory: For the workspace of a call, in bytes.

        Returns:
            The rows that the planner takes by itself, or the most below them whose
            workspace fits.

        Raises:
            ValueError: No block size fits.
        """
        key = (seq_len, head_dim, available_memory)
        if key not in self.block_size_cache:
            self.block_size_cache[key] = self.compute_block_size(*key)
        return self.block_size_cache[key]

    def compute_block_size(self, seq_len: int, head_dim: int, available_memory: int) -> int:
        """`get_optimal_block_size`, computed anew."""
        x = _zeros(seq_len, head_dim)
        told = _core.explain(x, x, x, implementation="tessera")
        for size in range(told["passes"][0]["rows"], 0, -1):
            try:
                told = _core.explain(x, x, x, implementation="tessera", block_size=size)
            except ValueError:  # not a multiple of what the processor computes at once
                continue
            if _workspace(told) <= available_memory:
                return size
        raise ValueError(
            "[get_optimal_block_size] expected memory for the workspace of one tile; got "
            f"{available_memory} bytes"
        )


class FlashAttentionProfiler:
    """Time, memory and utilisation of the attention layers of a model.

    Each layer is evaluated by itself while it is monitored, so calls under
    ``mx.compile`` cannot be.
    """

    METRICS = (
        "attention_time_ms",
        "memory_usage_mb",
        "gpu_utilization_pct",
        "alu_utilization_pct",
    )

    def __init__(self) -> None:
        self._monitored: list[tuple[nn.Module, type]] = []
        self._patch: patch | None = None

    def monitor_attention_performance(self, model: nn.Module) -> dict[str, list]:
        """Begins to monitor every module that has q_proj (or query_proj).

        Args:
            model: Whose attention is Tessera's until `stop`.

        Returns:
            Lists that grow by a number at each call of such a module:
            ``attention_time_ms`` of attention alone, ``memory_usage_mb`` in use
            after it, ``gpu_utilization_pct`` (None on the CPU, where Tessera's
            kernels run) and ``alu_utilization_pct``, the operations that the result
            needs over the processor's float32 peak.

        Raises:
            ValueError: A model without such a module.
        """
        self.stop()
        metrics: dict[str, list] = {name: [] for name in self.METRICS}
        layers = [
            module
            for _, module in model.named_modules()
            if "q_proj" in module or "query_proj" in module
        ]
        if not layers:
            raise ValueError(
                "[monitor_attention_performance] expected a model with modules that have "
                "q_proj or query_proj; got none"
            )
        self._patch = patch()
        for layer in layers:
            self._monitored.append((layer, type(layer)))
            layer.__class__ = _monitored(type(layer), metrics)
        return metrics

    start_monitoring = monitor_attention_performance

    def stop(self) -> None:
        """Leaves the model as it was."""
        for layer, kind in self._monitored:
            layer.__class__ = kind
        self._monitored.clear()
        if self._patch is not None:
            self._patch.__exit__(None, None, None)
            self._patch = None


def _monitored(kind: type, metrics: dict[str, list]) -> type:
    """A subclass that adds to the metrics at each call."""
    peak = _core.peak_gflops() * 1e9

    def call(self: nn.Module, *args: Any, **keywords: Any) -> Any:
        mx.eval([x for x in args if isinstance(x, mx.array)])
        before = _core.attention_profile()
        out = kind.__call__(self, *args, **keywords)
        mx.eval(out)
        after = _core.attention_profile()
        seconds = after["seconds"] - before["seconds"]
        flops = after["flops"] - before["flops"]
        metrics["attention_time_ms"].append(1e3 * seconds)
        metrics["memory_usage_mb"].append(mx.get_active_memory() / 2**20)
        metrics["gpu_utilization_pct"].append(None)
        metrics["alu_utilization_pct"].append(100 * flops / seconds / peak if seconds else 0.0)
        return out

    return type(kind.__name__, (kind,), {"__call__": call})


class MemoryOptimizedFlashAttention:
    """Whether a training step's attention fits into memory.

    Args:
        max_memory_gb: What there is; found out where absent.
        num_heads: Query and key heads of the model.
        head_dim: Of each.
        num_layers: Whose activations are kept for the backward pass.
    """

    def __init__(
        self,
        max_memory_gb: float | None = None,
        num_heads: int = 8,
        head_dim: int = 64,
        num_layers: int = 1,
    ):
        self.max_memory = max_memory_gb or self.detect_available_memory()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.num_layers = num_layers

    def detect_available_memory(self) -> float:
        """GB that MLX's default device may use."""
        device = mx.device_info()
        limit = device.get("max_recommended_working_set_size")
        return limit / 1e9 if limit else _core.system_info()["memory_gib"] * 2**30 / 1e9

    def estimate_memory_usage(self, seq_len: int, batch_size: int) -> float:
        """GB of attention in a float32 training step: q, k, v, O and L of every
        layer, and of one layer the gradients and the workspace."""
        x = _zeros(seq_len, self.head_dim, self.num_heads, batch_size)
        told = _core.explain(x, x, x, causal=True, implementation="tessera")
        kept = 4 * x.nbytes + x.nbytes // self.head_dim
        return (self.num_layers * kept + 4 * x.nbytes + _workspace(told)) / 1e9

    def adaptive_checkpointing(self, seq_len: int, batch_size: int) -> bool:
        """Whether to checkpoint: the estimate takes more than 0.8 of the memory."""
        return self.estimate_memory_usage(seq_len, batch_size) > self.max_memory * 0.8
