"""Makes the demo's data from this machine's own Python standard library.

    make_data.py OUT

writes
    OUT/source/{train,valid}.txt    Python source, to pretrain on
    OUT/pairs/{train,valid}.jsonl   {"prompt": signature, "completion": docstring}
    OUT/base/{tokenizer,config}.json  a byte-level BPE and a small Llama

Modules are split into training and held-out ones first, so that no docstring
of a held-out pair stands in any text that is trained on. Only the functions'
own text is used; nothing is imported or run.
"""

import ast
import hashlib
import json
import pathlib
import sys
import sysconfig

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 1024
HELD_OUT_ONE_IN = 12
END = "<|end|>"
SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "encodings", "turtledemo"}

# Llama's architecture at a size that two cores pretrain in about a minute.
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "torch_dtype": "float32",
}


def modules():
    """(path relative to the library, text, tree) of each module that parses."""
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if SKIPPED & set(name.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            yield name.as_posix(), text, ast.parse(text)
        except (UnicodeDecodeError, SyntaxError):
            continue


def is_held_out(name):
    """Depends on the module's name alone: the same split on every machine."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % HELD_OUT_ONE_IN == 0


def pairs(tree):
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        docstring = ast.get_docstring(node)
        if not docstring:
            continue
        summary = " ".join(docstring.split("\n\n")[0].split())
        signature = f"def {node.name}({ast.unparse(node.args)}):"
        if 20 <= len(summary) <= 300 and len(signature) <= 300:
            yield {"prompt": signature + "\n", "completion": summary}


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    # GPT-2's categories with digits one to three at a time, as Llama 3 has them.
    split = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def write_jsonl(path, rows):
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    out = pathlib.Path(sys.argv[1])
    for folder in ("source", "pairs", "base"):
        (out / folder).mkdir(parents=True, exist_ok=True)

    texts = {"train": [], "valid": []}
    examples = {"train": [], "valid": []}
    for name, text, tree in modules():
        split = "valid" if is_held_out(name) else "train"
        texts[split].append(text)
        examples[split].extend(pairs(tree))

    # The same docstring may stand in several modules; held-out ones stay unseen.
    seen = {row["completion"] for row in examples["train"]}
    examples["valid"] = [row for row in examples["valid"] if row["completion"] not in seen]

    for split in texts:
        (out / "source" / f"{split}.txt").write_text("\n".join(texts[split]), encoding="utf-8")
        write_jsonl(out / "pairs" / f"{split}.jsonl", examples[split])

    tokenizer = train_tokenizer(texts["train"])
    tokenizer.save(str(out / "base" / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    config = MODEL | {"bos_token_id": end, "eos_token_id": end}
    (out / "base" / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    for split in texts:
        size = sum(map(len, texts[split])) / 1e6
        print(f"{split}: {size:.1f} MB of source in {len(texts[split])} modules, {len(examples[split])} pairs")


if __name__ == "__main__":
    main()
