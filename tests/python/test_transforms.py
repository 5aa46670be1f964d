"""Attention under MLX's transformations of functions."""

import threading
import time

import mlx.core as mx
import numpy as np
import pytest
import tessera
from test_attention import FEATURES, arrays_of, loss_of, ours

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


def flat_loss(feature):
    """A loss of a feature's arrays, and these: q, k, v and what trains beside them."""
    arrays = arrays_of(feature, mx.float32)
    loss = loss_of(lambda a: ours(a, feature, return_lse=True))
    return lambda *xs: loss(dict(zip(arrays, xs))), list(arrays.values())


def same(got, want):
    return all(mx.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(got, want))


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_under_every_transformation(feature):
    function, xs = flat_loss(feature)
    every = tuple(range(len(xs)))
    gradient = mx.grad(function, argnums=every)
    want = gradient(*xs)
    value, gradients = mx.value_and_grad(function, argnums=every)(*xs)
    assert mx.array_equal(value, function(*xs)) and same(gradients, want)
    assert same(mx.compile(gradient)(*xs), want)
    checkpointed = mx.checkpoint(function)
    assert same(mx.grad(lambda *ys: checkpointed(*ys), argnums=every)(*xs), want)

    pairs = [mx.stack([x, x / 2]) for x in xs]
    halves = [x / 2 for x in xs]
    apart = [mx.stack(pair) for pair in zip(want, gradient(*halves))]
    assert same(mx.vmap(gradient)(*pairs), apart)
    assert same(mx.compile(mx.vmap(gradient))(*pairs), apart)
    of_vmap = mx.grad(lambda *ys: mx.vmap(function)(*ys).sum(), argnums=every)
    assert same(of_vmap(*pairs), apart)
    last = mx.vmap(lambda q: function(q, *xs[1:]), in_axes=3)(mx.stack([xs[0], halves[0]], axis=3))
    assert same(last, [function(q, *xs[1:]) for q in (xs[0], halves[0])])


random = np.random.default_rng(9)
# What decides who sees whom, three times, and the keyword that takes it.
DECIDES = {
    "mask": (random.random((3, B, 1, N, N)) < 0.6, lambda x: {"mask": x}),
    "segments": (random.integers(0, 3, (3, B, N)), lambda x: {"segments": x}),
    "prefix": (random.integers(0, N, (3, B)), lambda x: {"prefix": x, "causal": True}),
    "blocks": (random.random((3, 1, H, 2, 4)) < 0.6, lambda x: {"blocks": (x, 20, 10)}),
    "seed": (np.arange(3), lambda x: {"dropout": 0.3, "seed": x}),
}


@pytest.mark.parametrize("name", DECIDES)
@pytest.mark.parametrize("compiled", [False, True])
def test_vmap_over_what_decides(qkv, name, compiled):
    values, keyword = DECIDES[name]
    values = mx.array(values.astype(bool if values.dtype == bool else np.int32))

    def one(value):
        return tessera.attention(*qkv, **keyword(value))

    together = mx.vmap(one)
    got = (mx.compile(together) if compiled else together)(values)
    assert mx.array_equal(got, mx.stack([one(value) for value in values]))
    assert not mx.array_equal(got[0], got[1])


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
