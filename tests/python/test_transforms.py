"""Attention under MLX's transformations of functions."""

import threading
import time

import mlx.core as mx
import pytest
import tessera

B, H, N, D = 2, 4, 40, 16


@pytest.fixture
def qkv():
    keys = mx.random.split(mx.random.key(5), 3)
    return tuple(mx.random.normal((B, H, N, D), key=key) for key in keys)


def loss(q, k, v):
    O, L = tessera.attention(q, k, v, causal=True, window=(12, None), return_lse=True)
    return (O * O).sum() + L.sum()


def test_value_and_grad(qkv):
    value, gradients = mx.value_and_grad(loss, argnums=(0, 1, 2))(*qkv)
    assert value.item() == loss(*qkv).item()
    alone = [mx.grad(loss, argnums=i)(*qkv) for i in range(3)]
    assert all(mx.array_equal(a, b) for a, b in zip(gradients, alone))


def test_vmap_is_a_call_for_each(qkv):
    q, k, v = qkv
    biases = mx.random.normal((3, H, N, N), key=mx.random.key(1))

    def one(bias):
        return tessera.attention(q, k, v, bias=bias, causal=True)

    together = mx.vmap(one)(biases)
    apart = mx.stack([one(biases[i]) for i in range(3)])
    assert mx.array_equal(together, apart)


def test_vmap_over_the_inputs(qkv):
    stacked = [mx.stack([x, 2 * x]) for x in qkv]
    together = mx.vmap(lambda q, k, v: tessera.attention(q, k, v, causal=True))(*stacked)
    apart = mx.stack([tessera.attention(*(x[i] for x in stacked), causal=True) for i in range(2)])
    assert mx.array_equal(together, apart)


def test_compile(qkv):
    compiled = mx.compile(mx.grad(loss, argnums=(0, 1, 2)))
    want = mx.grad(loss, argnums=(0, 1, 2))(*qkv)
    for _ in range(2):
        assert all(mx.array_equal(a, b) for a, b in zip(compiled(*qkv), want))


def test_compile_keeps_the_seed_an_input(qkv):
    @mx.compile
    def dropped(seed):
        return tessera.attention(*qkv, dropout=0.5, seed=seed)

    outputs = [dropped(mx.array(seed)) for seed in (1, 2)]
    assert not mx.array_equal(*outputs)
    for seed, output in zip((1, 2), outputs):
        assert mx.array_equal(output, tessera.attention(*qkv, dropout=0.5, seed=seed))


def test_checkpoint(qkv):
    def checkpointed(q, k, v):
        return mx.checkpoint(loss)(q, k, v)

    want = mx.grad(loss, argnums=(0, 1, 2))(*qkv)
    got = mx.grad(checkpointed, argnums=(0, 1, 2))(*qkv)
    assert all(mx.array_equal(a, b) for a, b in zip(got, want))


def test_a_second_derivative_is_refused(qkv):
    q, k, v = qkv

    def first(q):
        return mx.grad(loss)(q, k, v).sum()

    with pytest.raises(ValueError, match=r"\[attention\] "):
        mx.eval(mx.grad(first)(q))


def test_python_runs_while_attention_computes():
    """Another thread counts on while an evaluation is under way."""
    q = mx.random.normal((1, 8, 4096, 64))
    mx.eval(q)
    done = threading.Event()
    counts = []

    def count():
        ticks = 0
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)
        counts.append(ticks)

    thread = threading.Thread(target=count)
    thread.start()
    mx.eval(tessera.attention(q, q, q))
    done.set()
    thread.join()
    assert counts[0] > 5


def test_python_runs_while_a_benchmark_runs():
    done = threading.Event()
    seen = []

    def watch():
        while not done.is_set():
            seen.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.monotonic()
    tessera.benchmark(lengths=512, heads=2, rounds=2)
    end = time.monotonic()
    done.set()
    thread.join()
    within = [x for x in seen if start < x < end]
    assert len(within) > 3
