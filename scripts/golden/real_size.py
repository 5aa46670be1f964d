"""A model of real size with random weights, and one LoRA step of it by
transformers and peft. scripts/golden/real_size.sh runs it.

    real_size.py make NAME FOLDER     writes FOLDER (tests/golden/config/NAME.json)
    real_size.py expect FOLDER        adds expected.json and expected.safetensors
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
import transformers
from reference import add_lora, lora_arrays, lora_gradients, save_expected
from transformers import AutoConfig, AutoModelForCausalLM

CONFIGS = Path(__file__).resolve().parents[2] / "tests" / "golden" / "config"
LENGTH = 256
RANK, ALPHA = 8, 16


def make(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text((CONFIGS / f"{name}.json").read_text())
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    # transformers writes config.json in its own words; keep the published one.
    (folder / "config.json").write_text((CONFIGS / f"{name}.json").read_text())


def expect(folder):
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    lora = add_lora(model, RANK, ALPHA, std=0.02)
    batch = torch.randint(0, model.config.vocab_size, (1, LENGTH + 1))
    lora_gradients(lora, batch)
    start = time.perf_counter()
    loss, gradients = lora_gradients(lora, batch)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    save_expected(folder, lora_arrays(lora, "lora.") | gradients)
    expected = dict(lora_scale=ALPHA / RANK, batches=[batch.tolist()], loss=loss)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(f"transformers + peft: loss {loss:.6f}, {LENGTH / seconds:.1f} tokens/s, peak {peak:.2f} GiB")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if sys.argv[1] == "make":
        make(sys.argv[2], Path(sys.argv[3]))
    else:
        expect(Path(sys.argv[2]))
