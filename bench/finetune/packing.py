"""Real tokens/s over documents of 64 to 256 tokens: packed, and padded by us and by others.

    packing.py TESSERA [--torch PYTHON] [--mlx-lm PYTHON] [--openblas LIBRARY] [--rounds N]

The small Llama shape, LoRA of rank 8 on q k v o, AdamW, float32. Contenders take turns,
each run a process of its own; figures are medians over the rounds, ratios those of the
round. Fill is the part of a batch's cells that hold tokens: what packing can gain by
cells alone is its inverse.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import numpy

from shape import make_data, make_model, tokens_of

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = 2048
SIZES = (4, 8, 16)
CELLS = 10_000  # of a run, about


def fill(lengths, size, pad_to=1, extra=0):
    """Of batches of `size` in this order, as wide as the longest, to a multiple of `pad_to` and `extra`."""
    batches = [lengths[i : i + size] for i in range(0, len(lengths) - size + 1, size)]
    cells = sum(size * (-(-max(batch) // pad_to) * pad_to + extra) for batch in batches)
    return sum(map(sum, batches)) / cells


def fills(lengths):
    """Fill of batches in a random order, and of those of like length."""
    order = [lengths[i] for i in numpy.random.default_rng(0).permutation(len(lengths))]
    for size in SIZES:
        print(f"batches of {size:2}: fill {fill(order, size):.2f} in a random order, "
              f"{fill(sorted(lengths), size):.2f} sorted, {fill(sorted(lengths), size, 32, 1):.2f} sorted and padded to 32", flush=True)
    print(f"rows of {COLUMNS}, best fit: {sum(lengths) / (COLUMNS * -(-sum(lengths) // COLUMNS)):.3f} at most")


class Bench:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        make_model(folder / "model")
        self.data = folder / "data"
        make_data(self.data, [int(n) for n in numpy.random.default_rng(2).integers(64, 257, 512)])
        self.lengths = [len(document) - 1 for document in tokens_of(self.data)]

    def ours(self, size, *flags):
        steps = max(3, CELLS // (COLUMNS if flags else 160 * size))
        out = self.folder / "run"
        subprocess.run(
            [self.arguments.tessera.resolve(), "finetune", "--model", self.folder / "model", "--data", self.data, "--adapter-path", out,
             "--force", "--iters", str(steps + 1), "--steps-per-report", "1", "--save-every", "0", "--max-seq-length", str(COLUMNS),
             "--grad-checkpoint", "off", "--batch-size", str(size), *flags],
            check=True, capture_output=True,
        )
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][1:]
        seconds = rows[-1]["seconds"] - rows[0]["seconds"]
        return sum(row["tokens_per_second"] * (row["seconds"] - before["seconds"]) for before, row in zip(rows, rows[1:])) / seconds

    def other(self, python, script, size, environment=None):
        steps = max(2, CELLS // (2 * 160 * size))
        done = subprocess.run([python, "-W", "ignore", HERE / script, self.data, str(size), str(steps)], check=True,
                              capture_output=True, text=True, cwd=HERE, env=os.environ | (environment or {}))
        return json.loads(done.stdout.splitlines()[-1])["tokens_per_second"]

    def contenders(self):
        runs = {"packed": lambda: self.ours(1, "--pack")}
        for size in SIZES:
            runs[f"tessera, batches of {size}"] = lambda size=size: self.ours(size)
        runs["tessera, a document a batch"] = lambda: self.ours(1)
        if self.arguments.torch:
            for size in SIZES:
                runs[f"transformers + PEFT, batches of {size}"] = lambda size=size: self.other(self.arguments.torch, "padded_peft.py", size)
        if self.arguments.mlx_lm:
            # Its kernels for this processor, and one BLAS for all that use OpenBLAS.
            blas = {"LD_PRELOAD": self.arguments.openblas, "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "SKYLAKEX")}
            for size in SIZES:
                runs[f"mlx-lm, batches of {size}"] = lambda size=size: self.other(self.arguments.mlx_lm, "padded_mlx_lm.py", size, blas)
        return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tessera", type=pathlib.Path)
    parser.add_argument("--torch", help="a Python with torch, transformers and peft")
    parser.add_argument("--mlx-lm", help="a Python with mlx-lm")
    parser.add_argument("--openblas", default="libopenblas.so.0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="contenders whose name holds this text")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(arguments, pathlib.Path(name))
        fills(bench.lengths)
        runs = {name: run for name, run in bench.contenders().items() if name == "packed" or arguments.only in name}
        speeds = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                speeds[name].append(run())
                print(f"  {name:36} {speeds[name][-1]:7.0f} tok/s", flush=True)
    for name, figures in speeds.items():
        ratio = statistics.median(packed / one for packed, one in zip(speeds["packed"], figures))
        print(f"{name:36} {statistics.median(figures):7.0f} tok/s   packed by it {ratio:5.2f}", flush=True)


if __name__ == "__main__":
    main()
