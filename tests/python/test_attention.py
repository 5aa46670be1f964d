"""Values and gradients of every feature against plain formulas."""

import mlx.core as mx
import numpy as np
import plain
import pytest
import tessera

B, HQ, HKV, NQ, NK, D, DV = 2, 4, 2, 37, 45, 24, 16

rng = np.random.default_rng(7)
BOOL = rng.random((B, 1, NQ, NK)) < 0.7
BOOL[0, 0, 5] = False  # a query that sees no key
LIST = rng.random((1, HQ, 3, 4)) < 0.6
IDS = np.sort(rng.integers(0, 4, (B, NK)), axis=1).astype(np.int32)

# Options as `plain` reads them; what is differentiable is named, and random.
FEATURES = {
    "none": {},
    "scale": {"scale": 0.3},
    "causal": {"causal": True},
    "window": {"window": (9, 3)},
    "left": {"window": (6, None)},
    "segments": {"segments": (IDS[:, :NQ], IDS)},
    "prefix": {"causal": True, "prefix": 11},
    "prefixes": {"causal": True, "prefix": np.array([0, 30], np.int32)},
    "chunk": {"causal": True, "chunk": 16},
    "mask": {"mask": BOOL},
    "bias": {"arrays": {"bias": (1, HQ, NQ, NK)}},
    "alibi": {"arrays": {"alibi": (HQ,)}},
    "softcap": {"softcap": 1.5},
    "sinks": {"arrays": {"sinks": (HQ,)}},
    "dropout": {"dropout": 0.25, "seed": 2**40 + 17},
    "blocks": {"blocks": (LIST, 16, 12)},
    "all": {
        "causal": True,
        "window": (30, None),
        "segments": (IDS[:, :NQ], IDS),
        "prefix": 4,
        "mask": BOOL,
        "softcap": 4.0,
        "dropout": 0.1,
        "seed": 3,
        "blocks": (LIST, 16, 12),
        "arrays": {"bias": (B, 1, 1, NK), "alibi": (HQ,), "sinks": (HQ,)},
    },
}


def arrays_of(feature, dtype):
    """What is differentiated, by name, rounded to `dtype`."""
    random = np.random.default_rng(1)
    shapes = {"q": (B, HQ, NQ, D), "k": (B, HKV, NK, D), "v": (B, HKV, NK, DV)}
    shapes |= FEATURES[feature].get("arrays", {})
    arrays = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        arrays[name] = mx.array(np.abs(values) / 8 if name == "alibi" else values).astype(dtype)
    return arrays


def options_of(feature):
    return {key: value for key, value in FEATURES[feature].items() if key != "arrays"}


def to_mlx(value):
    if isinstance(value, np.ndarray):
        return mx.array(value)
    if isinstance(value, tuple):
        return tuple(to_mlx(x) for x in value)
    return value


def ours(arrays, feature, **more):
    q, k, v = arrays["q"], arrays["k"], arrays["v"]
    extra = {name: x for name, x in arrays.items() if name not in "qkv"}
    options = {key: to_mlx(value) for key, value in options_of(feature).items()}
    return tessera.attention(q, k, v, **extra, **options, implementation="tessera", **more)


def loss_of(function):
    """A sum of O and L under fixed weights, where they are finite."""
    random = np.random.default_rng(2)
    of_o = mx.array(random.standard_normal((B, HQ, NQ, DV)).astype(np.float32))
    of_l = mx.array(random.standard_normal((B, HQ, NQ)).astype(np.float32))

    def loss(arrays):
        O, L = function(arrays)
        finite = mx.where(L == -np.inf, 0.0, L)
        return (O * of_o.astype(O.dtype)).sum() + (finite * of_l.astype(L.dtype)).sum()

    return loss


@pytest.fixture(autouse=True)
def on_the_cpu():
    """float64 is the CPU's alone."""
    device = mx.default_device()
    mx.set_default_device(mx.cpu)
    yield
    mx.set_default_device(device)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=lambda d: str(d))
@pytest.mark.parametrize("feature", FEATURES)
def test_values(feature, dtype):
    arrays = arrays_of(feature, dtype)
    O, L = ours(arrays, feature, return_lse=True)
    assert O.dtype == dtype and O.shape == (B, HQ, NQ, DV)
    assert L.dtype == mx.float32 and L.shape == (B, HQ, NQ)
    exact = {name: plain.numpy64(x) for name, x in arrays.items()}
    options = options_of(feature)
    for got, want, low in zip(
        (O, L), plain.plain(np, exact, **options), plain.plain(mx, arrays, **options)
    ):
        got, low = plain.numpy64(got), plain.numpy64(low)
        assert np.array_equal(np.isinf(got), np.isinf(want))
        finite = np.isfinite(want)
        allowed = plain.tolerance(want[finite], low[finite], dtype)
        assert np.abs(got[finite] - want[finite]).max() <= allowed


@pytest.mark.parametrize("feature", FEATURES)
def test_gradients(feature):
    arrays = arrays_of(feature, mx.float32)
    options = options_of(feature)
    formula = loss_of(lambda a: plain.plain(mx, a, **options))
    exact = mx.grad(formula)({name: x.astype(mx.float64) for name, x in arrays.items()})
    low = mx.grad(formula)(arrays)
    got = mx.grad(loss_of(lambda a: ours(a, feature, return_lse=True)))(arrays)
    for name in arrays:
        want = plain.numpy64(exact[name])
        allowed = plain.tolerance(want, plain.numpy64(low[name]), mx.float32)
        assert got[name].shape == arrays[name].shape
        assert np.abs(plain.numpy64(got[name]) - want).max() <= allowed, name


def test_gradients_keep_their_dtype():
    arrays = arrays_of("bias", mx.bfloat16)
    arrays["bias"] = arrays["bias"].astype(mx.float32)
    got = mx.grad(lambda a: ours(a, "bias").sum())(arrays)
    assert got["q"].dtype == mx.bfloat16 and got["bias"].dtype == mx.float32


def test_masks_of_mlx():
    """The word "causal" is causal, and scores to add join a bias."""
    arrays = arrays_of("bias", mx.float32)
    q, k, v, bias = (arrays[name] for name in ("q", "k", "v", "bias"))
    assert mx.array_equal(
        tessera.attention(q, k, v, mask="causal"), tessera.attention(q, k, v, causal=True)
    )
    assert mx.array_equal(
        tessera.attention(q, k, v, mask=bias, bias=bias), tessera.attention(q, k, v, bias=2 * bias)
    )


def test_one_array_of_segments_is_both():
    arrays = arrays_of("none", mx.float32)
    q, k, v = (arrays[name] for name in "qkv")
    ids = mx.array(IDS[:, :NQ])
    one = tessera.attention(q, k[:, :, :NQ], v[:, :, :NQ], segments=ids)
    assert mx.array_equal(
        one, tessera.attention(q, k[:, :, :NQ], v[:, :, :NQ], segments=(ids, ids))
    )


def test_a_query_that_sees_no_key():
    arrays = arrays_of("mask", mx.float32)
    O, L = ours(arrays, "mask", return_lse=True)
    assert mx.all(O[0, :, 5] == 0) and mx.all(L[0, :, 5] == -np.inf)
    q = mx.grad(lambda a: ours(a, "mask").sum())(arrays)["q"]
    assert mx.all(q[0, :, 5] == 0)


def test_implementations_agree():
    arrays = arrays_of("none", mx.float32)
    q, k, v = (arrays[name] for name in "qkv")
    exact, _ = plain.plain(np, {name: plain.numpy64(arrays[name]) for name in "qkv"})
    low, _ = plain.plain(mx, arrays)
    allowed = plain.tolerance(exact, plain.numpy64(low), mx.float32)
    for implementation in ("auto", "tessera", "mlx"):
        got = tessera.attention(q, k, v, implementation=implementation)
        assert np.abs(plain.numpy64(got) - exact).max() <= allowed


def test_block_size_leaves_the_values():
    arrays = arrays_of("causal", mx.float32)
    exact, _ = plain.plain(np, {name: plain.numpy64(x) for name, x in arrays.items()}, causal=True)
    low, _ = plain.plain(mx, arrays, causal=True)
    got = ours(arrays, "causal", block_size=48)
    allowed = plain.tolerance(exact, plain.numpy64(low), mx.float32)
    assert np.abs(plain.numpy64(got) - exact).max() <= allowed
    q, k, v = (arrays[name] for name in "qkv")
    told = tessera.explain(q, k, v, causal=True, block_size=48)
    assert told["passes"][0]["rows"] == 48 and told["passes"][0]["columns"] == 48


def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    arrays = arrays_of("mask", mx.float32)
    tensors = {
        name: torch.tensor(plain.numpy64(x), requires_grad=True) for name, x in arrays.items()
    }
    mask = BOOL.copy()
    mask[0, 0, 5] = True  # PyTorch has no rule for a row without keys
    O = torch.nn.functional.scaled_dot_product_attention(
        *tensors.values(), attn_mask=torch.tensor(mask), enable_gqa=True
    )
    weights = np.random.default_rng(3).standard_normal(O.shape).astype(np.float32)
    (O * torch.tensor(weights)).sum().backward()

    def loss(function):
        return lambda a: (function(a) * mx.array(weights)).sum()

    got = mx.grad(loss(lambda a: tessera.attention(a["q"], a["k"], a["v"], mask=mx.array(mask))))(
        arrays
    )
    low = mx.grad(loss(lambda a: plain.plain(mx, a, mask=mask)[0]))(arrays)
    for name, tensor in tensors.items():
        want = tensor.grad.numpy()
        allowed = plain.tolerance(want, plain.numpy64(low[name]), mx.float32)
        assert np.abs(plain.numpy64(got[name]) - want).max() <= allowed
