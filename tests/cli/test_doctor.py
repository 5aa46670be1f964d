"""`tessera doctor`, which examines the machine."""

import json
import pathlib
import shutil
import tempfile
import unittest

from small_model import run


class Doctor(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tessera-doctor-"))

    def tearDown(self):
        shutil.rmtree(self.root)

    def test_this_machine_is_healthy_and_reported(self):
        page, data = self.root / "doctor.html", self.root / "doctor.json"
        done = run("doctor", "--quick", "--out", f"{page},{data}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        self.assertRegex(done.stdout, r"cpu +(\d+) of \1 calls right, the worst at 0\.\d+ of the tolerance")
        report = json.loads(data.read_text())
        for key in ("tessera", "mlx", "date", "processor", "instruction_set", "matmul_gflops", "healthy"):
            self.assertTrue(report[key], key)
        self.assertGreater(len(report["checks"]), 30)
        for check in report["checks"]:
            self.assertTrue(check["right"], check)
            self.assertEqual(check["error"], max(check["errors"].values()))
            self.assertIn("backward", check["plans"])
        text = page.read_text()
        self.assertIn("Health of attention", text)
        self.assertIn(report["date"], text)
        self.assertNotRegex(text, r'(src|href)="https?:')

    def test_files_are_refused_before_the_work(self):
        kept = self.root / "doctor.json"
        kept.write_text("mine")
        for out, words in [
            (kept, ("--force", "--out")),
            (self.root / "doctor.pdf", (".json", ".html", "doctor.pdf")),
            (self.root / "none" / "doctor.json", ("--out", "folder")),
        ]:
            done = run("doctor", "--out", out)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            for word in ("[doctor]", *words):
                self.assertIn(word, done.stderr)
        self.assertEqual(kept.read_text(), "mine")


if __name__ == "__main__":
    unittest.main()
