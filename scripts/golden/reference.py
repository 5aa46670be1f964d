"""What transformers and peft say of a model: logits, LoRA gradients, losses.

Names and shapes of the LoRA arrays are Tessera's (mlx-lm's): lora_a [in, rank],
lora_b [rank, out]; peft holds both transposed.
"""

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def add_lora(model, rank, alpha, targets=PROJECTIONS, std=0.1):
    """LoRA with both factors random: with B = 0, as training starts, A has no gradient."""
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0, bias="none")
    peft_model = get_peft_model(model, config)
    with torch.no_grad():
        for _, parameter in lora_parameters(peft_model):
            parameter.normal_(0.0, std)
    return peft_model


def lora_parameters(peft_model):
    """(Tessera's name, parameter) of each factor."""
    for name, parameter in peft_model.named_parameters():
        if ".lora_" in name:
            name = name.removeprefix("base_model.model.").removesuffix(".default.weight")
            yield name.replace(".lora_A", ".lora_a").replace(".lora_B", ".lora_b"), parameter


def loss_of(model, batch):
    """Mean cross-entropy of each token after the first; batch [B, N + 1]."""
    logits = model(batch[:, :-1]).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())


def lora_arrays(peft_model, prefix):
    return {prefix + name: p.detach().T.contiguous() for name, p in lora_parameters(peft_model)}


def lora_gradients(peft_model, batch):
    """Loss and the gradient of each LoRA array."""
    peft_model.zero_grad()
    loss = loss_of(peft_model, batch)
    loss.backward()
    return loss.item(), {"gradient." + name: p.grad.T.contiguous() for name, p in lora_parameters(peft_model)}


def adamw_losses(peft_model, batches, options):
    """The loss before each step, one step a batch; then the LoRA arrays are as before."""
    parameters = [p for _, p in lora_parameters(peft_model)]
    before = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(
        parameters,
        lr=options["learning_rate"],
        betas=(options["beta1"], options["beta2"]),
        eps=options["epsilon"],
        weight_decay=options["weight_decay"],
    )
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        loss = loss_of(peft_model, batch)
        loss.backward()
        if options["max_grad_norm"]:
            torch.nn.utils.clip_grad_norm_(parameters, options["max_grad_norm"])
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        for parameter, value in zip(parameters, before):
            parameter.copy_(value)
    return losses


def save_expected(folder, tensors):
    save_file(tensors, folder / "expected.safetensors", metadata={"format": "pt"})
