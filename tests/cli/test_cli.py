"""The program as a user meets it."""

import json
import math
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import unittest

from small_model import TESSERA, SmallModel, losses, metrics, run, sentence, write_jsonl


class CommandLine(SmallModel):
    def test_run_folder(self):
        done = self.finetune("--iters", 6, "--save-every", 3, "--steps-per-eval", 3, "--test", "--profile-attention")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        self.assertNotIn("\x1b", done.stdout)
        for name in ("config.json", "metrics.jsonl", "report.html", "adapters.safetensors", "adapter_config.json"):
            self.assertTrue((self.folder / name).is_file(), name)
        self.assertEqual(
            sorted(p.name for p in (self.folder / "checkpoints").iterdir()), ["step-0000003", "step-0000006"]
        )
        self.assertEqual(sorted(losses(self.folder)), [1, 2, 3, 4, 5, 6])
        evals = [row for row in metrics(self.folder) if "eval_loss" in row]
        self.assertGreaterEqual(len(evals), 3)
        for row in evals:
            self.assertAlmostEqual(row["perplexity"], math.exp(row["eval_loss"]), delta=1e-3 * row["perplexity"])
        report = (self.folder / "report.html").read_text()
        self.assertNotRegex(report, r'(src|href)="https?:')

    def test_flash_on_and_off_agree(self):
        results = {}
        for choice in (["--use-flash-attention"], ["--use-flash-attention", "off"], ["--use-flash-attention", "auto"]):
            folder = self.root / ("flash" + choice[-1])
            done = self.finetune("--iters", 4, *choice, folder=folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            results[choice[-1]] = losses(folder)
            path = re.search(r"attention +(\S+):", done.stdout).group(1)
            self.assertEqual(path, "mlx" if choice[-1] == "off" else "tessera/cpu")
        for step in range(1, 5):
            self.assertAlmostEqual(results["--use-flash-attention"][step], results["off"][step], delta=2e-5)
            self.assertEqual(results["--use-flash-attention"][step], results["auto"][step])

    def test_resume_gives_the_same_losses(self):
        whole = self.root / "whole"
        flags = ("--iters", 8, "--lora-dropout", 0.1, "--save-every", 4, "--lr-schedule", "cosine", "--warmup", 2)
        self.assertEqual(self.finetune(*flags, folder=whole).returncode, 0)
        shutil.copytree(whole, self.folder)
        shutil.rmtree(self.folder / "checkpoints" / "step-0000008")
        done = self.finetune(*flags, "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(losses(whole), losses(self.folder))
        self.assertEqual(
            (whole / "adapters.safetensors").read_bytes(), (self.folder / "adapters.safetensors").read_bytes()
        )

    def test_nothing_is_overwritten_without_force(self):
        self.assertEqual(self.finetune("--iters", 2).returncode, 0)
        before = (self.folder / "metrics.jsonl").read_bytes()
        self.assertRefused(self.finetune("--iters", 2), self.folder, "--force", "--resume")
        self.assertEqual((self.folder / "metrics.jsonl").read_bytes(), before)
        self.assertEqual(self.finetune("--iters", 3, "--force").returncode, 0)
        weights = self.model / "model.safetensors"
        before = weights.read_bytes()
        done = self.finetune("--iters", 2, "--force", "--fine-tune-type", "full", folder=self.model.parent)
        self.assertRefused(done, self.model, "--adapter-path")
        self.assertEqual(weights.read_bytes(), before)
        self.assertEqual(max(losses(self.folder)), 3)

    def test_score_lines(self):
        self.assertEqual(self.finetune("--iters", 2).returncode, 0)
        text = self.root / "score.jsonl"
        texts = [sentence(3), "naïve — 日本語 🙂", "a", ""]
        write_jsonl(text, [{"text": t} for t in texts])
        done = run("score", "--model", self.model, "--adapter-path", self.folder, "--data", text, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row["tokens"] for row in rows], [self.tokenizer.encode(t).ids for t in texts])
        for row in rows[:2]:
            self.assertEqual(len(row["logprobs"]), len(row["tokens"]) - 1)
            self.assertAlmostEqual(row["loss"], -sum(row["logprobs"]) / len(row["logprobs"]), places=5)
        for row in rows[2:]:
            self.assertEqual((row["logprobs"], row["loss"]), ([], None))

    def test_an_adapter_changes_the_score(self):
        done = self.finetune("--iters", 4, "--learning-rate", 1e-2)
        self.assertEqual(done.returncode, 0, done.stderr)
        scored = ["score", "--model", self.model, "--data", self.data / "valid.jsonl"]
        base, tuned = run(*scored).stdout, run(*scored, "--adapter-path", self.folder).stdout
        self.assertRegex(base, r"^4 documents, \d+ tokens scored, loss [\d.]+, perplexity [\d.]+\n$")
        self.assertNotEqual(base, tuned)

    def test_both_forms_of_an_adapter_and_the_fused_model_score_alike(self):
        done = self.finetune("--iters", 4, "--learning-rate", 1e-2)
        self.assertEqual(done.returncode, 0, done.stderr)
        adapter, fused = ["--adapter-path", self.folder], self.root / "fused"
        done = run("fuse", "--model", self.model, *adapter, "--save-path", fused)
        self.assertEqual(done.returncode, 0, done.stderr)

        def score(model, *arguments):
            done = run("score", "--model", model, "--data", self.data / "valid.jsonl", "--json", *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            return [json.loads(line)["loss"] for line in done.stdout.splitlines()]

        want = score(self.model, *adapter)
        self.assertEqual(score(self.model, "--adapter-path", self.folder / "peft"), want)
        for got, loss in zip(score(fused), want, strict=True):
            self.assertAlmostEqual(got, loss, places=5)
        self.assertRefused(run("fuse", "--model", self.model, *adapter, "--save-path", fused), "--save-path")

        shards = self.root / "fused-shards"
        done = run("fuse", "--model", self.model, *adapter, "--save-path", shards, "--max-shard-size", "20kB")
        self.assertEqual(done.returncode, 0, done.stderr)
        index = json.loads((shards / "model.safetensors.index.json").read_text())
        self.assertGreater(len(set(index["weight_map"].values())), 2)
        self.assertEqual(score(shards), score(fused))

    def test_an_adapter_of_another_model_is_refused_unless_allowed(self):
        self.assertEqual(self.finetune("--iters", 2).returncode, 0)
        other = self.root / "other-base"
        shutil.copytree(self.model, other)
        weights = bytearray((other / "model.safetensors").read_bytes())
        weights[-2] ^= 1
        (other / "model.safetensors").write_bytes(weights)
        adapter = ["--model", other, "--adapter-path", self.folder]
        goes_on = ["finetune", "--model", other, "--data", self.data, "--iters", 1, "--max-seq-length", 64]
        for command in (
            ["generate", *adapter, "--prompt", "the", "--max-tokens", 1],
            ["score", *adapter, "--data", self.data / "test.jsonl"],
            ["fuse", *adapter, "--save-path", self.root / "fused-other"],
            [*goes_on, "--resume-adapter-file", self.folder, "--adapter-path", self.root / "goes-on"],
        ):
            self.assertRefused(run(*command), self.model, other, "--allow-other-base")
            allowed = run(*command, "--allow-other-base", *(["--force"] if command[0] == "finetune" else []))
            self.assertEqual(allowed.returncode, 0, allowed.stderr)

    def test_chats(self):
        template = (
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
            "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        )
        model, data = self.root / "chat-model", self.root / "chat-data"
        shutil.copytree(self.model, model)
        data.mkdir()
        question, answer = dict(role="user", content=sentence(1, 3)), dict(role="assistant", content=sentence(2, 3))
        write_jsonl(data / "train.jsonl", [{"messages": [question, answer, question, answer]}] * 4)
        flags = ["--model", model, "--data", data, "--adapter-path", self.folder, "--iters", 2, "--mask-prompt"]
        self.assertRefused(run("finetune", *flags), "chat template", "tokenizer_config.json")
        chat = ["generate", "--model", model, "--max-tokens", 8, "--chat", "--prompt", "the fox"]
        self.assertRefused(run(*chat), "chat template")

        (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
        done = run("finetune", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = run(*chat, "--system", "red")
        self.assertEqual(said.returncode, 0, said.stderr)
        text = "<|im_start|>system\nred<|im_end|>\n<|im_start|>user\nthe fox<|im_end|>\n<|im_start|>assistant\n"
        self.assertEqual(run(*chat[:5], "--prompt", text).stdout, said.stdout)
        self.assertRefused(run(*chat[:5], "--prompt", "a", "--system", "red"), "--chat")

    def test_generate_is_repeatable(self):
        command = ["generate", "--model", self.model, "--prompt", "the quick", "--max-tokens", 12, "--temp", 1]
        first, second = run(*command, "--seed", 1), run(*command, "--seed", 1)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(first.stdout, second.stdout)
        self.assertGreater(len(first.stdout), 1)
        piped = run("generate", "--model", self.model, "--prompt", "-", "--max-tokens", 3, input="the quick")
        self.assertEqual(piped.returncode, 0, piped.stderr)

    def test_config_file(self):
        file = self.root / "run.yaml"
        file.write_text("iters: 3\nlora_parameters:\n  rank: 2\n  keys: [q_proj]\nlr_schedule:\n  name: linear\n")
        done = self.finetune("-c", file)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(max(losses(self.folder)), 3)
        adapter = json.loads((self.folder / "adapter_config.json").read_text())
        self.assertEqual(adapter["lora_parameters"]["rank"], 2)
        file.write_text("iters: 3\nnum_experts: 4\n")
        self.assertRefused(self.finetune("-c", file, folder=self.root / "n"), "num_experts", f"{file}:2")

    def test_interrupt_saves_and_exits_130(self):
        process = subprocess.Popen(
            [TESSERA, "finetune", "--model", self.model, "--data", self.data, "--adapter-path", self.folder,
             "--batch-size", "2", "--iters", "100000", "--max-seq-length", "64", "--steps-per-report", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for line in process.stdout:
            if line.startswith("step      3 "):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("--resume", errors)
        steps = [int(p.name.split("-")[1]) for p in (self.folder / "checkpoints").iterdir()]
        self.assertEqual(steps, [max(losses(self.folder))])

    def test_progress_bar_on_a_terminal(self):
        reader, terminal = pty.openpty()
        process = subprocess.Popen(
            [TESSERA, "finetune", "--model", self.model, "--data", self.data, "--adapter-path", self.folder,
             "--batch-size", "2", "--iters", "20", "--max-seq-length", "64"],
            stdout=subprocess.DEVNULL, stderr=terminal,
        )
        os.close(terminal)
        seen = b""
        while select.select([reader], [], [], 120)[0]:
            try:
                piece = os.read(reader, 65536)
            except OSError: # Linux's way to say that the other end is closed
                break
            if not piece:
                break
            seen += piece
        self.assertEqual(process.wait(timeout=60), 0)
        for word in ("tok/s", "GiB", "ETA", "loss", "█", "/20"):
            self.assertIn(word, seen.decode())

    def test_wrong_flags(self):
        for arguments, word in (
            (["finetune", "--no-such-flag"], "--no-such-flag"),
            (["finetune", "--iters", "many"], "--iters"),
            (["finetune", "--use-flash-attention", "maybe"], "--use-flash-attention"),
            (["finetune", "--dtype", "int8"], "--dtype"),
            (["finetune", "--log", "wandb"], "--log"),
            (["finetune", "--seed", "-1"], "--seed"),
            (["finetune", "--model", self.model, "--data", self.data, "--lora-rank", "0"], "got 0"),
            (["finetune", "--model", self.model, "--data", self.data, "--lora-rank", "100000000"], "rank"),
            (["finetune", "--model", self.model, "--data", self.data, "--epochs", "1000000000"], "--epochs"),
            (["score"], "--model"),
            (["no-such-command"], "no-such-command"),
            ([], "subcommand"),
        ):
            self.assertRefused(run(*arguments, cwd=self.root), word)
        for arguments in (["--help"], ["finetune", "--help"], ["--version"]):
            self.assertEqual(run(*arguments).returncode, 0)

    def test_bad_models(self):
        model = self.root / "broken"
        def fresh():
            shutil.rmtree(model, ignore_errors=True)
            shutil.copytree(self.model, model)
        def refused(*words):
            self.assertRefused(run("score", "--model", model, "--data", self.data / "valid.jsonl"), *words)

        fresh()
        (model / "model.safetensors").unlink()
        refused("model.safetensors")
        fresh()
        weights = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(weights[: len(weights) // 2])
        refused("model.safetensors")
        fresh()
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"model_type": "mamba", "architectures": ["MambaForCausalLM"]}))
        refused("amba")
        (model / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
        refused("mlp", "48", "64")
        (model / "config.json").write_text('{\n"model_type": "llama",\n')
        refused("config.json")
        fresh()
        (model / "tokenizer.json").write_text("{}")
        refused("tokenizer.json")
        refused_missing = run("score", "--model", self.root / "nowhere", "--data", self.data / "valid.jsonl")
        self.assertRefused(refused_missing, "nowhere")

    def test_bad_data(self):
        data = self.root / "bad-data"
        data.mkdir()
        def refused(*words):
            done = run("finetune", "--model", self.model, "--data", data, "--adapter-path", self.folder,
                       "--max-seq-length", 16, "--iters", 1)
            self.assertRefused(done, *words)
            self.assertFalse((self.folder / "adapters.safetensors").exists())

        refused("train")
        train = data / "train.jsonl"
        train.write_text("")
        refused("train.jsonl")
        train.write_text('{"text": "fine"}\n{"text": \n')
        refused("train.jsonl:2")
        train.write_text('{"text": "fine"}\n{"body": "x"}\n')
        refused("train.jsonl:2")
        train.write_text('{"text": 3}\n')
        refused("train.jsonl:1")
        write_jsonl(train, [{"text": "short"}] + [{"text": sentence(i, 60)} for i in range(3)])
        refused("3", "16", "--max-seq-length")

    def test_a_file_where_the_run_folder_should_be(self):
        self.folder.write_text("mine")
        self.assertRefused(self.finetune("--iters", 1), self.folder)
        self.assertEqual(self.folder.read_text(), "mine")

    def test_info(self):
        facts = json.loads(run("info", "--json").stdout)
        self.assertEqual(facts["mlx"], "0.32.4")
        self.assertGreater(facts["matmul_gflops"], 0)
        if os.uname().sysname == "Linux":
            self.assertIn("openblas", facts["blas"])

    @unittest.skipUnless(
        pathlib.Path("/proc/cpuinfo").exists() and " avx2 " in pathlib.Path("/proc/cpuinfo").read_text(), "needs AVX2 on Linux"
    )
    def test_openblas_gets_kernels_that_fit(self):
        """A processor that OpenBLAS does not know would get those of SSE3."""
        environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
        command = [TESSERA, "info", "--json"]
        chosen = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
        self.assertNotIn(chosen["blas_kernels"], ["Prescott", "Core2", "Nehalem", "Sandybridge"])
        kept = json.loads(
            subprocess.run(command, env=environment | {"OPENBLAS_CORETYPE": "HASWELL"}, check=True, capture_output=True).stdout
        )
        self.assertEqual(kept["blas_kernels"], "Haswell")


if __name__ == "__main__":
    unittest.main()
