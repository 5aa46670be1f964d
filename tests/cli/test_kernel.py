"""`tessera kernel`, which prints what a GPU would be given."""

import json
import unittest

from small_model import run

CALL = ("kernel", "--backend", "metal", "--dtype", "bf16", "--head-dim", 64, "--heads", "4:2")


def printed(*flags):
    done = run(*CALL, *flags, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def named(buffers):
    return {buffer["name"]: buffer for buffer in buffers}


class Kernel(unittest.TestCase):
    def test_a_launch_is_whole(self):
        one = printed("--pass", "forward", "--lengths", "100:130", "--value-dim", 40, "--causal", "--batch", 2)
        self.assertTrue(one["source"].startswith('#include "mlx/backend/metal/kernels/utils.h"\n'))
        self.assertIn(f"void {one['name']}(", one["source"])
        inputs, outputs = named(one["inputs"]), named(one["outputs"])
        self.assertEqual(inputs["Q"]["shape"], [2, 4, 100, 64])
        self.assertEqual(inputs["K"]["shape"], [2, 2, 130, 64])
        self.assertEqual(inputs["V"]["dtype"], "bfloat16")
        layout = inputs["layout"]  # sides and strides of Q, K and V
        self.assertEqual((layout["dtype"], layout["shape"]), ("int64", [24]))
        self.assertEqual(layout["values"][:4], [2, 4, 100, 64])
        self.assertEqual(layout["values"][20:], [2 * 130 * 40, 130 * 40, 40, 1])
        self.assertEqual(outputs["O"]["shape"], [2, 4, 100, 40])
        self.assertEqual((outputs["L"]["shape"], outputs["L"]["dtype"]), ([2, 4, 100], "float32"))
        self.assertEqual(len(one["grid"]), 3)
        self.assertTrue(all(g % t == 0 for g, t in zip(one["grid"], one["threadgroup"])))

    def test_buffers_come_in_the_order_of_the_signature(self):
        for name in ("forward", "delta", "dq", "dkv", "dbias"):
            one = printed("--pass", name, "--lengths", 70, "--bias", "1xHxNxN", "--causal")
            signature = one["source"].split(f"void {one['name']}(")[1].split(") {")[0]
            for slot, buffer in enumerate(one["inputs"] + one["outputs"]):
                self.assertRegex(signature, rf"\b{buffer['name']} \[\[buffer\({slot}\)\]\]", name)

    def test_what_the_flags_say_is_given(self):
        inputs = named(
            printed(
                "--pass", "forward", "--lengths", 60, "--segments", "20,40", "--causal", "--prefix", 5, "--alibi",
                "--dropout", 0.25, "--sinks", "--mask", "NxN",
            )["inputs"]
        )  # fmt: skip
        self.assertEqual(inputs["segments_q"]["values"], [0] * 20 + [1] * 40)
        self.assertEqual(inputs["prefix"]["values"], [5])
        self.assertEqual(inputs["slopes"]["values"], [2**-2, 2**-4, 2**-6, 2**-8])
        self.assertEqual(inputs["seed"]["values"], [7, 0])
        self.assertEqual(inputs["numbers"]["values"][0], 0.125)
        self.assertNotIn("values", inputs["mask"])
        self.assertNotIn("values", inputs["sinks"])

    def test_few_queries_are_two_launches(self):
        both = printed("--pass", "forward", "--lengths", "1:3000")
        runs, combine = both["launches"]
        self.assertEqual([b["name"] for b in combine["inputs"] if "values" not in b], ["O_runs", "L_runs"])
        self.assertEqual([b["name"] for b in runs["outputs"]], ["O_runs", "L_runs"])
        self.assertEqual([b["name"] for b in combine["outputs"]], ["O", "L"])

    def test_a_call_that_is_split_says_how_it_joins(self):
        split = printed("--pass", "dkv", "--lengths", 16384, "--batch", 4)
        made = [b.get("key", b["name"]) for one in split["launches"] for b in one["outputs"]]
        self.assertEqual(len(made), len(set(made)))
        whole = [join["key"] for join in split["joins"]]
        self.assertEqual(sorted(whole)[:1] + [k for k in whole if k in ("dK", "dV")], [sorted(whole)[0], "dK", "dV"])
        for join in split["joins"]:
            self.assertTrue(set(join["parts"]) <= set(made) | set(whole), join)

    def test_one_text_serves_every_length(self):
        a, b = (printed("--pass", "dq", "--lengths", n) for n in (100, 333))
        self.assertEqual((a["name"], a["source"]), (b["name"], b["source"]))

    def test_explain_of_a_gpu_that_is_not_here(self):
        flags = ("--head-dim", 80, "--lengths", 1024, "--window", "511:0", "--table", "none", "--json")
        told = {gpu: json.loads(run("explain", *flags, "--device", gpu).stdout) for gpu in ("metal", "metal:m1", "metal:m3")}
        self.assertEqual(told["metal"], told["metal:m1"])  # where no GPU is
        for gpu in told.values():
            self.assertEqual(gpu["implementation"], "tessera/metal")
            self.assertIn("a window", gpu["reason"])
            self.assertIn("bfloat16", gpu["case"])
            self.assertEqual([one["pass"] for one in gpu["passes"]], ["forward", "dq", "dkv"])
            self.assertGreater(gpu["passes"][0]["registers_per_thread"], 0)
        self.assertNotEqual(told["metal:m1"]["passes"], told["metal:m3"]["passes"])
        done = run("explain", "--device", "metal:m3", "--lengths", 1024, "--causal", "--table", "none")
        self.assertRegex(done.stdout, r"implementation  mlx: .*nothing was measured here\n")
        self.assertEqual(run("explain", "--device", "metal:m9").returncode, 2)

    def test_the_device_decides(self):
        plans = {device: printed("--pass", "forward", "--lengths", 512, "--head-dim", 80, "--device", device)["plan"]
                 for device in ("m1", "m3")}  # fmt: skip
        self.assertNotEqual(plans["m1"], plans["m3"])

    def test_readable(self):
        done = run(*CALL, "--pass", "dkv", "--lengths", 100)
        self.assertEqual(done.returncode, 0, done.stderr)
        for part in ("registers_per_thread", "threads in groups of", "[[kernel]]", "  dK "):
            self.assertIn(part, done.stdout)

    def test_refusals_name_the_flag(self):
        for flags, words in [
            (("--pass", "dbias"), ("--bias",)),
            (("--pass", "dslopes"), ("--alibi",)),
            (("--pass", "sideways"), ("--pass", "forward")),
            ((), ("--pass",)),
            (("--pass", "dq", "--device", "m9"), ("--device", "m1")),
            (("--pass", "dq", "--backend", "vulkan"), ("--backend", "metal")),
            (("--pass", "forward", "--prefix", 3), ("causal",)),
            (("--pass", "forward", "--use-flash-attention", "off"), ("--use-flash-attention",)),
            (("--pass", "forward", "--flash-block-size", 12), ("multiple of 8", "12")),
        ]:
            done = run(*CALL, *flags)
            self.assertEqual(done.returncode, 2, flags)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            for word in words:
                self.assertIn(word, done.stderr)


if __name__ == "__main__":
    unittest.main()
