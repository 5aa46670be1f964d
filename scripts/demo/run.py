"""The main job, end to end, on real text: data, base model, LoRA, evaluation.

    run.py TESSERA OUT [--pretrain-steps N] [--finetune-steps N]

Leaves OUT/data, OUT/base (a run folder; its model/ is a Hugging Face folder)
and OUT/lora (a run folder). Everything a step prints is shown as it comes.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PROMPT = "def read_text(self, encoding=None, errors=None):\n"


def step(title, *command):
    print(f"\n== {title}", flush=True)
    subprocess.run([str(part) for part in command], check=True)


def metrics(run):
    with (run / "metrics.jsonl").open() as file:
        return [json.loads(line) for line in file]


def eval_losses(run):
    return [row["eval_loss"] for row in metrics(run) if "eval_loss" in row]


def peak_gib(*runs):
    return max(row.get("peak_memory_gib", 0.0) for run in runs for row in metrics(run))


def flash_attention(tessera):
    """On, where this machine has kernels for it; elsewhere the best there is."""
    info = json.loads(subprocess.run([tessera, "info", "--json"], check=True, capture_output=True).stdout)
    return "on" if info["device"] == "cpu" else "auto"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tessera", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--pretrain-steps", type=int, default=600)
    parser.add_argument("--finetune-steps", type=int, default=300)
    arguments = parser.parse_args()
    tessera, out = arguments.tessera, arguments.out
    data, base, lora = out / "data", out / "base", out / "lora"
    start = time.monotonic()
    attention_flag = ("--use-flash-attention", flash_attention(tessera))

    step("data: Python's own standard library", sys.executable, HERE / "make_data.py", data)

    step(
        "pretrain a small Llama from scratch on its source",
        tessera, "finetune", "--init", data / "base/config.json", "--data", data / "source",
        "--adapter-path", base, "--force", *attention_flag,
        "--iters", arguments.pretrain_steps, "--batch-size", 8, "--max-seq-length", 129,
        "--learning-rate", 5e-3, "--lr-schedule", "cosine", "--warmup", 30, "--min-learning-rate", 2e-4,
        "--steps-per-report", 50, "--steps-per-eval", arguments.pretrain_steps, "--val-batches", 8, "--save-every", 0,
    )

    step(
        "LoRA fine-tune it: signature -> docstring, held-out modules to evaluate",
        tessera, "finetune", "--model", base / "model", "--data", data / "pairs",
        "--adapter-path", lora, "--force", *attention_flag, "--mask-prompt",
        "--lora-rank", 16, "--lora-alpha", 32, "--lora-keys", "all-linear",
        "--iters", arguments.finetune_steps, "--batch-size", 16, "--max-seq-length", 512,
        "--learning-rate", 3e-3, "--lr-schedule", "cosine", "--warmup", 10,
        "--steps-per-report", 50, "--steps-per-eval", 100, "--val-batches", -1, "--save-every", 100,
    )

    step(
        "a sample: " + PROMPT.strip(),
        tessera, "generate", "--model", base / "model", "--adapter-path", lora,
        "--prompt", PROMPT, "--max-tokens", 40,
    )

    before, after = eval_losses(lora)[0], eval_losses(lora)[-1]
    attention = json.loads((lora / "config.json").read_text())["attention"]["name"]
    print(f"\nrun folder: {lora} (open report.html)")
    print(
        f"demo: eval loss {before:.3f} -> {after:.3f}, {time.monotonic() - start:.0f} s, "
        f"peak {peak_gib(base, lora):.2f} GiB, attention {attention}"
    )


if __name__ == "__main__":
    main()
