"""LoRA steps in PyTorch and PEFT over padded batches: padded_peft.py DATA BATCH STEPS [--checkpoint].

Documents come in a random order, as `transformers.Trainer` draws them, and a batch is
padded to its longest. Prints real tokens/s behind the first step as JSON.
"""

import json
import pathlib
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from shape import CONFIG, LORA_KEYS, LORA_RANK, tokens_of

IGNORED = -100  # a label that is left out of the loss


def padded(documents):
    width = max(map(len, documents))
    ids = torch.zeros((len(documents), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, document in enumerate(documents):
        ids[row, : len(document)] = torch.tensor(document)
        mask[row, : len(document)] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, IGNORED)}


def main():
    data, size, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(2)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG, attn_implementation="sdpa"))
    model = get_peft_model(model, LoraConfig(r=LORA_RANK, lora_alpha=16, target_modules=LORA_KEYS))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    documents = tokens_of(data)
    order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(0)).tolist()
    tokens, start = 0, 0.0
    for step in range(steps + 1):
        if step == 1:
            start = time.perf_counter()
        chosen = [documents[i] for i in order[step * size : (step + 1) * size]]
        model(**padded(chosen)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens += sum(len(document) - 1 for document in chosen) if step > 0 else 0
    print(json.dumps({"tokens_per_second": tokens / (time.perf_counter() - start)}))


if __name__ == "__main__":
    main()
