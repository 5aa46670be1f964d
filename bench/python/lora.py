"""mlx-lm's trainer on its own attention and on Tessera's, on one BLAS.

python bench/python/lora.py --lengths 2048 8192 --layers 8

A Llama of hidden size 512, heads 8/4, FFN 1376, vocabulary 32000, float32, LoRA of rank
8 on q, k, v and o, rows of one document. Both run in turn in one process; the figure is
tokens a second of the last step, as mlx-lm reports it.
"""

import tessera

import argparse
import contextlib
import tempfile
from pathlib import Path

import mlx.core as mx
import mlx.optimizers as optim
from mlx_lm.models import llama
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.trainer import TrainingArgs, train
from mlx_lm.tuner.utils import linear_to_lora_layers

KEYS = [f"self_attn.{name}_proj" for name in "qkvo"]


class LastReport(TrainingCallback):
    def on_train_loss_report(self, info: dict) -> None:
        self.info = info


def model_of(layers: int) -> llama.Model:
    mx.random.seed(0)
    model = llama.Model(
        llama.ModelArgs(
            model_type="llama",
            hidden_size=512,
            num_hidden_layers=layers,
            intermediate_size=1376,
            num_attention_heads=8,
            num_key_value_heads=4,
            rms_norm_eps=1e-5,
            vocab_size=32000,
            tie_word_embeddings=False,
        )
    )
    model.freeze()
    linear_to_lora_layers(model, layers, {"rank": 8, "scale": 2.0, "dropout": 0.0, "keys": KEYS})
    return model


def step(length: int, run: argparse.Namespace, ours: bool) -> dict:
    """The last step's report of a short run, with the peak of memory in GiB."""
    tokens = mx.random.randint(0, 32000, (length,), key=mx.random.key(1)).tolist()
    model, report = model_of(run.layers), LastReport()
    mx.eval(model.parameters())
    mx.clear_cache()
    mx.reset_peak_memory()
    call = llama.TransformerBlock.__call__  # which --grad-checkpoint replaces, for good
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArgs(
            batch_size=1,
            iters=run.iters,
            steps_per_report=1,
            steps_per_eval=10**9,
            max_seq_length=length + 1,
            grad_checkpoint=run.grad_checkpoint,
            adapter_file=Path(folder) / "adapters.safetensors",
        )
        with tessera.patch() if ours else contextlib.nullcontext():
            train(model, optim.Adam(1e-5), [(tokens, 0)], None, args, training_callback=report)
    llama.TransformerBlock.__call__ = call
    return report.info | {"peak_gib": mx.get_peak_memory() / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--iters", type=int, default=2)
    parser.add_argument("--grad-checkpoint", action="store_true", help="mlx-lm's, for both")
    parser.add_argument("--only", choices=["mlx-lm", "tessera"], help="one of the two")
    args = parser.parse_args()
    for length in args.lengths:
        rates = {}
        for name in [args.only] if args.only else ["mlx-lm", "tessera"]:
            one = step(length, args, ours=name == "tessera")
            rates[name] = one["tokens_per_second"]
            print(
                f"{name:<8} length {length:>6}, {args.layers} layers: "
                f"{rates[name]:8.1f} tokens/s, {one['peak_gib']:6.2f} GiB, "
                f"loss {one['train_loss']:.6f}",
                flush=True,
            )
        if not args.only:
            ratio = rates["tessera"] / rates["mlx-lm"]
            print(f"ratio    length {length:>6}: {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
