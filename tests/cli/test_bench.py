"""`tessera bench attention`, `tune` and `explain` as a user meets them. TESSERA names the program under test."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TESSERA = os.environ["TESSERA"]
SMALL = ["--heads", "4:2", "--rounds", "2", "--table", "none"]


def run(*arguments, **options):
    return subprocess.run([TESSERA, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)


def python_with_torch():
    for python in (os.environ.get("TORCH_PYTHON"), sys.executable, "python3"):
        if python and shutil.which(python):
            if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
                return python
    return None


class Bench(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tessera-bench-"))

    def tearDown(self):
        shutil.rmtree(self.root)

    def assertRefused(self, done, *words):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(str(word), done.stderr)

    def assertDone(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_the_suite_and_its_files(self):
        files = {kind: self.root / f"bench.{kind}" for kind in ("json", "csv", "html")}
        shown = self.assertDone(run(
            "bench", "attention", *SMALL, "--causal", "--seq-lengths", "32,65", "--head-dims", "16,24",
            "--batch-sizes", "1,2", "--json", files["json"], "--csv", files["csv"], "--report", files["html"],
        ))
        self.assertIn("speedup", shown)
        self.assertNotIn("\x1b", shown)
        result = json.loads(files["json"].read_text())
        for key in ("tessera", "mlx", "date", "processor", "instruction_set", "threads", "matmul_gflops", "peak_gflops"):
            self.assertTrue(result[key], key)
        self.assertEqual(len(result["results"]), 8)
        self.assertEqual(
            {(r["seq_len"], r["head_dim"], r["batch_size"]) for r in result["results"]},
            {(N, D, B) for N in (32, 65) for D in (16, 24) for B in (1, 2)},
        )
        for one in result["results"]:
            mlx, flash = one["mlx"], one["flash"]
            self.assertGreater(mlx["time"], 0)
            self.assertGreater(flash["memory"], 0)
            self.assertAlmostEqual(one["speedup"], mlx["time"] / flash["time"])
            self.assertAlmostEqual(one["memory_reduction"], (mlx["memory"] - flash["memory"]) / mlx["memory"])
            self.assertLessEqual(flash["error_in_tolerances"], 1)
            for name in ("forward", "backward"):
                times = [flash[name][k] for k in ("lowest", "lower_quartile", "time", "upper_quartile", "highest")]
                self.assertEqual(times, sorted(times))
            N, D, B = one["seq_len"], one["head_dim"], one["batch_size"]
            self.assertEqual(one["flops"]["forward"], 2 * 2 * D * B * 4 * N * (N + 1) / 2)
            self.assertEqual(one["flops"]["backward"], 2.5 * one["flops"]["forward"])
        with files["csv"].open() as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 8 * 2 * 2)
        self.assertEqual({row["contender"] for row in rows}, {"mlx", "flash"})
        self.assertTrue(all(row["processor"] and row["date"] and float(row["median_s"]) > 0 for row in rows))
        page = files["html"].read_text()
        self.assertNotRegex(page, r'(src|href)="https?:')
        self.assertIn('"seq_len"', page)

    def test_every_feature_is_checked_and_timed(self):
        for flags in (
            ["--window", "5:"], ["--window", "none:0"], ["--causal", "--prefix", "9"], ["--causal", "--chunk", "16"],
            ["--causal", "--segments", "20,1,29"], ["--mask", "1x1xNxN"], ["--mask", "Bx1x1xN", "--causal"],
            ["--softcap", "3"], ["--alibi", "--all-gradients"], ["--sinks", "--all-gradients"],
            ["--bias", "1xHxNxN", "--all-gradients"], ["--dropout", "0.2"], ["--dtype", "bf16"], ["--dtype", "float16"],
            ["--value-dim", "40"],
        ):
            file = self.root / "one.json"
            lengths = ["--lengths", "50"]
            self.assertDone(run(
                "bench", "attention", *SMALL, *lengths, "--head-dim", "24", *flags, "--json", file, "--force"
            ))
            one = json.loads(file.read_text())["results"][0]
            self.assertLessEqual(one["flash"]["error_in_tolerances"], 1, flags)
            if flags[0] in ("--softcap", "--dropout"):
                self.assertIn(flags[0][2:], one["mlx"]["skipped"])
                self.assertIsNone(one["speedup"])
            else:
                self.assertNotIn("skipped", one["mlx"])

    def test_decoding_and_one_pass(self):
        file = self.root / "one.json"
        self.assertDone(run(
            "bench", "attention", *SMALL, "--lengths", "1:300", "--passes", "forward", "--causal", "--json", file
        ))
        one = json.loads(file.read_text())["results"][0]
        self.assertEqual((one["query_length"], one["seq_len"]), (1, 300))
        self.assertNotIn("backward", one["flash"])

    def test_files_are_not_overwritten_without_force(self):
        bench = ["bench", "attention", *SMALL, "--lengths", "16", "--head-dim", "8"]
        for flag in ("--json", "--csv", "--report"):
            file = self.root / "mine"
            file.write_text("mine")
            self.assertRefused(run(*bench, flag, file), flag, file, "--force")
            self.assertEqual(file.read_text(), "mine")
            self.assertDone(run(*bench, flag, file, "--force"))
            self.assertNotEqual(file.read_text(), "mine")
        folder = self.root / "folder"
        folder.mkdir()
        self.assertRefused(run(*bench, "--json", folder, "--force"), folder)
        self.assertRefused(run(*bench, "--json", self.root / "no" / "x.json"), "folder that exists")
        # A folder that is there, and takes no file: known before anything is timed.
        if sys.platform == "linux":
            refused = run(*bench, "--json", "/proc/x.json")
            self.assertRefused(refused, "--json", "can be written")
            self.assertEqual(refused.stdout, "")
        self.assertRefused(run(*bench, "--json", self.root / "x", "--csv", self.root / "x"), "again")
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["folder", "mine"])

    def test_wrong_flags(self):
        attention = ["bench", "attention", *SMALL, "--lengths", "64"]
        for arguments, word in (
            (["bench"], "subcommand"),
            (["bench", "sorting"], "subcommand"),
            ([*attention, "--window", "7"], "L:R"),
            ([*attention, "--window", "a:0"], "L:R"),
            ([*attention, "--window=-1:0"], "L:R"),
            ([*attention, "--heads", "3:2"], "3:2"),
            ([*attention, "--heads", "8:"], "Hq:Hkv"),
            ([*attention, "--lengths", "1:2:3"], "Nq:Nk"),
            ([*attention, "--segments", "30,30"], "sum 60"),
            ([*attention, "--segments", "30,x"], "--segments"),
            ([*attention, "--bias", "3xN"], "--bias"),
            ([*attention, "--mask", "2x1xNxN"], "--mask"),
            ([*attention, "--dtype", "int8"], "--dtype"),
            ([*attention, "--batch", "0"], "batch"),
            ([*attention, "--passes", "sideways"], "sideways"),
            ([*attention, "--rounds", "0"], "--rounds"),
            ([*attention, "--chunk", "4"], "causal"),
            ([*attention, "--prefix", "4"], "causal"),
            ([*attention, "--softcap", "0"], "0"),
            ([*attention, "--dropout", "1"], "1"),
            ([*attention, "--flash-block-size", "7"], "7"),
            ([*attention, "--seq-lengths", "32"], "--lengths"),
            ([*attention, "--use-flash-attention", "maybe"], "--use-flash-attention"),
            ([*attention, "--torch", self.root / "no-python"], "no-python"),
            ([*attention, "--use-flash-attention", "off"], "--use-flash-attention off"),
            ([*attention, "--csv", ""], "--csv"),
            ([*attention, "--json", ""], "--json"),
            ([*attention, "--report", ""], "--report"),
            ([*attention, "--torch", ""], "--torch"),
            ([*attention, "--table", ""], "--table"),
            ([*attention, "--table", self.root / "no.json"], "no.json"),
            (["explain", "--table", self.root / "no.json"], "no.json"),
            (["tune", "--table", "/proc/tune.json"], "/proc/tune.json"),
            (["bench", "attention", "--seq-lengths", "0"], "--seq-lengths"),
            (["explain", "--heads", "3:2"], "3:2"),
            (["tune", "--flash-block-size", "64", "--table", self.root / "t.json"], "--flash-block-size"),
            (["tune", "--table", "none"], "--table"),
        ):
            self.assertRefused(run(*arguments), word)
        for command in (["bench", "--help"], ["bench", "attention", "--help"], ["tune", "--help"], ["explain", "--help"]):
            self.assertEqual(run(*command).returncode, 0)

    def test_interrupt_keeps_what_was_measured(self):
        file = self.root / "part.json"
        process = subprocess.Popen(
            [TESSERA, "bench", "attention", *SMALL, "--seq-lengths", ",".join(["64"] * 2000), "--json", str(file)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for line in process.stdout:
            if "speedup" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, errors)
        result = json.loads(file.read_text())
        self.assertTrue(result["interrupted"])
        self.assertGreater(len(result["results"]), 0)

    def test_explain(self):
        few = ["explain", "--causal", "--lengths", "1:300", "--heads", "32:8", "--table", "none"]
        text = self.assertDone(run(*few, "--use-flash-attention"))
        for word in ("implementation", "forward", "backward", "heads 32:8, lengths 1:300", "MiB of workspace", "runs of"):
            self.assertIn(word, text)
        # No blocks of a path that is not taken.
        for flags in (few, [*few, "--use-flash-attention", "off"]):
            text = self.assertDone(run(*flags))
            self.assertIn("mlx", text)
            self.assertNotIn("forward", text)
        facts = json.loads(self.assertDone(run("explain", "--bias", "1xHxNxN", "--json", "--table", "none")))
        self.assertTrue(facts["reason"])
        self.assertEqual([p["pass"] for p in facts["passes"]], ["forward", "backward", "dbias"])
        for one in facts["passes"]:
            self.assertGreater(one["rows"], 0)
            self.assertFalse(one["tuned"])
        off = json.loads(self.assertDone(run("explain", "--use-flash-attention", "off", "--json", "--table", "none")))
        self.assertEqual(off["implementation"], "mlx")
        self.assertEqual(off["passes"], [])

    def test_tune(self):
        table = self.root / "new" / "tune.json"
        case = ["--lengths", "64", "--head-dim", "16", "--heads", "2:1", "--causal", "--table", table]
        self.assertIn(str(table), self.assertDone(run("tune", *case, "--rounds", "2")))
        saved = json.loads(table.read_text())
        self.assertEqual({e["pass"] for e in saved["entries"]}, {"forward", "backward"})
        facts = json.loads(self.assertDone(run("explain", *case, "--json", "--use-flash-attention", "on")))
        for one in facts["passes"]:
            self.assertTrue(one["tuned"], one)
        # Another shape joins what is there.
        self.assertDone(run("tune", *case, "--batch", "8", "--passes", "forward", "--rounds", "2"))
        self.assertEqual(len(json.loads(table.read_text())["entries"]), 3)

    def test_a_table_of_another_machine(self):
        table = self.root / "tune.json"
        case = ["--lengths", "64", "--head-dim", "16", "--heads", "2:1", "--table", table]
        self.assertDone(run("tune", *case, "--rounds", "1"))
        saved = json.loads(table.read_text())
        for entry in saved["entries"]:
            entry["processor"] = "Another CPU"
        table.write_text(json.dumps(saved))
        done = run("explain", *case)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("Another CPU", done.stderr)
        self.assertNotIn("tuned", done.stdout)
        # Its entries stay beside those of this one.
        self.assertDone(run("tune", *case, "--rounds", "1"))
        self.assertEqual(len(json.loads(table.read_text())["entries"]), 4)
        self.assertDone(run("explain", *case))

    def test_blocks_of_a_table_that_are_illegal(self):
        table = self.root / "tune.json"
        case = ["--lengths", "64", "--head-dim", "16", "--heads", "2:1", "--table", table]
        self.assertDone(run("tune", *case, "--rounds", "1"))
        saved = json.loads(table.read_text())
        for entry in saved["entries"]:
            entry["rows"] = 7
        table.write_text(json.dumps(saved))
        shown = self.assertDone(run("explain", *case))
        self.assertIn("not taken: expected a block of rows", shown)
        self.assertNotIn("the saved table says", shown)

    def test_a_tuning_that_is_stopped_loses_nothing(self):
        table = self.root / "tune.json"
        for text, flags in (("notes", ["--force"]), (None, [])):
            if text is None:
                self.assertDone(run(
                    "tune", "--lengths", "64", "--head-dim", "16", "--rounds", "1", "--table", table, "--force"))
            else:
                table.write_text(text)
            before = table.read_text()
            process = subprocess.Popen(
                [TESSERA, "tune", "--lengths", "3000", "--rounds", "100000", "--table", str(table), *flags],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            time.sleep(1)  # once it measures; however far it is, nothing may be lost
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=120)
            self.assertNotEqual(process.returncode, 0, errors)
            self.assertEqual(table.read_text(), before)

    def test_torch_is_compared(self):
        python = python_with_torch()
        if python is None:
            self.skipTest("no Python with PyTorch")
        file = self.root / "one.json"
        for flags in (
            ["--causal"], ["--dtype", "bf16"], ["--dtype", "float16", "--lengths", "33:50", "--causal"],
            ["--causal", "--segments", "20,1,29"], ["--window", "5:2"], ["--mask", "1x1xNxN"],
            ["--bias", "1xHxNxN", "--causal"], ["--alibi", "--causal", "--chunk", "16"],
        ):
            lengths = [] if "--lengths" in flags else ["--lengths", "50"]
            self.assertDone(run(
                "bench", "attention", *SMALL, *lengths, "--head-dim", "24", *flags, "--torch", python,
                "--json", file, "--force",
            ))
            one = json.loads(file.read_text())["results"][0]
            self.assertNotIn("skipped", one["torch"], flags)
            self.assertLessEqual(one["torch"]["error_in_tolerances"], 1, flags)
            self.assertGreater(one["torch"]["error_in_tolerances"], 0, flags)
            self.assertLessEqual(one["flash"]["error_in_tolerances"], 1, flags)

    def test_a_table_that_is_none(self):
        table = self.root / "notes.json"
        case = ["--lengths", "64", "--head-dim", "16", "--heads", "2:1", "--table", table]
        for text in ('{"notes": 1}', '{"format": "tessera', ""):
            table.write_text(text)
            self.assertRefused(run("tune", *case), table, "--force")
            self.assertEqual(table.read_text(), text)
            done = run("explain", *case)
            self.assertEqual(done.returncode, 0)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.assertIn(str(table), done.stderr)
        self.assertDone(run("tune", *case, "--force", "--rounds", "1"))
        self.assertEqual(len(json.loads(table.read_text())["entries"]), 2)


if __name__ == "__main__":
    unittest.main()
