"""Writes tests/golden/train/optimizer.json: what torch's AdamW, Adam, clip_grad_norm_
and learning rate schedules give. Needs torch; nothing of it is needed to build or test.

    python scripts/golden/train.py tests/golden/train
"""

import json
import pathlib
import sys

import torch

STEPS = 6
SHAPES = {"a": (3, 4), "b": (5,), "c": (2, 2, 2)}


def flat(tensors):
    return {name: t.detach().flatten().tolist() for name, t in tensors.items()}


def updates(kind, gradients, max_norm, **options):
    torch.manual_seed(1)
    parameters = {n: torch.randn(s, requires_grad=True) for n, s in SHAPES.items()}
    case = {"options": options, "kind": kind, "max_norm": max_norm, "start": flat(parameters), "after": [], "norms": []}
    optimizer = getattr(torch.optim, kind)(parameters.values(), foreach=False, **options)
    for step in gradients:
        for name, p in parameters.items():
            p.grad = step[name].clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm or float("inf"))
        optimizer.step()
        case["norms"].append(norm.item())
        case["after"].append(flat(parameters))
    return case


def rates(kind, peak, final, warmup, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    schedulers = torch.optim.lr_scheduler
    falling = max(1, steps - warmup)
    fall = {
        "constant": lambda: schedulers.ConstantLR(optimizer, factor=1.0),
        "linear": lambda: schedulers.LinearLR(optimizer, 1.0, final / peak, total_iters=falling),
        "cosine": lambda: schedulers.CosineAnnealingLR(optimizer, falling, eta_min=final),
    }[kind]()
    schedule = fall
    if warmup:
        rise = schedulers.LinearLR(optimizer, 1 / (warmup + 1), 1.0, total_iters=warmup)
        schedule = schedulers.SequentialLR(optimizer, [rise, fall], [warmup])
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return {"kind": kind, "peak": peak, "final": final, "warmup": warmup, "rates": result}


def main(folder):
    torch.manual_seed(0)
    gradients = [{n: torch.randn(s) * 10.0 ** (i % 3 - 1) for n, s in SHAPES.items()} for i in range(STEPS)]
    golden = {
        "shapes": SHAPES,
        "gradients": [flat(g) for g in gradients],
        "updates": [
            updates("AdamW", gradients, 1.0, lr=1e-2, weight_decay=0.01),
            updates("AdamW", gradients, 0.0, lr=3e-3, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6),
            updates("Adam", gradients, 2.5, lr=1e-3),
        ],
        "schedules": [
            rates(kind, 2e-4, final, warmup, steps)
            for kind in ("constant", "linear", "cosine")
            for final, warmup, steps in ((1e-5, 0, 7), (0.0, 3, 11), (1e-5, 10, 11))
        ],
    }
    path = pathlib.Path(folder) / "optimizer.json"
    path.write_text(json.dumps(golden) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


main(sys.argv[1])
