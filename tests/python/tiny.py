"""A small model of mlx-lm with a tokenizer and data, in a folder."""

import importlib
import json
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = "the a cat dog sat ran on under mat tree and then it was very happy".split()

CONFIG = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 32,
    "tie_word_embeddings": True,
}
KINDS = ("llama", "qwen2")


def build(kind: str):
    mx.random.seed(3)
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    return module.Model(module.ModelArgs(model_type=kind, **CONFIG))


def build_gpt2():
    gpt2 = importlib.import_module("mlx_lm.models.gpt2")
    return gpt2.Model(
        gpt2.ModelArgs(
            model_type="gpt2",
            n_ctx=64,
            n_embd=32,
            n_head=4,
            n_layer=1,
            n_positions=64,
            layer_norm_epsilon=1e-5,
            vocab_size=32,
        )
    )


def save(folder: Path, kind: str = "llama") -> Path:
    folder.mkdir()
    weights = dict(tree_flatten(build(kind).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **CONFIG}))
    vocab = {"<unk>": 0, "</s>": 1} | {word: i + 2 for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def texts(count: int, seed: int = 0) -> list[str]:
    """Documents of 3 to 22 words."""
    return [
        " ".join(WORDS[(i * i + seed + 3 * j + j * j * i) % len(WORDS)] for j in range(3 + i % 20))
        for i in range(count)
    ]


def save_data(folder: Path) -> Path:
    folder.mkdir()
    for split, count in (("train", 40), ("valid", 8), ("test", 8)):
        lines = [json.dumps({"text": text}) for text in texts(count, len(split))]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder
