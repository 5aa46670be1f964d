"""LoRA on a model of mlx-lm, its last layers on Tessera's attention."""

import types

import tessera

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.models import qwen2

mx.random.seed(0)
model = qwen2.Model(
    qwen2.ModelArgs(
        model_type="qwen2",
        hidden_size=64,
        num_hidden_layers=4,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=64,
    )
)
args = types.SimpleNamespace(lora_layers=2, lora_rank=4)
model = tessera.create_optimized_lora_model(model, args)
tokens = mx.random.randint(0, 64, (2, 65))


def loss(model):
    logits = model(tokens[:, :-1])
    return nn.losses.cross_entropy(logits, tokens[:, 1:], reduction="mean")


optimizer = optim.Adam(learning_rate=1e-2)
step = nn.value_and_grad(model, loss)
losses = []
for _ in range(20):
    value, gradients = step(model)
    optimizer.update(model, gradients)
    mx.eval(model.parameters(), optimizer.state)
    losses.append(value.item())
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
