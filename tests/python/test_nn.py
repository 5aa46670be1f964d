"""Modules: MLX's own, mlx-lm's models and LoRA beside ours."""

import types

import mlx.core as mx
import mlx.nn as nn
import pytest
import tessera
from mlx.utils import tree_flatten

DIMS, HEADS = 32, 4

ARGS = {
    "hidden_size": DIMS,
    "num_hidden_layers": 3,
    "intermediate_size": 48,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 50,
}
KINDS = ("llama", "qwen2")


def model_of(kind):
    """Of mlx-lm, where that is installed: it asks for a Python of 3.11 or more."""
    module = pytest.importorskip(f"mlx_lm.models.{kind}")
    return module.Model(module.ModelArgs(model_type=kind, **ARGS))


def kv_cache():
    return pytest.importorskip("mlx_lm.models.cache").KVCache()


@pytest.fixture(autouse=True)
def seed():
    mx.random.seed(11)


def close(a, b):
    return mx.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_multi_head_attention_is_mlx_own(bias):
    theirs = nn.MultiHeadAttention(DIMS, HEADS, 20, 24, 28, 40, 36, bias=bias)
    ours = tessera.nn.MultiHeadAttention(DIMS, HEADS, 20, 24, 28, 40, 36, bias=bias)
    ours.load_weights(tree_flatten(theirs.parameters()))
    arrays = [mx.random.normal((2, n, d)) for n, d in ((7, 20), (9, 24), (9, 28))]
    scores = mx.random.normal((7, 9))
    assert close(ours(*arrays, scores), theirs(*arrays, scores))
    assert close(ours(*arrays), theirs(*arrays))


def test_multi_head_attention_takes_any_mask():
    module = tessera.nn.MultiHeadAttention(DIMS, HEADS)
    x = mx.random.normal((1, 8, DIMS))
    ids = mx.array([[0] * 3 + [1] * 5])
    packed = module(x, x, x, "causal", segments=ids)
    apart = [module(y, y, y, "causal") for y in (x[:, :3], x[:, 3:])]
    assert close(packed, mx.concatenate(apart, axis=1))


def test_grouped_heads_repeat_keys():
    grouped = tessera.nn.MultiHeadAttention(DIMS, HEADS, num_kv_heads=2)
    assert grouped.key_proj.weight.shape == (DIMS // 2, DIMS)
    full = nn.MultiHeadAttention(DIMS, HEADS)
    full.query_proj, full.out_proj = grouped.query_proj, grouped.out_proj
    for name in ("key_proj", "value_proj"):
        heads = mx.unflatten(grouped[name].weight, 0, (2, -1))
        full[name].weight = mx.flatten(mx.repeat(heads, 2, axis=0), 0, 1)
    x = mx.random.normal((2, 9, DIMS))
    assert close(grouped(x, x, x), full(x, x, x))
    with pytest.raises(ValueError, match=r"\[MultiHeadAttention\] expected .*; got 3 and 4"):
        tessera.nn.MultiHeadAttention(DIMS, HEADS, num_kv_heads=3)
    with pytest.raises(ValueError, match=r"\[MultiHeadAttention\] expected .*; got 3 and 16"):
        tessera.nn.MultiHeadAttention(16, 3)


def test_rope_and_cache_go_on_where_they_were():
    rope = nn.RoPE(DIMS // HEADS)
    module = tessera.nn.MultiHeadAttention(DIMS, HEADS, rope=rope)
    x = mx.random.normal((1, 10, DIMS))
    whole = module(x, x, x, "causal")
    cache = kv_cache()
    parts = [module(y, y, y, "causal", cache=cache) for y in (x[:, :6], x[:, 6:9], x[:, 9:])]
    assert close(whole, mx.concatenate(parts, axis=1))
    assert not close(whole, tessera.nn.MultiHeadAttention(DIMS, HEADS)(x, x, x, "causal"))


def test_optimized_attention_is_mlx_own():
    ours = tessera.OptimizedMultiHeadAttention(DIMS, HEADS, bias=True)
    theirs = nn.MultiHeadAttention(DIMS, HEADS, bias=True)
    for name, other in (("q", "query"), ("k", "key"), ("v", "value"), ("out", "out")):
        theirs[f"{other}_proj"] = ours[f"{name}_proj"]
    x = mx.random.normal((2, 9, DIMS))
    mask = nn.MultiHeadAttention.create_additive_causal_mask(9)
    assert close(ours(x, mask=mask), theirs(x, x, x, mask))
    assert ours.head_dim == 8 and ours.scale == pytest.approx(8**-0.5)
    cache = kv_cache()
    parts = [ours(y, mask="causal", cache=cache) for y in (x[:, :5], x[:, 5:])]
    assert close(mx.concatenate(parts, axis=1), ours(x, mask="causal"))


def trained(module):
    """The module with a B that is not 0."""
    module.lora_b = mx.random.normal(module.lora_b.shape)
    return module


@pytest.mark.parametrize("quantised", [False, True])
def test_lora_is_that_of_mlx_lm(quantised):
    base = nn.Linear(64, 96, bias=True)
    if quantised:
        base = nn.QuantizedLinear.from_linear(base)
    ours = trained(tessera.nn.LoRALinear.from_base(base, r=4, scale=3.0))
    lora = pytest.importorskip("mlx_lm.tuner.lora")
    theirs = lora.LoRALinear.from_base(base, r=4, scale=3.0)
    theirs.update({"lora_a": ours.lora_a, "lora_b": ours.lora_b})
    x = mx.random.normal((5, 64))
    assert mx.array_equal(ours(x), theirs(x))
    names = {name for name, _ in tree_flatten(ours.trainable_parameters())}
    assert names == {"lora_a", "lora_b"}


def test_optimized_lora():
    base = nn.Linear(16, 24)
    module = tessera.OptimizedLoRALinear(base, r=4, alpha=16, dropout=0.5)
    x = mx.random.normal((64, 16))
    assert mx.array_equal(module(x), base(x))  # B is 0
    trained(module)
    module.eval()
    assert close(module(x), base(x) + 4.0 * (x @ module.lora_a @ module.lora_b))
    module.train()
    assert not close(module(x), base(x) + 4.0 * (x @ module.lora_a @ module.lora_b))
    assert module.base_layer is base and (module.r, module.alpha, module.dropout) == (4, 16, 0.5)
    assert not hasattr(module, "attention")
    assert {name for name, _ in tree_flatten(module.trainable_parameters())} == {"lora_a", "lora_b"}
    with pytest.raises(ValueError, match="rank"):
        tessera.OptimizedLoRALinear(base, r=0)


@pytest.mark.parametrize("adapt", [tessera.nn.LoRALinear.from_base, tessera.OptimizedLoRALinear])
def test_only_a_linear_module_is_adapted(adapt):
    with pytest.raises(
        TypeError, match=r"^\[LoRALinear\] expected an mlx.nn.Linear .*; got .*ReLU"
    ):
        adapt(nn.ReLU())


class Attentive(nn.Linear):
    """A linear module with an attention of its own before it."""

    def __init__(self, dims, num_heads):
        super().__init__(dims, dims)
        self.dims, self.num_heads = dims, num_heads
        self.attention = Plain(dims, num_heads)

    def __call__(self, x):
        return super().__call__(self.attention(x))


class Plain(nn.Module):
    """Attention by plain formulas."""

    def __init__(self, dims, num_heads):
        super().__init__()
        self.num_heads = num_heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self[name] = nn.Linear(dims, dims, bias=False)

    def __call__(self, x):
        projected = (self[f"{name}_proj"](x) for name in "qkv")
        q, k, v = (mx.unflatten(y, -1, (self.num_heads, -1)).swapaxes(1, 2) for y in projected)
        p = mx.softmax(q @ k.swapaxes(2, 3) / q.shape[-1] ** 0.5, axis=-1)
        return self.out_proj(mx.flatten((p @ v).swapaxes(1, 2), -2, -1))


def test_optimized_lora_takes_over_an_attention():
    base = Attentive(DIMS, HEADS)
    x = mx.random.normal((2, 9, DIMS))
    want = base(x)
    mx.eval(want)
    module = tessera.OptimizedLoRALinear(base, r=2)
    assert isinstance(module.attention, tessera.OptimizedMultiHeadAttention)
    before = tessera.attention_profile()["calls"]
    assert close(module(x), want)
    assert tessera.attention_profile()["calls"] == before + 1
    assert {name for name, _ in tree_flatten(module.trainable_parameters())} == {"lora_a", "lora_b"}
    other = Attentive(DIMS, HEADS)
    other.attention = nn.MultiHeadAttention(DIMS, HEADS)
    with pytest.raises(ValueError, match=r"\[OptimizedLoRALinear\] expected .*; got query_proj"):
        tessera.OptimizedLoRALinear(other)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimized_model_starts_as_its_base(kind):
    model = model_of(kind)
    tokens = mx.random.randint(0, 50, (2, 13))
    want = model(tokens)
    args = types.SimpleNamespace(lora_layers=2, lora_rank=4)
    model = tessera.create_optimized_lora_model(model, args)
    assert close(model(tokens), want)
    kinds = [type(layer.self_attn).__name__ for layer in model.model.layers]
    assert kinds == ["Attention"] + ["OptimizedMultiHeadAttention"] * 2

    def loss(model):
        return model(tokens).square().mean()

    gradients = dict(tree_flatten(nn.value_and_grad(model, loss)(model)[1]))
    assert len(gradients) == 8  # two layers, q and v, A and B
    assert all(name.split(".")[-1] in ("lora_a", "lora_b") for name in gradients)
    assert any(mx.abs(g).max() > 0 for g in gradients.values())


def test_an_optimized_model_generates_with_a_cache():
    model = model_of("llama")
    tokens = mx.random.randint(0, 50, (1, 9))
    args = types.SimpleNamespace(lora_layers=3, lora_rank=2)
    model = tessera.create_optimized_lora_model(model, args)
    cache = [kv_cache() for _ in model.layers]
    parts = [model(t, cache=cache) for t in (tokens[:, :8], tokens[:, 8:])]
    assert close(mx.concatenate(parts, axis=1), model(tokens))


def test_what_cannot_be_optimized_is_named():
    args = types.SimpleNamespace(lora_layers=9, lora_rank=4)
    with pytest.raises(ValueError, match="args.lora_layers from 1 to 3; got 9"):
        tessera.create_optimized_lora_model(model_of("llama"), args)
    with pytest.raises(ValueError, match="expected a Llama or Qwen2 model.*; got Linear"):
        tessera.create_optimized_lora_model(nn.Linear(2, 2), args)
