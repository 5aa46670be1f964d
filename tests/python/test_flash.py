"""Benchmark, block sizes, profile and memory as classes."""

import mlx.core as mx
import mlx.nn as nn
import pytest
import tessera
from test_nn import model_of


def test_benchmark_has_its_keys():
    benchmark = tessera.FlashAttentionBenchmark(heads=(4, 2), causal=True, rounds=1)
    results = benchmark.benchmark_attention([64, 96], [16, 32], [1])
    assert list(results) == [(64, 16, 1), (64, 32, 1), (96, 16, 1), (96, 32, 1)]
    for one in results.values():
        assert set(one) == {"mlx", "flash", "speedup", "memory_reduction"}
        assert set(one["mlx"]) == set(one["flash"]) == {"time", "memory"}
        assert one["speedup"] == one["mlx"]["time"] / one["flash"]["time"]
        spared = one["mlx"]["memory"] - one["flash"]["memory"]
        assert one["memory_reduction"] == pytest.approx(spared / one["mlx"]["memory"])


@pytest.mark.parametrize("who", ["mlx", "flash"])
def test_benchmark_of_one(who):
    benchmark = tessera.FlashAttentionBenchmark(rounds=1)
    time, memory = getattr(benchmark, f"benchmark_{who}_attention")(2, 64, 16)
    assert 0 < time < 60 and memory > 2 * 64 * 16 * 4


def test_block_size_is_one_that_attention_takes():
    adaptive = tessera.AdaptiveFlashAttention()
    size = adaptive.get_optimal_block_size(512, 64, 1 << 30)
    assert adaptive.block_size_cache == {(512, 64, 1 << 30): size}
    q = mx.random.normal((1, 1, 512, 64))
    told = tessera.explain(q, q, q, implementation="tessera", block_size=size)
    assert told["passes"][0]["rows"] == size
    limit = max(one["workspace_bytes"] for one in told["passes"]) - 1
    small = adaptive.get_optimal_block_size(512, 64, limit)
    assert small < size
    told = tessera.explain(q, q, q, implementation="tessera", block_size=small)
    assert all(one["workspace_bytes"] <= limit for one in told["passes"])
    with pytest.raises(ValueError, match=r"\[get_optimal_block_size\] expected .*; got 10 bytes"):
        adaptive.get_optimal_block_size(512, 64, 10)


def test_profiler_counts_each_layer_and_leaves():
    model = model_of("llama")
    tokens = mx.random.randint(0, 50, (1, 40))
    want = model(tokens)
    kinds = [type(layer.self_attn) for layer in model.layers]
    original = mx.fast.scaled_dot_product_attention
    profiler = tessera.FlashAttentionProfiler()
    metrics = profiler.monitor_attention_performance(model)
    assert set(metrics) == {
        "attention_time_ms",
        "memory_usage_mb",
        "gpu_utilization_pct",
        "alu_utilization_pct",
    }
    assert mx.allclose(model(tokens), want, rtol=1e-4, atol=1e-5)
    assert all(len(values) == 3 for values in metrics.values())
    assert all(value > 0 for value in metrics["attention_time_ms"])
    assert all(0 < value < 100 for value in metrics["alu_utilization_pct"])
    profiler.stop()
    mx.eval(model(tokens))
    assert all(len(values) == 3 for values in metrics.values())
    assert [type(layer.self_attn) for layer in model.layers] == kinds
    assert mx.fast.scaled_dot_product_attention is original


def test_profiler_refuses_what_has_no_attention():
    with pytest.raises(ValueError, match=r"\[monitor_attention_performance\] expected .*; got"):
        tessera.FlashAttentionProfiler().monitor_attention_performance(nn.Linear(2, 2))


def test_memory_grows_with_the_length_and_decides():
    memory = tessera.MemoryOptimizedFlashAttention(num_heads=4, head_dim=32, num_layers=2)
    assert memory.max_memory == memory.detect_available_memory() > 0.1
    at = [memory.estimate_memory_usage(n, 2) for n in (1024, 2048, 4096)]
    assert at[0] < at[1] < at[2] < 2.2 * at[1]  # not with its square
    arrays = 4 * 2 * 4 * 2048 * 32 * 4
    assert at[1] * 1e9 > 2 * arrays
    limited = tessera.MemoryOptimizedFlashAttention(
        max_memory_gb=at[1], num_heads=4, head_dim=32, num_layers=2
    )
    assert limited.adaptive_checkpointing(2048, 2) is True
    assert limited.adaptive_checkpointing(1024, 2) is False
