"""Times PyTorch's scaled_dot_product_attention for `tessera bench`, and gives its values for comparison.

Reads one JSON object a line: {"case": {...}, "folder": F} takes its inputs from files of float32 in F, {"time": "forward"}
or {"time": "backward"} runs that pass once and answers with its seconds, {"values": F, "backward": true} takes dO from F
and leaves O, dQ, dK and dV there. Answers are one JSON object a line. Tessera passes this text to the Python that --torch
names; nothing else needs it.
"""

import json
import math
import os
import resource
import sys
import time


def answer(**fields):
    print(json.dumps(fields), flush=True)


def refusal(case):
    if case["softcap"] is not None:
        return "PyTorch's op has no softcap"
    if case["sinks"]:
        return "PyTorch's op has no sinks"
    return None


def seen(torch, case):
    """[Nq, Nk], True where positions, prefix and segments let the query see the key."""
    i = torch.arange(case["Nq"])[:, None] + case["Nk"] - case["Nq"]
    j = torch.arange(case["Nk"])[None, :]
    keep = torch.ones(case["Nq"], case["Nk"], dtype=torch.bool)
    if case["causal"]:
        keep &= (j <= i) | (j < (case["prefix"] or 0))
    left, right = case["window"]
    if left is not None:
        keep &= j >= i - left
    if right is not None:
        keep &= j <= i + right
    if case["chunk"]:
        floor = lambda x: torch.div(x, case["chunk"], rounding_mode="floor")
        keep &= floor(j) == floor(i)
    if case["segments"]:
        ids = torch.repeat_interleave(torch.arange(len(case["segments"])), torch.tensor(case["segments"]))
        keep &= ids[:, None] == ids[None, :]
    return keep


def read(torch, folder, name, shape):
    path = os.path.join(folder, name)
    return torch.from_file(path, size=math.prod(shape), dtype=torch.float32).reshape(shape).clone()


def write(torch, folder, name, x):
    path = os.path.join(folder, name)
    torch.from_file(path, shared=True, size=x.numel(), dtype=torch.float32).copy_(x.detach().float().flatten())


class Case:
    def __init__(self, torch, case, folder):
        self.torch = torch
        dtype = getattr(torch, case["dtype"])
        B, Hq, Hkv = case["B"], case["Hq"], case["Hkv"]
        Nq, Nk, D, Dv = case["Nq"], case["Nk"], case["D"], case["Dv"]
        self.inputs = [
            read(torch, folder, name, (B, H, N, d)).to(dtype).requires_grad_()
            for name, H, N, d in (("Q", Hq, Nq, D), ("K", Hkv, Nk, D), ("V", Hkv, Nk, Dv))
        ]
        self.cotangent = read(torch, folder, "dO", (B, Hq, Nq, Dv)).to(dtype)
        mask = None
        plain = not (any(x is not None for x in case["window"]) or case["chunk"] or case["segments"] or case["prefix"])
        scores = case["bias"] or case["alibi"]
        # is_causal is aligned to the upper left: the same only for as many queries as keys.
        self.causal = case["causal"] and plain and not scores and not case["mask"] and Nq == Nk
        if not self.causal and (case["causal"] or not plain):
            mask = seen(torch, case)
        if case["mask"]:
            kept = read(torch, folder, "mask", case["mask"]) != 0
            mask = kept if mask is None else mask & kept
        if scores:
            mask = self.scores(case, folder, mask, dtype)
        self.options = {"attn_mask": mask, "dropout_p": case["dropout"], "is_causal": self.causal}
        if Hq != Hkv:
            self.options["enable_gqa"] = True

    def scores(self, case, folder, keep, dtype):
        torch = self.torch
        total = torch.zeros(1, 1, case["Nq"], case["Nk"])
        if case["bias"]:
            total = total + read(torch, folder, "bias", case["bias"])
        if case["alibi"]:
            slopes = torch.exp2(-8 * torch.arange(1, case["Hq"] + 1) / case["Hq"])
            i = torch.arange(case["Nq"])[:, None] + case["Nk"] - case["Nq"]
            total = total - slopes[:, None, None] * (i - torch.arange(case["Nk"])).abs()
        if keep is not None:
            total = total.masked_fill(~keep, -math.inf)
        return total.to(dtype)

    def forward(self):
        return self.torch.nn.functional.scaled_dot_product_attention(*self.inputs, **self.options)

    def time(self, name):
        if name == "forward":
            with self.torch.no_grad():
                start = time.perf_counter()
                self.forward()
                return time.perf_counter() - start
        O = self.forward()
        start = time.perf_counter()
        self.torch.autograd.grad(O, self.inputs, self.cotangent)
        return time.perf_counter() - start

    def values(self, folder, backward):
        O = self.forward()
        write(self.torch, folder, "O", O)
        if backward:
            dO = read(self.torch, folder, "dO", O.shape).to(O.dtype)
            for name, gradient in zip(("dQ", "dK", "dV"), self.torch.autograd.grad(O, self.inputs, dO)):
                write(self.torch, folder, name, gradient)


def main():
    case = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "threads" in request:
                import torch

                torch.set_num_threads(request["threads"])
                answer(version=torch.__version__)
            elif "case" in request:
                case = None
                why = refusal(request["case"])
                case = None if why else Case(torch, request["case"], request["folder"])
                answer(skipped=why or "")
            elif "values" in request:
                case.values(request["values"], request["backward"])
                answer()
            elif "memory" in request:
                # Linux counts in KiB, macOS in bytes.
                peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                before = peak()
                case.time(request["memory"])
                # Nothing is known where an earlier case had held more.
                answer(memory=peak() - before if peak() > before else None)
            else:
                answer(seconds=case.time(request["time"]))
        except Exception as error:  # whatever PyTorch cannot do is this contender's cell, not the benchmark's end
            answer(error=f"{type(error).__name__}: {error}".splitlines()[0])


main()
