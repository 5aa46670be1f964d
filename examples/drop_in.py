"""A model of mlx-lm, unchanged, on Tessera's attention."""

import tessera

import mlx.core as mx
from mlx_lm.models import llama

model = llama.Model(
    llama.ModelArgs(
        model_type="llama",
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=100,
    )
)
tokens = mx.random.randint(0, 100, (2, 300))
theirs = model(tokens)
with tessera.patch():
    ours = model(tokens)
print(f"logits differ by {mx.abs(ours - theirs).max().item():.1e}")
print(f"{tessera.attention_profile()['calls']} calls were Tessera's")
