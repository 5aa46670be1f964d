"""Writes tests/golden/model: tiny random models as Hugging Face folders, with what
transformers and peft compute from them.

    python -m venv VENV && VENV/bin/pip install -r scripts/golden/requirements.txt
    VENV/bin/python scripts/golden/model.py [NAME...]

Each folder holds the model, expected.json (tokens, hyperparameters, losses) and
expected.safetensors ("logits"; "lora.*" and "gradient.*" of each LoRA array; of
one model "full.*", the gradient of each of its own parameters).
"""

import json
import shutil
import sys
from pathlib import Path

import peft
import torch
import transformers
from reference import adamw_losses, add_lora, lora_arrays, lora_gradients, loss_of, save_expected
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

ROOT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "model"
VOCAB = 128
SHAPE = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    # Small, so that all three ranges of frequencies have one of the 8.
    original_max_position_embeddings=32,
)
ADAMW = dict(learning_rate=0.02, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, max_grad_norm=0.0)
# The norm of the gradients is above this bound at each step.
CLIPPED = dict(ADAMW, weight_decay=0.1, max_grad_norm=0.05)
RANK, ALPHA = 4, 8

# name -> (model, dtype on disk, largest shard, config.json in the older spelling)
MODELS = {
    "llama3": (
        lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, head_dim=16, rope_parameters=LLAMA3)),
        torch.float32, "10MB", False),
    "llama_linear": (
        lambda: LlamaForCausalLM(LlamaConfig(
            **SHAPE, rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=5000.0))),
        torch.bfloat16, "10MB", True),
    "llama_bias": (
        lambda: LlamaForCausalLM(LlamaConfig(
            **dict(SHAPE, num_key_value_heads=4), attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5)),
        torch.float16, "10MB", True),
    "qwen2": (
        lambda: Qwen2ForCausalLM(Qwen2Config(
            **dict(SHAPE, num_key_value_heads=1), tie_word_embeddings=True,
            rope_parameters=dict(rope_type="default", rope_theta=1000000.0))),
        torch.float32, "40KB", False),
    # Windows shorter than the 24 tokens of a row.
    "mistral": (
        lambda: MistralForCausalLM(MistralConfig(**SHAPE, head_dim=16, sliding_window=7)),
        torch.bfloat16, "10MB", True),
    "qwen3": (
        lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=16, tie_word_embeddings=True)),
        torch.bfloat16, "10MB", False),
    "qwen3_window": (
        lambda: Qwen3ForCausalLM(Qwen3Config(
            **SHAPE, head_dim=8, attention_bias=True, use_sliding_window=True, sliding_window=5,
            layer_types=["sliding_attention", "full_attention"])),
        torch.bfloat16, "10MB", False),
    "qwen2_window": (
        lambda: Qwen2ForCausalLM(Qwen2Config(
            **SHAPE, use_sliding_window=True, sliding_window=9, max_window_layers=1)),
        torch.bfloat16, "10MB", True),
}


def randomize(model):
    """Far from the usual start, where logits are all alike and biases are 0."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("norm.weight"):
                p.uniform_(0.5, 1.5)
            elif name.endswith("embed_tokens.weight"):
                p.normal_(0.0, 0.5)
            else:
                p.normal_(0.0, 0.2)


def write_older_spelling(file):
    config = json.loads(file.read_text())
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = None
    if rope["rope_type"] != "default":
        config["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
    config.pop("layer_types", None)
    file.write_text(json.dumps(config, indent=2) + "\n")


def write_model(folder, make, dtype, shard, older):
    model = make()
    randomize(model)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if older:
        write_older_spelling(folder / "config.json")


def full_gradients(model, batch):
    model.zero_grad()
    loss_of(model, batch).backward()
    gradients = {"full." + n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    return gradients


def write_case(name):
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(sum(map(ord, name)))
    write_model(folder, *MODELS[name])

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    # Three batches in turn: what is learned shows in the later losses.
    distinct = [torch.randint(0, VOCAB, (2, 25)) for _ in range(3)]
    batches = [distinct[i % 3] for i in range(10)]
    tensors = {"logits": model(batches[0][:, :-1]).logits.detach()}
    if name == "qwen2":
        tensors |= full_gradients(model, batches[0])
    lora = add_lora(model, RANK, ALPHA)
    tensors |= lora_arrays(lora, "lora.")
    loss, gradients = lora_gradients(lora, batches[0])
    save_expected(folder, tensors | gradients)
    expected = dict(
        made_with=dict(torch=torch.__version__.split("+")[0], transformers=transformers.__version__, peft=peft.__version__),
        lora_rank=RANK,
        lora_scale=ALPHA / RANK,
        batches=[b.tolist() for b in batches],
        loss=loss,
        runs=[dict(options, losses=adamw_losses(lora, batches, options)) for options in (ADAMW, CLIPPED)],
    )
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, loss, expected["runs"][0]["losses"][-1], expected["runs"][1]["losses"][-1])


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or MODELS:
        write_case(case)
