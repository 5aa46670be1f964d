"""One LoRA step in PyTorch and PEFT: torch_peft.py BATCH LENGTH STEPS [--checkpoint]. Prints tokens/s and peak GiB as JSON."""

import json
import resource
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from shape import CONFIG, LORA_KEYS, LORA_RANK

batch, length, steps = map(int, sys.argv[1:4])
torch.set_num_threads(2)
model = LlamaForCausalLM(LlamaConfig(**CONFIG, attn_implementation="sdpa"))
model = get_peft_model(model, LoraConfig(r=LORA_RANK, lora_alpha=16, target_modules=LORA_KEYS))
model.train()
if "--checkpoint" in sys.argv:
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
tokens = torch.randint(1, 27, (batch, length + 1))
times = []
for _ in range(steps + 1):
    start = time.perf_counter()
    # The shift is the model's: it reads length + 1 tokens and predicts length.
    model(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"tokens_per_second": batch * length / statistics.median(times[1:]), "peak_gib": peak}))
