"""The small Llama shape of every contender, as a Hugging Face folder, and data for it."""

import json
import pathlib

import numpy

CONFIG = dict(
    architectures=["LlamaForCausalLM"],
    model_type="llama",
    hidden_size=512,
    num_hidden_layers=8,
    intermediate_size=1376,
    num_attention_heads=8,
    num_key_value_heads=4,
    rms_norm_eps=1e-5,
    vocab_size=32000,
    max_position_embeddings=65536,
    rope_theta=1e4,
    hidden_act="silu",
    tie_word_embeddings=False,
    eos_token_id=0,
)
LORA_KEYS = ["q_proj", "k_proj", "v_proj", "o_proj"]
LORA_RANK = 8
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def weight_shapes(config):
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    vocab = config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes[layer + "input_layernorm.weight"] = shapes[layer + "post_attention_layernorm.weight"] = (hidden,)
        shapes[layer + "self_attn.q_proj.weight"] = shapes[layer + "self_attn.o_proj.weight"] = (hidden, hidden)
        shapes[layer + "self_attn.k_proj.weight"] = shapes[layer + "self_attn.v_proj.weight"] = (kv, hidden)
        shapes[layer + "mlp.gate_proj.weight"] = shapes[layer + "mlp.up_proj.weight"] = (ffn, hidden)
        shapes[layer + "mlp.down_proj.weight"] = (hidden, ffn)
    return shapes


def write_safetensors(path, arrays):
    header, offset = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.tobytes())


def letter_tokenizer():
    """A token a letter: documents have the lengths that are asked for."""
    vocab = {letter: i + 1 for i, letter in enumerate(LETTERS)} | {"<eos>": 0}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True},
        "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []},
    }


def make_model(folder: pathlib.Path, **changes):
    config = CONFIG | changes
    folder.mkdir(parents=True)
    draw = numpy.random.default_rng(0)
    arrays = {
        name: numpy.ones(shape, numpy.float32) if len(shape) == 1
        else 0.02 * draw.standard_normal(shape, numpy.float32)
        for name, shape in weight_shapes(config).items()
    }
    write_safetensors(folder / "model.safetensors", arrays)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(letter_tokenizer()))


def make_data(folder: pathlib.Path, lengths):
    """One document for each length, in tokens that are read to predict the next."""
    folder.mkdir(parents=True)
    draw = numpy.random.default_rng(1)
    with (folder / "train.jsonl").open("w") as file:
        for length in lengths:
            text = "".join(draw.choice(list(LETTERS), length))
            file.write(json.dumps({"text": text}) + "\n")


def tokens_of(folder: pathlib.Path):
    """The documents of make_data in tokens, the end of text included."""
    lines = (folder / "train.jsonl").read_text().splitlines()
    return [[LETTERS.index(letter) + 1 for letter in json.loads(line)["text"]] + [0] for line in lines]
