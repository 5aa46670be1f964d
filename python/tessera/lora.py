"""``python -m tessera.lora``: mlx-lm's LoRA trainer with Tessera's attention.

Takes every flag of ``mlx_lm.lora`` and a few more; the trainer, the models and the
adapters are mlx-lm's own.
"""

import argparse
import contextlib
import functools
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

from . import _core
from ._patch import patch

try:
    import mlx_lm.lora as theirs
except ModuleNotFoundError as error:
    raise SystemExit(
        f"[lora] expected mlx-lm; got none ({error}): pip install mlx-lm==0.32.2"
    ) from error

from .packing import Packing, check_packable

_IMPLEMENTATIONS = {"on": "tessera", "off": "mlx", "auto": "auto"}


def build_parser(base: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """mlx-lm's parser with the flags of attention."""
    parser = base or theirs.build_parser()
    group = parser.add_argument_group("attention")
    group.add_argument(
        "--use-flash-attention",
        nargs="?",
        const="on",
        choices=list(_IMPLEMENTATIONS),
        help="on (or bare): Tessera's; off: MLX's; auto, the default: what is faster.",
    )
    group.add_argument(
        "--flash-block-size", type=int, help="Rows and columns of a tile of attention."
    )
    group.add_argument(
        "--profile-attention",
        action="store_true",
        default=None,
        help="Print the time in attention, and its speed, at the end.",
    )
    group.add_argument(
        "--pack",
        action="store_true",
        default=None,
        help="Pack documents into rows of --max-seq-length, in place of padding.",
    )
    return parser


@contextlib.contextmanager
def _replaced(module: types.ModuleType, **functions: Any) -> Iterator[None]:
    """The module's globals with other values for a while."""
    before = {name: getattr(module, name) for name in functions}
    try:
        for name, function in functions.items():
            setattr(module, name, function)
        yield
    finally:
        for name, function in before.items():
            setattr(module, name, function)


def _implementation(args: types.SimpleNamespace) -> str:
    word = args.use_flash_attention
    if isinstance(word, bool):  # of a YAML file, where on and off are bools
        word = "on" if word else "off"
    word = word or "auto"
    if word not in _IMPLEMENTATIONS:
        raise ValueError(f"[lora] expected --use-flash-attention on, off or auto; got {word}")
    if args.pack and word == "off":
        raise ValueError(
            "[lora] expected --use-flash-attention on or auto with --pack, since MLX's "
            "attention knows no documents; got off"
        )
    return _IMPLEMENTATIONS[word]


@contextlib.contextmanager
def _packed() -> Iterator[Packing]:
    """mlx-lm's trainer on packed rows."""
    packing = Packing()
    batches = {"loss": packing.loss, "iterate_batches": packing.iterate_batches}

    def load(*args: Any, **keywords: Any) -> Any:
        loaded = original_load(*args, **keywords)
        check_packable(loaded[0])
        return loaded

    original_load = theirs.load
    with _replaced(
        theirs,
        load=load,
        train=functools.partial(theirs.train, **batches),
        evaluate=functools.partial(theirs.evaluate, **batches),
    ):
        yield packing


def run(args: types.SimpleNamespace, training_callback: Any = None) -> None:
    """Trains or tests as ``mlx_lm.lora.run`` does.

    Args:
        args: The flags' values, by ``mlx_lm.lora``'s names and ours; ours may be
            missing.
        training_callback: As for ``mlx_lm.lora.run``.

    Raises:
        ValueError: What does not fit, with the flag to change.
    """
    for name in ("use_flash_attention", "flash_block_size", "profile_attention", "pack"):
        if not hasattr(args, name):
            setattr(args, name, None)
    implementation = _implementation(args)
    before, start = _core.attention_profile(), time.perf_counter()
    with contextlib.ExitStack() as stack:
        segments = stack.enter_context(_packed()).segments if args.pack else None
        stack.enter_context(patch(implementation, args.flash_block_size, segments))
        _their_run(args, training_callback)
    if args.profile_attention:
        _print_profile(before, time.perf_counter() - start)


_their_run = theirs.run


def _print_profile(before: dict[str, Any], wall: float) -> None:
    after = _core.attention_profile()
    calls, seconds, flops = (after[key] - before[key] for key in ("calls", "seconds", "flops"))
    if calls == 0:
        print("Attention: no call was Tessera's")
        return
    print(
        f"Attention: {calls} calls, {seconds:.3f} s of {wall:.3f} s "
        f"({100 * seconds / wall:.1f} %), {flops / seconds / 1e9:.1f} GF/s"
    )


def main() -> None:
    """The command line: exits with 2 on what does not fit, in one line."""
    base = theirs.build_parser()
    try:
        with _replaced(theirs, build_parser=lambda: build_parser(base), run=run):
            theirs.main()
    except ValueError as error:
        if not str(error).startswith("["):
            raise
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
