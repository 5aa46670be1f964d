"""A LoRA step of the small Llama shape beside PyTorch and PEFT, on this CPU.

    run.py TESSERA --torch PYTHON [--rounds N] [--only TEXT]

Contenders take turns; each run is a process of its own. Ratios are of medians
over the rounds. PYTHON has torch, transformers and peft.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy

from shape import make_data, make_model

HERE = pathlib.Path(__file__).resolve().parent


class Bench:
    def __init__(self, arguments, folder):
        self.tessera, self.torch, self.rounds, self.folder = arguments.tessera.resolve(), arguments.torch, arguments.rounds, folder
        make_model(folder / "model")

    def data(self, name, lengths):
        if not (self.folder / name).exists():
            make_data(self.folder / name, lengths)
        return self.folder / name

    def ours(self, data, steps, *flags):
        """tokens/s (median of the steps behind the first, if any) and peak GiB."""
        out = self.folder / "run"
        subprocess.run(
            [self.tessera, "finetune", "--model", self.folder / "model", "--data", data, "--adapter-path", out, "--force",
             "--iters", str(steps + 1), "--steps-per-report", "1", "--save-every", "0", *map(str, flags)],
            check=True, capture_output=True,
        )
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return statistics.median(row["tokens_per_second"] for row in rows[1:] or rows), rows[-1]["peak_memory_gib"]

    def theirs(self, length, steps, *flags):
        done = subprocess.run(
            [self.torch, "-W", "ignore", HERE / "torch_peft.py", "1", str(length), str(steps), *flags],
            check=True, capture_output=True, text=True, cwd=HERE,
        )
        result = json.loads(done.stdout)
        return result["tokens_per_second"], result["peak_gib"]


def median(pairs):
    return tuple(statistics.median(column) for column in zip(*pairs))


def row(name, ratio, target, more_is_better=True):
    reached = ratio >= target if more_is_better else ratio <= target
    print(f"{name:58} {ratio:6.2f}  target {target:5.2f}  {'reached' if reached else 'SHORT'}", flush=True)


def beside_peft(bench, length, steps, speed, memory, *flags):
    data = bench.data(f"length-{length}", [length] * 8)
    ours, theirs = [], []
    for _ in range(bench.rounds):
        ours.append(bench.ours(data, steps, "--batch-size", 1, "--max-seq-length", length + 1, "--grad-checkpoint", flags[0] if flags else "off"))
        theirs.append(bench.theirs(length, steps))
    (fast, held), (their_fast, their_held) = median(ours), median(theirs)
    print(f"length {length} {' '.join(flags)}: {fast:.0f} tok/s, {held:.2f} GiB; PyTorch + PEFT {their_fast:.0f} tok/s, {their_held:.2f} GiB", flush=True)
    if speed:
        row(f"tokens/s, length {length}", fast / their_fast, speed)
    if memory:
        row(f"peak memory, length {length}, recomputed: {flags[0] if flags else 'off'}", held / their_held, memory, more_is_better=False)


def memory_is_linear(bench):
    held = {}
    for length in (8192, 16384, 32768):
        data = bench.data(f"length-{length}", [length] * 2)
        held[length] = bench.ours(data, 0, "--batch-size", 1, "--max-seq-length", length + 1, "--grad-checkpoint", "all")[1]
        print(f"length {length}, all layers recomputed: {held[length]:.2f} GiB", flush=True)
    row("memory 16384 -> 32768 by 8192 -> 16384 (2 is linear)", (held[32768] - held[16384]) / (held[16384] - held[8192]), 2.1, more_is_better=False)


def packing(bench):
    """The same documents, 2048 tokens a batch: packed in a row; padded to the longest of the batch, with documents of like length together;
    one at a time."""
    draw = numpy.random.default_rng(2)
    data = bench.data("documents", [int(n) for n in draw.integers(64, 257, 512)])
    kinds = {"packed": ("--batch-size", 1, "--pack"), "padded": ("--batch-size", 12), "alone": ("--batch-size", 1)}
    speeds = {name: [] for name in kinds}
    for _ in range(bench.rounds):
        for name, flags in kinds.items():
            steps = 24 if name == "alone" else 6
            speeds[name].append(bench.ours(data, steps, "--max-seq-length", 2048, *flags)[0])
    real = {name: statistics.median(values) for name, values in speeds.items()}
    print("documents of 64 to 256 tokens: " + ", ".join(f"{name} {speed:.0f} tok/s" for name, speed in real.items()), flush=True)
    row("real tokens/s, packed by batches of 12 padded", real["packed"] / real["padded"], 2)
    row("real tokens/s, packed by documents one at a time", real["packed"] / real["alone"], 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tessera", type=pathlib.Path)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    parts = {
        "2048": lambda b: beside_peft(b, 2048, 3, 1.2, None),
        "8192": lambda b: beside_peft(b, 8192, 1, 1.5, 0.5),
        "recomputed 8192": lambda b: beside_peft(b, 8192, 1, None, 0.25, "all"),
        "packing": packing,
        "memory": memory_is_linear,
    }
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(arguments, pathlib.Path(name))
        for part, run in parts.items():
            if arguments.only in part:
                run(bench)


if __name__ == "__main__":
    main()
