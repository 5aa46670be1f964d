"""mlx-lm's own LoRA trainer: padded_mlx_lm.py DATA BATCH STEPS.

It sorts documents by length and pads a batch to one more than a multiple of 32. MLX's CPU
wheel has a BLAS of one thread: preload OpenBLAS. Prints real tokens/s behind the first
step as JSON.
"""

import json
import pathlib
import sys
import tempfile

import mlx.core as mx
import mlx.optimizers as optim
from mlx_lm.models import llama
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.datasets import CacheDataset
from mlx_lm.tuner.trainer import TrainingArgs, train
from mlx_lm.tuner.utils import linear_to_lora_layers

from shape import CONFIG, LORA_KEYS, LORA_RANK, tokens_of


class Tokens:
    """Documents that are tokens already, in the form of mlx-lm's data sets."""

    def __init__(self, documents):
        self.documents = documents

    def __len__(self):
        return len(self.documents)

    def __getitem__(self, index):
        return self.documents[index]

    def process(self, document):
        return document, 0


class Reports(TrainingCallback):
    def __init__(self):
        self.tokens, self.seconds, self.before = 0, 0.0, 0

    def on_train_loss_report(self, info):
        if info["iteration"] > 1:
            self.tokens += info["trained_tokens"] - self.before
            self.seconds += 1 / info["iterations_per_second"]
        self.before = info["trained_tokens"]


def main():
    data, size, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    names = llama.ModelArgs.__dataclass_fields__
    model = llama.Model(llama.ModelArgs(**{key: value for key, value in CONFIG.items() if key in names}))
    model.freeze()
    keys = [f"self_attn.{key}" for key in LORA_KEYS]
    linear_to_lora_layers(model, CONFIG["num_hidden_layers"], {"rank": LORA_RANK, "scale": 2.0, "dropout": 0.0, "keys": keys})
    mx.eval(model.parameters())
    reports = Reports()
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArgs(batch_size=size, iters=steps + 1, steps_per_report=1, steps_per_eval=10**9,
                            max_seq_length=2048, adapter_file=pathlib.Path(folder) / "adapters.safetensors")
        out, sys.stdout = sys.stdout, sys.stderr
        train(model, optim.AdamW(1e-4), CacheDataset(Tokens(tokens_of(data))), None, args, training_callback=reports)
        sys.stdout = out
    print(json.dumps({"tokens_per_second": reports.tokens / reports.seconds}))


if __name__ == "__main__":
    main()
