"""What measures and predicts: benchmark, tuning, memory, an installation's health."""

import json
import os
from pathlib import Path
from typing import Any

from . import _core


def benchmark(**case: Any) -> dict[str, Any]:
    """Times attention beside MLX's own op, after a comparison with float64 formulas.

    Args:
        **case: The calls, whose arrays are random: ``seq_lengths``, ``head_dims``
            and ``batch_sizes`` (lists: every combination) or ``lengths`` (an int or
            ``(Nq, Nk)``), ``head_dim`` and ``batch_size``; ``heads`` (an int or
            ``(Hq, Hkv)``), ``value_dim``, ``dtype``, ``causal``, ``window``,
            ``prefix``, ``chunk``, ``segments`` (the documents' lengths),
            ``softcap``, ``alibi``, ``sinks`` (bools), ``bias``, ``mask`` (shapes,
            such as ``"1x1xNxN"``), ``blocks`` (the sides of a block list's blocks,
            every third of which is off), ``dropout``, ``block_size``; and ``forward``,
            ``backward``, ``rounds``.

    Returns:
        What ``tessera bench attention --json`` prints: a dictionary with the machine
        and ``results``, each with ``mlx`` and ``flash``, ``speedup`` and
        ``memory_reduction``. Times are medians in seconds, memory is in bytes.

    Raises:
        ValueError, TypeError: A case that does not fit.
    """
    return json.loads(_core.benchmark(**case))


def tune(table: str | os.PathLike[str] | None = None, **case: Any) -> list[dict[str, Any]]:
    """Measures tile sizes on this machine, saves them, and follows them from now on.

    Args:
        table: The file; ``tessera tune``'s own where absent.
        **case: As for `benchmark`.

    Returns:
        A dictionary for each pass that was tuned: ``case``, ``pass``, the best
        ``rows`` and ``columns``, ``seconds``, ``planned_seconds`` of what the
        planner takes by itself, ``mlx_seconds`` and ``mlx_faster``.

    Raises:
        ValueError, TypeError: A case that does not fit, or a file that holds
            something else.
    """
    file = Path(table) if table is not None else _core.default_table_path()
    return _core.tune(file, **case)


def plan(**options: Any) -> dict[str, Any]:
    """Predicts the memory of a run of ``tessera finetune``; reads no weights.

    Args:
        **options: Its flags with underscores, such as ``model``, ``data``,
            ``batch_size``, ``max_seq_length``, ``pack=True``; None and False leave one
            out.

    Returns:
        What ``tessera plan --json`` prints: ``bytes`` by what takes them,
        ``peak_bytes``, ``available_bytes``, ``fits``, and how many rows or columns
        would fit.

    Raises:
        ValueError: An option that is not known, or does not fit.
    """
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags.append(f"{flag}={value}")
    return json.loads(_core.plan(flags))


def doctor(quick: bool = True) -> dict[str, Any]:
    """Examines attention on this machine, and prints a report.

    Compares small calls, forward and backward, with plain float64 formulas: masks,
    features, dtypes and head dimensions, on the CPU and on the Apple GPU where there
    is one. ``tessera doctor`` writes the same as a file to send.

    Args:
        quick: A seventh of the calls, which still have every mask, dtype and head
            dimension.

    Returns:
        What ``tessera doctor --json`` prints: the machine, ``matmul_gflops``,
        ``checks`` (a list of ``backend``, ``case``, ``right``, ``error`` in units of
        the tolerance, at most 1, ``errors`` of each result, and ``plans``) and
        ``healthy``.
    """
    report = json.loads(_core.doctor(quick))
    _print(report)
    return report


def _print(report: dict[str, Any]) -> None:
    for name, value in report.items():
        if name not in ("checks", "healthy"):
            print(f"{name:<16}{', '.join(value) if isinstance(value, list) else value}")
    for check in report["checks"]:
        what = "right" if check["right"] else f"WRONG: {check['failed']}"
        print(f"{check['backend']:<16}{check['case']}: {what}")
    print(f"{'healthy':<16}{'yes' if report['healthy'] else 'no'}")
