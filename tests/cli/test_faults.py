"""What may befall a run: kills, full disks, damaged files."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest

from small_model import TESSERA, SmallModel, losses, metrics, run, write_jsonl

# How many kills the chain takes: fewer under the sanitizers, more at night.
KILLS = int(os.environ.get("TESSERA_TEST_KILLS", "50"))
STEPS = 60

# Starts a program whose files may grow to so many bytes; a write beyond fails as on a full disk.
LIMITED = """
import os, resource, signal, sys
limit = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""

READER = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
print(json.dumps({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))
"""


def wait_until(seen, process, limit=60):
    """Whether `seen()` came true before the process ended."""
    end = time.monotonic() + limit
    while process.poll() is None and time.monotonic() < end:
        if seen():
            return True
        time.sleep(2e-4)
    return False


def is_saving(folder):
    try:
        return any(name.endswith(".unfinished") for name in os.listdir(folder / "checkpoints"))
    except FileNotFoundError:
        return False


def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def end(process):
    if process.poll() is None:
        process.kill()
        process.communicate()


class Faults(SmallModel):
    def command(self, folder, *flags):
        return [str(x) for x in (
            TESSERA, "finetune", "--model", self.model, "--data", self.data, "--adapter-path", folder,
            "--batch-size", 2, "--max-seq-length", 64, "--steps-per-report", 1, "--learning-rate", 1e-3,
            "--iters", STEPS, "--save-every", 2, "--steps-per-eval", 15, "--val-batches", 1, "--lora-dropout", 0.1,
            "--grad-accumulation-steps", 2, "--lr-schedule", "cosine", *flags)]

    def kill_once(self, how, chance, whole_time):
        """Starts the run of self.folder with --resume and kills it; whether it was still running."""
        process = subprocess.Popen(self.command(self.folder, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if how == "saving":
            wait_until(lambda: is_saving(self.folder), process)
        elif how == "metrics":
            before = size(self.folder / "metrics.jsonl")
            wait_until(lambda: size(self.folder / "metrics.jsonl") != before, process)
        time.sleep(chance.random() * (whole_time if how == "time" else 0.004))
        process.kill()
        errors = process.communicate()[1]
        self.assertIn(process.returncode, (0, -signal.SIGKILL), errors)
        return process.returncode != 0

    def test_kills_change_no_bit(self):
        whole = self.root / "whole"
        start = time.monotonic()
        done = subprocess.run(self.command(whole), capture_output=True, text=True)
        whole_time = time.monotonic() - start
        self.assertEqual(done.returncode, 0, done.stderr)
        chance = random.Random(5)
        # A run that ends before its kill is begun anew: every kill counts.
        kills = 0
        while kills < KILLS:
            if self.kill_once(("time", "saving", "metrics")[kills % 3], chance, 0.7 * whole_time):
                kills += 1
            else:
                self.compare(whole)
                subprocess.run(["rm", "-r", self.folder], check=True)
        done = subprocess.run(self.command(self.folder, "--resume"), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.compare(whole)

    def compare(self, whole):
        for name in ("adapters.safetensors", "adapter_config.json"):
            self.assertEqual((whole / name).read_bytes(), (self.folder / name).read_bytes(), name)
        timed = {"seconds", "tokens_per_second", "peak_memory_gib"}
        kept = lambda folder: [{k: v for k, v in row.items() if k not in timed} for row in metrics(folder)]
        self.assertEqual(kept(whole), kept(self.folder))
        files = lambda folder: sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
        self.assertEqual(files(whole), files(self.folder))  # nothing is left over

    @unittest.skipUnless(os.path.exists("/dev/full"), "this system has no /dev/full")
    def test_an_output_that_is_full(self):
        self.assertEqual(self.finetune("--iters", 2).returncode, 0)
        trained = self.root / "full-trained"
        model = ["--model", self.model, "--adapter-path", self.folder]
        data = ["--model", self.model, "--data", self.data, "--max-seq-length", 64]
        attention = ["--heads", "4:2", "--head-dim", 8, "--lengths", 32]
        for command in (
            ["--help"], ["finetune", "--help"], ["info"], ["info", "--json"], ["plan", *data], ["plan", *data, "--json"],
            ["score", *model, "--data", self.data / "test.jsonl"],
            ["score", *model, "--data", self.data / "test.jsonl", "--json"],
            ["generate", *model, "--prompt", "the", "--max-tokens", 3],
            ["fuse", *model, "--save-path", self.root / "full-fused"],
            ["explain", *attention], ["explain", *attention, "--json"],
            ["bench", "attention", *attention, "--rounds", 1], ["tune", *attention, "--rounds", 1, "--table", self.root / "full.json"],
            ["finetune", *data, "--adapter-path", trained, "--iters", 3, "--batch-size", 2,
             "--steps-per-report", 1],
        ):
            with self.subTest(command=command), open("/dev/full", "w") as full:
                done = subprocess.run(
                    [str(x) for x in (TESSERA, *command)], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
                self.assertRefused(done, "expected a standard output that can be written")
        self.assertTrue((trained / "adapters.safetensors").exists())  # the training was not lost
        self.assertEqual(max(losses(trained)), 3)
        score = ["score", "--model", self.root / "full-fused", "--data", self.data / "test.jsonl"]
        self.assertEqual(run(*score).returncode, 0)
        with open("/dev/full", "w") as full:
            self.assertEqual(subprocess.run([TESSERA, "score"], stdout=full, stderr=full).returncode, 2)

    def test_two_processes_on_one_folder(self):
        first = subprocess.Popen(
            self.command(self.folder, "--iters", 100000), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(end, first)
        self.assertTrue(wait_until(lambda: (self.folder / "checkpoints" / "step-0000004").exists(), first))
        for flag in ("--resume", "--force"):
            self.assertRefused(self.finetune(flag), "no other process", self.folder, "--adapter-path")
        self.assertIsNone(first.poll())
        end(first)
        second = subprocess.Popen(
            self.command(self.folder, "--iters", 100000, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(end, second)
        before = max(losses(self.folder))
        self.assertTrue(wait_until(lambda: size(self.folder / "metrics.jsonl") and max(losses(self.folder)) > before, second))

    def test_a_damaged_checkpoint_is_said_and_passed_over(self):
        flags = ("--iters", 8, "--save-every", 2)
        whole = self.root / "undamaged"
        self.assertEqual(self.finetune(*flags, folder=whole).returncode, 0)
        self.assertEqual(self.finetune(*flags).returncode, 0)
        weights = self.folder / "checkpoints" / "step-0000008" / "optimizer.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        (self.folder / "adapters.safetensors").unlink()
        done = self.finetune(*flags, "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, "note .*step-0000008 is damaged: optimizer.safetensors")
        self.assertRegex(done.stdout, r"steps .*from 6")
        self.assertEqual(losses(whole), losses(self.folder))

    def test_a_full_disk_is_named_and_gone_on_from(self):
        flags = ("--iters", 6, "--save-every", 2)
        whole = self.root / "roomy"
        self.assertEqual(self.finetune(*flags, folder=whole).returncode, 0)
        sizes = sorted(p.stat().st_size for p in (whole / "checkpoints" / "step-0000002").iterdir())
        # Room for the first save, then for nothing, then for a part of it.
        for limit in (0, sizes[0] - 1, sizes[-1] - 100):
            done = self.finetune(*flags, "--resume", through=[sys.executable, "-c", LIMITED, limit])
            self.assertRefused(done, self.folder, "File too large; free space", "--resume")
            left = list(self.folder.rglob("*.unfinished")) + list(self.folder.rglob("*.tmp"))
            self.assertEqual(left, [])
        done = self.finetune(*flags, "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(losses(whole), losses(self.folder))

    @unittest.skipUnless(os.geteuid() == 0, "mounting needs root")
    def test_a_full_file_system(self):
        place = self.root / "small-disk"
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("mounting is not allowed here")
        try:
            folder = place / "run"
            done = self.finetune("--iters", 40, "--save-every", 1, "--keep-checkpoints", 0, folder=folder)
            self.assertRefused(done, folder, "No space left on device; free space", "--resume")
            saved = sorted((folder / "checkpoints").iterdir())
            self.assertGreater(len(saved), 0)
            subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
            done = self.finetune("--iters", 40, "--save-every", 1, "--keep-checkpoints", 0, "--resume", folder=folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"from {len(saved)}\n", done.stdout)
        finally:
            subprocess.run(["umount", place], check=True)

    def test_resume_refuses_what_differs(self):
        self.assertEqual(self.finetune("--iters", 2).returncode, 0)
        other = self.root / "other-data"
        other.mkdir()
        write_jsonl(other / "train.jsonl", [{"text": "red hens count"}] * 3)
        validated = self.root / "other-validation"
        subprocess.run(["cp", "-r", self.data, validated], check=True)
        write_jsonl(validated / "valid.jsonl", [{"prompt": "red hens", "completion": " count"}])
        for flags, word in (
            (["--lora-rank", 3], "lora_parameters.rank"), (["--lora-keys", "q_proj"], "lora_parameters.keys.1"),
            (["--seed", 7], "expected seed"), (["--data", other], "train_data"), (["--data", validated], "valid_data"),
            (["--use-flash-attention", "off"], "attention"), (["--batch-size", 3], "batch_size"),
        ):
            self.assertRefused(self.finetune("--iters", 4, "--resume", *flags), word, "--force")
        model = self.root / "other-model"
        subprocess.run(["cp", "-r", self.model, model], check=True)
        weights = bytearray((model / "model.safetensors").read_bytes())
        weights[-2] ^= 1
        (model / "model.safetensors").write_bytes(weights)
        self.assertRefused(self.finetune("--iters", 4, "--resume", "--model", model), "weights")

    def test_weights_that_are_not_numbers(self):
        model = self.root / "nan-model"
        subprocess.run(["cp", "-r", self.model, model], check=True)
        weights = bytearray((model / "model.safetensors").read_bytes())
        weights[-4:] = b"\x00\x00\xc0\x7f"
        (model / "model.safetensors").write_bytes(weights)
        for done in (
            self.finetune("--iters", 1, "--model", model),
            run("score", "--model", model, "--data", self.data / "test.jsonl", "--json"),
        ):
            self.assertRefused(done, "model.safetensors", "NaN")
            self.assertEqual(done.stdout, "")

    def test_the_table_is_recorded(self):
        table = self.root / "table.json"
        tuned = run("tune", "--causal", "--lengths", 32, "--batch", 2, "--heads", "4:2", "--head-dim", 8, "--rounds", 1,
                    "--table", table)
        self.assertEqual(tuned.returncode, 0, tuned.stderr)
        self.assertEqual(self.finetune("--iters", 2, "--table", table).returncode, 0)
        recorded = json.loads((self.folder / "config.json").read_text())["tuning"]["entries"]
        self.assertEqual(recorded, json.loads(table.read_text())["entries"])
        self.assertEqual(self.finetune("--iters", 3, "--resume", "--table", "none").returncode, 0)
        self.assertEqual(json.loads((self.folder / "config.json").read_text())["tuning"]["entries"], recorded)

    def test_tensorboard_reads_what_a_killed_run_logged(self):
        """Where TESSERA_TEST_TENSORBOARD names a Python with `tensorboard`, its reader; else the files alone."""
        flags = ("--iters", 12, "--save-every", 4, "--steps-per-eval", 4, "--log", "tensorboard")
        process = subprocess.Popen(
            [*self.command(self.folder, *flags), "--learning-rate", "1e-3"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until(lambda: size(self.folder / "metrics.jsonl") > 1500, process)
        process.kill()
        process.communicate()
        done = subprocess.run(self.command(self.folder, *flags, "--resume"), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        events = self.folder / "tensorboard"
        self.assertEqual(len(list(events.iterdir())), 2)
        python = os.environ.get("TESSERA_TEST_TENSORBOARD")
        if python is None:
            return
        read = subprocess.run([python, "-W", "ignore", "-c", READER, events], capture_output=True, text=True)
        self.assertEqual(read.returncode, 0, read.stderr)
        scalars = json.loads(read.stdout)
        wanted = {}
        for row in metrics(self.folder):
            split = row.pop("split", "train")
            step = row.pop("step")
            for name, value in row.items():
                wanted.setdefault(f"{split}/{'loss' if name == 'eval_loss' else name}", []).append([step, value])
        self.assertEqual(sorted(scalars), sorted(wanted))
        for tag, points in wanted.items():
            self.assertEqual([p[0] for p in points], [p[0] for p in scalars[tag]], tag)
            for (_, value), (_, got) in zip(points, scalars[tag]):
                self.assertAlmostEqual(got, value, delta=1e-6 * abs(value))


if __name__ == "__main__":
    unittest.main()
