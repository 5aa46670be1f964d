"""Predicted peak memory beside the measured one, over shapes of models and batches.

    memory.py TESSERA

Each run is a process of its own with three steps; its peak is the process's
largest resident set.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from shape import make_data, make_model

SMALL = dict(hidden_size=256, num_hidden_layers=4, intermediate_size=704, vocab_size=8000, num_attention_heads=4, num_key_value_heads=2)
TIED = dict(hidden_size=896, num_hidden_layers=6, intermediate_size=2432, vocab_size=50000, num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True)
WIDE = SMALL | dict(intermediate_size=2048)
DEEP = SMALL | dict(num_hidden_layers=16)
MODELS = {"small": SMALL, "bench": {}, "tied": TIED, "wide": WIDE, "deep": DEEP}
ALL = ("--lora-keys", "all-linear")
GRID = [  # model, batch, length, documents, flags
    ("small", 1, 64, ()),
    ("small", 1, 2048, ()),
    ("small", 4, 1024, ()),
    ("small", 2, 4096, ALL),
    ("small", 1, 1024, ("--grad-checkpoint", "all")),
    ("small", 1, 8192, ("--grad-checkpoint", "all")),
    ("small", 2, 512, ("--fine-tune-type", "full")),
    ("small", 1, 16384, ("--grad-checkpoint", "2")),
    ("small", 1, 512, ("--dtype", "bfloat16")),
    ("small", 1, 1024, ("--dtype", "bfloat16", "--grad-checkpoint", "all")),
    ("wide", 1, 512, ("--dtype", "bfloat16")),
    ("wide", 1, 2048, ()),
    ("wide", 1, 4096, ("--grad-checkpoint", "all")),
    ("deep", 1, 2048, ("--grad-checkpoint", "all")),
    ("bench", 1, 256, ()),
    ("bench", 1, 2048, ()),
    ("bench", 1, 8192, ()),
    ("bench", 4, 1024, ALL),
    ("bench", 1, 2048, ("--grad-checkpoint", "all")),
    ("bench", 1, 8192, ("--grad-checkpoint", "all")),
    ("bench", 1, 16384, ("--grad-checkpoint", "all")),
    ("bench", 1, 8192, ("--grad-checkpoint", "5")),
    ("bench", 2, 1024, ("--grad-accumulation-steps", "3")),
    ("bench", 1, 1024, ("--fine-tune-type", "full")),
    ("bench", 2, 1024, ("--pack",)),
    ("tied", 1, 512, ()),
    ("tied", 2, 2048, ALL),
    ("tied", 1, 4096, ("--grad-checkpoint", "all")),
    ("tied", 1, 512, ("--fine-tune-type", "full")),
]


def run(tessera, folder, case):
    model, batch, length, flags = case
    if not (folder / model).exists():
        make_model(folder / model, **MODELS[model])
    data = folder / f"data-{length}"
    if not data.exists():
        make_data(data, [length] * 16)
    out = folder / "run"
    subprocess.run(
        [tessera, "finetune", "--model", folder / model, "--data", data, "--adapter-path", out, "--force", "--batch-size", str(batch),
         "--max-seq-length", str(length + 1), "--iters", "4", "--steps-per-report", "1", "--save-every", "0", "--grad-checkpoint", "off", *flags],
        check=True, capture_output=True,
    )
    predicted = json.loads((out / "config.json").read_text())["memory"]["predicted_peak_bytes"]
    measured = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["peak_memory_gib"] * 2**30
    return predicted, measured


def main():
    tessera = pathlib.Path(sys.argv[1]).resolve()
    chosen = [case for case in GRID if len(sys.argv) < 3 or sys.argv[2] in " ".join(map(str, case))]
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        for case in chosen:
            predicted, measured = run(tessera, pathlib.Path(name), case)
            ratios.append(predicted / measured)
            model, batch, length, flags = case
            print(f"{model:6} {batch} x {length:6} {' '.join(flags):32} predicted {predicted / 2**20:7.0f} MiB  measured {measured / 2**20:7.0f} MiB  {ratios[-1]:.3f}", flush=True)
    print(f"predicted / measured: {min(ratios):.3f} to {max(ratios):.3f} (0.95 to 1.10 wanted)")


if __name__ == "__main__":
    main()
