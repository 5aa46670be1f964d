"""The drop-in: MLX's meaning to the letter, in every module, and gone afterwards.

MLX's own function stands beside ours on the calls that its tests pin.
"""

import sys
import types

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import plain
import pytest
import tessera

# In a tuple, where `patch` does not look: a module's global would be replaced.
ORIGINAL = (mx.fast.scaled_dot_product_attention,)


def normal(*shape, seed=0, dtype=mx.float32):
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype)


def qkv(B, Hq, Hkv, Nq, Nk, D, dtype=mx.float32):
    return (
        normal(B, Hq, Nq, D, seed=1, dtype=dtype),
        normal(B, Hkv, Nk, D, seed=2, dtype=dtype),
        normal(B, Hkv, Nk, D, seed=3, dtype=dtype),
    )


def boolean(*shape):
    return mx.random.uniform(shape=shape, key=mx.random.key(4)) > 0.2


def transposed(*shape, seed):
    """[B, H, N, D] whose rows lie as in [B, N, H, D]."""
    B, H, N, D = shape
    return normal(B, N, H, D, seed=seed).swapaxes(1, 2)


ONE = qkv(1, 4, 1, 1, 43, 64)
MANY = qkv(2, 8, 2, 37, 45, 32)
SQUARE = qkv(1, 2, 2, 8, 8, 32)
LONG = qkv(1, 8, 2, 129, 300, 64)

CALLS = {
    "nothing": (MANY, {}),
    "self": (qkv(2, 3, 3, 63, 63, 64), {}),
    "one query": (ONE, {}),
    "few queries": (qkv(1, 8, 1, 8, 43, 64), {}),
    "causal": (MANY, {"mask": "causal"}),
    "causal, one query": (ONE, {"mask": "causal"}),
    "causal, long": (LONG, {"mask": "causal"}),
    "scalar mask": (MANY, {"mask": mx.array(True)}),
    "row of a mask": (MANY, {"mask": mx.array([True] * 35 + [False] * 10)}),
    "mask of heads": (MANY, {"mask": boolean(8, 1, 45)}),
    "mask of entries": (MANY, {"mask": boolean(2, 1, 37, 45)}),
    "transposed mask": (MANY, {"mask": boolean(45, 37).T}),
    "scores": (MANY, {"mask": 10 * normal(2, 1, 37, 45)}),
    "scores of heads": (MANY, {"mask": normal(8, 1, 45)}),
    "scores of -inf": (MANY, {"mask": mx.log(boolean(1, 1, 37, 45))}),
    "scores of the lowest": (
        SQUARE,
        {"mask": mx.triu(mx.ones((8, 8)), 1) * mx.finfo(mx.float32).min},
    ),
    "bfloat16 scores": (MANY, {"mask": mx.array(2.0, mx.bfloat16)}),
    "integer scores": (MANY, {"mask": mx.arange(45)}),
    "sinks": (MANY, {"sinks": 10 * normal(8)}),
    "sinks, causal": (LONG, {"sinks": normal(8), "mask": "causal"}),
    "bfloat16 sinks": (MANY, {"sinks": normal(8, dtype=mx.bfloat16)}),
    "keys of a longer cache": (
        (LONG[0], *(x[:, :, :129] for x in LONG[1:])),
        {"mask": "causal"},
    ),
    "more queries than keys": (qkv(1, 4, 2, 45, 12, 32), {}),
    "other strides": (
        (
            transposed(4, 32, 7, 64, seed=1),
            transposed(4, 8, 7, 64, seed=2),
            transposed(4, 8, 7, 64, seed=3),
        ),
        {"mask": mx.ones((4, 1, 7, 7), mx.bool_)},
    ),
    "mixed dtypes": (
        (MANY[0].astype(mx.bfloat16), MANY[1], MANY[2].astype(mx.float16)),
        {"mask": "causal"},
    ),
    "stream": (MANY, {"mask": "causal", "stream": mx.cpu}),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_mlx(name):
    arrays, keywords = CALLS[name]
    keywords = {"scale": 0.3} | keywords
    theirs = ORIGINAL[0](*arrays, **keywords)
    with tessera.patch("tessera"):
        ours = mx.fast.scaled_dot_product_attention(*arrays, **keywords)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    exact, _ = plain_call(np, plain.numpy64, arrays, keywords)
    allowed = plain.tolerance(exact, plain.numpy64(theirs), theirs.dtype)
    assert np.abs(plain.numpy64(ours) - exact).max() <= allowed


def plain_call(xp, read, arrays, keywords):
    """(O, L) of the call by plain formulas over `xp`, whose arrays `read` gives."""
    named = {name: read(x) for name, x in zip("qkv", arrays)}
    options = {"scale": keywords["scale"]}
    mask = keywords.get("mask")
    if isinstance(mask, str):
        options["causal"] = True
    elif mask is not None and mask.dtype == mx.bool_:
        options["mask"] = np.array(mask)
    elif mask is not None:
        named["bias"] = read(mask)
    if "sinks" in keywords:
        named["sinks"] = read(keywords["sinks"])
    return plain.plain(xp, named, **options)


def gradients(call, dtype):
    """Of q, k and v, under fixed weights of the output."""

    def loss(*qkv):
        out = call(*qkv).astype(dtype)
        return (out * normal(*out.shape, seed=8).astype(dtype)).sum()

    return mx.grad(loss, argnums=(0, 1, 2))


@pytest.mark.parametrize("name", CALLS)
def test_gradients_as_mlx(name):
    arrays, keywords = CALLS[name]
    keywords = {"scale": arrays[0].shape[-1] ** -0.5} | keywords
    theirs = gradients(lambda *x: ORIGINAL[0](*x, **keywords), mx.float32)(*arrays)
    with tessera.patch("tessera"):
        ours = mx.fast.scaled_dot_product_attention
        got = gradients(lambda *x: ours(*x, **keywords), mx.float32)(*arrays)

    def by_formula(dtype):
        def call(*qkv):
            return plain_call(mx, lambda x: x.astype(dtype), qkv, keywords)[0]

        return [plain.numpy64(x) for x in gradients(call, dtype)(*arrays)]

    with mx.stream(mx.cpu):  # where float64 is
        formulas = by_formula(mx.float64), by_formula(mx.float32)
    largest = np.abs(plain_call(np, plain.numpy64, arrays, keywords)[1]).max()
    for exact, low, x, like in zip(*formulas, got, theirs):
        assert x.dtype == like.dtype and x.shape == like.shape
        if x.dtype != mx.float32:
            low = plain.numpy64(like)
        allowed = plain.tolerance(exact, low, x.dtype, largest)
        assert np.abs(plain.numpy64(x) - exact).max() <= allowed


REFUSED = {
    "word": (MANY, {"mask": "window"}),
    "mask": (MANY, {"mask": boolean(8, 2, 45)}),
    "axes of the mask": (MANY, {"mask": boolean(1, 1, 1, 37, 45)}),
    "scores above the dtype": (
        tuple(x.astype(mx.float16) for x in MANY),
        {"mask": normal(37, 45)},
    ),
    "sinks above the dtype": (tuple(x.astype(mx.float16) for x in MANY), {"sinks": normal(8)}),
    "sinks of other heads": (MANY, {"sinks": normal(9)}),
    "one sink": (MANY, {"sinks": normal()}),
    "heads": ((MANY[0], MANY[1][:, :1].reshape(2, 1, 45, 32), MANY[2]), {}),
    "axes": ((MANY[0][0], MANY[1], MANY[2]), {}),
    "head dim": ((MANY[0][..., :16], MANY[1], MANY[2]), {}),
    "integers": (tuple(x.astype(mx.int32) for x in MANY), {}),
    "force_fused": (MANY, {"force_fused": True, "stream": mx.cpu}),
    "no scale": (MANY, {"scale": None}),
    "not an array": ((1, 2, 3), {}),
    "keyword": (MANY, {"causal": True}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_mlx(name):
    arrays, keywords = REFUSED[name]
    keywords = {"scale": 0.3} | keywords
    with pytest.raises(Exception) as theirs:
        ORIGINAL[0](*arrays, **keywords)
    with tessera.patch("tessera"), pytest.raises(theirs.type) as ours:
        mx.fast.scaled_dot_product_attention(*arrays, **keywords)
    assert str(ours.value) == str(theirs.value)


def test_a_query_that_sees_no_key_is_zero():
    for mask in (mx.array(False), mx.array(-np.inf)):
        for D in (4, 128):
            for Nq in (1, 8):
                q, k, v = qkv(1, 4, 4, Nq, 8, D)
                with tessera.patch():
                    out = mx.fast.scaled_dot_product_attention(q, k, v, scale=1, mask=mask)
                assert mx.all(out == 0)


def test_a_score_of_minus_infinity():
    for D in (4, 128):
        for Nq in (1, 8):
            q, k = mx.ones((1, 4, Nq, D)), mx.ones((1, 4, 8, D))
            k[..., 0, :] = -np.inf
            v = normal(1, 4, 8, D)
            theirs = ORIGINAL[0](q, k, v, scale=1)
            with tessera.patch("tessera"):
                ours = mx.fast.scaled_dot_product_attention(q, k, v, scale=1)
            assert np.allclose(
                np.array(ours), np.array(v[..., 1:, :].mean(2, keepdims=True)), atol=1e-6
            )
            assert not mx.any(mx.isnan(theirs))


def test_positions_and_names_of_arguments():
    q, k, v = MANY
    want = ORIGINAL[0](q, k, v, scale=0.5)
    with tessera.patch("tessera"):
        for out in (
            mx.fast.scaled_dot_product_attention(q, k, v=v, scale=0.5),
            mx.fast.scaled_dot_product_attention(v=v, k=k, q=q, scale=0.5),
        ):
            assert mx.allclose(out, want, atol=1e-5)


def test_float64_stays_with_mlx():
    q, k, v = (x.astype(mx.float64) for x in MANY)
    before = tessera.attention_profile()["calls"]
    with tessera.patch():
        with mx.stream(mx.cpu):
            out = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.5)
            mx.eval(out)
    assert out.dtype == mx.float64
    assert tessera.attention_profile()["calls"] == before


def test_training_goes_through_ours():
    """The gradient of mlx.nn's own module is ours, and that of scores comes out."""
    module = nn.MultiHeadAttention(32, 4)
    x = normal(2, 9, 32)
    scores = normal(9, 9, seed=6)

    def loss(scores):
        return (module(x, x, x, scores) ** 2).sum()

    want = mx.grad(loss)(scores)
    before = tessera.attention_profile()["calls"]
    with tessera.patch():
        got = mx.grad(loss)(scores)
        mx.eval(got)
    assert tessera.attention_profile()["calls"] >= before + 2
    assert mx.allclose(got, want, rtol=1e-4, atol=1e-5)


def test_modules_that_imported_the_name(monkeypatch):
    def module(name):
        module = types.ModuleType(name)
        module.attend = mx.fast.scaled_dot_product_attention
        monkeypatch.setitem(sys.modules, name, module)
        return module

    before = module("imported_before")
    with tessera.patch():
        assert before.attend is mx.fast.scaled_dot_product_attention is not ORIGINAL[0]
        late = module("imported_late")
        assert late.attend is not ORIGINAL[0]
    assert before.attend is ORIGINAL[0] and late.attend is ORIGINAL[0]


def test_closures_keep_what_they_hold():
    def closure(function=mx.fast.scaled_dot_product_attention):
        return function

    with tessera.patch():
        assert closure() is ORIGINAL[0]


def test_a_call_holds_until_unpatch():
    tessera.patch()
    assert mx.fast.scaled_dot_product_attention is not ORIGINAL[0]
    tessera.unpatch()
    assert mx.fast.scaled_dot_product_attention is ORIGINAL[0]
    tessera.unpatch()
    assert mx.fast.scaled_dot_product_attention is ORIGINAL[0]


def test_patches_nest():
    with tessera.patch("tessera"):
        outer = mx.fast.scaled_dot_product_attention
        with tessera.patch("mlx"):
            assert mx.fast.scaled_dot_product_attention is not outer
        assert mx.fast.scaled_dot_product_attention is outer
    assert mx.fast.scaled_dot_product_attention is ORIGINAL[0]


def test_an_error_unpatches():
    with pytest.raises(KeyError), tessera.patch():
        raise KeyError
    assert mx.fast.scaled_dot_product_attention is ORIGINAL[0]


WRONG = {
    "implementation": (ValueError, {"implementation": "fast"}, 'an implementation .*; got "fast"'),
    "block size": (ValueError, {"block_size": -1}, "a block_size of 1 or more; got -1"),
    "no block size": (ValueError, {"block_size": 0}, "a block_size of 1 or more; got 0"),
    "block size's type": (TypeError, {"block_size": "7"}, "a block_size that is an int; got .*str"),
    "segments": (TypeError, {"segments": mx.zeros((1, 8))}, "segments that are a function; got "),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_patches_nothing(name):
    error, arguments, text = WRONG[name]
    with pytest.raises(error, match=rf"^\[patch\] expected {text}"):
        tessera.patch(**arguments)
    assert mx.fast.scaled_dot_product_attention is ORIGINAL[0]


def test_block_size_and_implementation_are_taken():
    q, k, v = MANY
    for implementation in ("tessera", "auto"):
        with tessera.patch(implementation, block_size=7), pytest.raises(ValueError, match="block"):
            mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0)
    before = tessera.attention_profile()["calls"]
    with tessera.patch("mlx"):
        mx.eval(mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0))
        mx.eval(mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0, mask=mx.array(True)))
    assert tessera.attention_profile()["calls"] == before


def test_segments_join_the_mask():
    q, k, v = qkv(2, 4, 2, 20, 20, 16)
    ids = mx.array(np.repeat([[0, 1, 2, 3]], 5, axis=1).repeat(2, axis=0).astype(np.int32))
    with tessera.patch(segments=lambda: ids):
        got = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask="causal")
    want = tessera.attention(q, k, v, scale=0.25, causal=True, segments=ids)
    assert mx.array_equal(got, want)


def tiny_llama():
    llama = pytest.importorskip("mlx_lm.models.llama")
    return llama.Model(
        llama.ModelArgs(
            model_type="llama",
            hidden_size=32,
            num_hidden_layers=2,
            intermediate_size=48,
            num_attention_heads=4,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            vocab_size=50,
        )
    )


def test_a_model_of_mlx_lm():
    mx.random.seed(0)
    model = tiny_llama()
    tokens = mx.random.randint(0, 50, (2, 12))
    want = model(tokens)
    before = tessera.attention_profile()["calls"]
    with tessera.patch():
        got = model(tokens)
        mx.eval(got)
    assert tessera.attention_profile()["calls"] == before + 2
    assert mx.allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", ["causal", "bool"])
def test_training_never_holds_the_scores(mask):
    N = 2048
    q = normal(1, 4, N, 32)
    mask = mask if mask == "causal" else mx.array(np.tri(N, dtype=bool))
    mx.eval(q, mask if not isinstance(mask, str) else q)

    def loss(q):
        return mx.fast.scaled_dot_product_attention(q, q, q, scale=0.2, mask=mask).sum()

    def peak():
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(mx.grad(loss)(q))
        return mx.get_peak_memory() - before

    scores_of_a_head = 4 * N * N
    assert peak() > 4 * scores_of_a_head
    with tessera.patch():
        assert peak() < scores_of_a_head
