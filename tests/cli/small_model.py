"""What the tests of the program share. TESSERA names the program under test."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TESSERA = os.environ["TESSERA"]
WORDS = "the quick brown fox jumps over a lazy dog while red hens count seven stars".split()
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def run(*arguments, through=(), **options):
    """Runs the program, as the last arguments of the command `through`."""
    return subprocess.run([*map(str, [*through, TESSERA, *arguments])], capture_output=True, text=True, timeout=300, **options)


def sentence(i, length=12):
    return " ".join(WORDS[(i * 7 + j * (1 + i % 3)) % len(WORDS)] for j in range(length))


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder):
    return {row["step"]: row["loss"] for row in metrics(folder) if "loss" in row}


class SmallModel(unittest.TestCase):
    """With a tiny model, a tokenizer and data in cls.root; self.folder is the test's own run folder."""

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="tessera-cli-"))
        seed = cls.root / "seed"
        seed.mkdir()
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator([sentence(i) for i in range(50)], trainer)
        tokenizer.save(str(seed / "tokenizer.json"))
        (seed / "config.json").write_text(json.dumps(CONFIG))

        cls.data = cls.root / "data"
        cls.data.mkdir()
        rows = [{"prompt": sentence(i, 4), "completion": " " + sentence(i + 1, 6)} for i in range(24)]
        write_jsonl(cls.data / "train.jsonl", rows[:16])
        write_jsonl(cls.data / "valid.jsonl", rows[16:20])
        write_jsonl(cls.data / "test.jsonl", rows[20:])
        cls.tokenizer = tokenizer

        scratch = cls.root / "scratch"
        done = run(
            "finetune", "--init", seed / "config.json", "--data", cls.data, "--adapter-path", scratch,
            "--iters", 4, "--batch-size", 2, "--learning-rate", 1e-3, "--max-seq-length", 64,
        )
        assert done.returncode == 0, done.stderr
        cls.model = scratch / "model"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def setUp(self):
        self.folder = self.root / self.id().split(".")[-1]

    def finetune(self, *arguments, folder=None, **options):
        return run(
            "finetune", "--model", self.model, "--data", self.data, "--adapter-path", folder or self.folder,
            "--batch-size", 2, "--max-seq-length", 64, "--steps-per-report", 1, "--learning-rate", 1e-3,
            *arguments, **options,
        )

    def assertRefused(self, done, *words):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(str(word), done.stderr)
