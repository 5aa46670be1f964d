"""What measures and predicts: benchmark, tuning, memory, an installation's health."""

import json
import os
from pathlib import Path
from typing import Any

import mlx.core as mx

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
            such as ``"1x1xNxN"``), ``dropout``, ``block_size``; and ``forward``,
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


# Small, and yet each feature, dtype and kind of shape once.
_EXAMINED: list[dict[str, Any]] = [
    {},
    {"causal": True, "dtype": mx.bfloat16},
    {"causal": True, "window": (40, 0), "sinks": True, "dtype": mx.float16},
    {"segments": [50, 100, 107], "causal": True},
    {"bias": "1xHxNxN", "mask": "Bx1xNxN", "softcap": 30.0},
    {"alibi": True, "causal": True, "chunk": 64},
    {"dropout": 0.1, "prefix": 9, "causal": True},
]


def doctor() -> dict[str, Any]:
    """Examines this installation, and prints a report.

    Compares small calls of every feature with plain float64 formulas, forward and
    backward, and measures MLX's matrix product.

    Returns:
        ``system`` (as `system_info`), ``matmul_gflops``, ``checks`` (a list of
        ``case`` and ``error`` in units of the tolerance, at most 1) and ``healthy``.
    """
    shape = {"lengths": 257, "head_dim": 64, "heads": (4, 2), "batch_size": 2}
    checks = [
        {"case": case, "error": error}
        for keywords in _EXAMINED
        for case, error in _core.check(**shape, **keywords)
    ]
    report = {
        "system": _core.system_info(),
        "matmul_gflops": _core.matmul_rate(),
        "checks": checks,
        "healthy": all(check["error"] <= 1 for check in checks),
    }
    _print(report)
    return report


def _print(report: dict[str, Any]) -> None:
    for name, value in report["system"].items():
        print(f"{name:<16}{', '.join(value) if isinstance(value, list) else value}")
    print(f"{'matmul':<16}{report['matmul_gflops']:.0f} GF/s")
    for check in report["checks"]:
        verdict = "right" if check["error"] <= 1 else "WRONG"
        print(f"{verdict:<16}{check['error']:.2f} of the tolerance: {check['case']}")
    print(f"{'healthy':<16}{'yes' if report['healthy'] else 'no'}")
