"""Writes tests/golden/adapter: adapters of tests/golden/model/llama3 as peft saves them,
and the logits of the model with each.

    VENV/bin/python scripts/golden/adapter.py

expected.safetensors of an adapter: "tokens" [B, N] int32 as float32, "logits".
"""

import shutil
from pathlib import Path

import peft
import torch
from reference import PROJECTIONS
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
CASES = {
    "peft": dict(r=4, lora_alpha=6, lora_dropout=0.25, target_modules=["q_proj", "down_proj"]),
    "peft_rslora": dict(
        r=3, lora_alpha=7, use_rslora=True, target_modules="all-linear", layers_to_transform=[1]),
}


def write(name, options):
    folder = GOLDEN / "adapter" / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(len(name))
    base = AutoModelForCausalLM.from_pretrained(GOLDEN / "model" / "llama3", dtype=torch.float32, attn_implementation="eager")
    if options["target_modules"] == "all-linear":
        options = dict(options, target_modules=PROJECTIONS)
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".lora_" in key:
                parameter.normal_(0.0, 0.1)
    tokens = torch.randint(0, 128, (2, 24))
    logits = model(tokens).logits.detach()
    model.base_model.config.name_or_path = None
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    save_file(dict(tokens=tokens.float(), logits=logits), folder / "expected.safetensors", metadata={"format": "pt"})
    config = (folder / "adapter_config.json").read_text().replace(str(GOLDEN.parent.parent) + "/", "")
    (folder / "adapter_config.json").write_text(config + "\n")
    print(name, peft.__version__)


if __name__ == "__main__":
    for name, options in CASES.items():
        write(name, options)
