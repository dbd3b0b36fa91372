"""What a sweep found: its trials, the best one, the Pareto front, the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from pipeline.tuning.space import label


@dataclass(frozen=True)
class TrialResult:
    """One trial: what it varied, what it reached (best validation PSNR in dB) and what it costs.

    status: ``finished``, ``stopped`` (by ASHA, at ``step``) or ``failed``.
    """

    trial: str
    values: dict[str, Any]
    status: str
    step: int
    psnr: float
    macs: int
    parameters: int
    k: int
    depths: tuple[int, ...]
    checkpoint_uri: str = ""
    error: str = ""


def finished(results: Sequence[TrialResult]) -> list[TrialResult]:
    """The trials that trained to their last step: only these compare fairly."""
    return [result for result in results if result.status == "finished" and math.isfinite(result.psnr)]


def winner(results: Sequence[TrialResult]) -> TrialResult | None:
    """The finished trial of highest PSNR, the cheaper one of equals; None when none finished."""
    return max(finished(results), key=lambda result: (result.psnr, -result.macs), default=None)


def pareto_front(results: Sequence[TrialResult]) -> list[TrialResult]:
    """The finished trials that no other beats in both PSNR and MACs, cheapest first."""
    front: list[TrialResult] = []
    for result in sorted(finished(results), key=lambda result: (result.macs, -result.psnr)):
        if not front or result.psnr > front[-1].psnr:
            front.append(result)
    return front


def results_table(results: Sequence[TrialResult], macs_size: int) -> Table:
    """One row per trial, best first; * marks the Pareto front."""
    front = {result.trial for result in pareto_front(results)}
    paths = list(results[0].values) if results else []
    table = Table(title="Trials: best validation PSNR against cost", title_justify="left")
    for column in ("trial", *paths):
        table.add_column(column, no_wrap=True)
    for column in ("PSNR (dB)", f"GMACs at {macs_size}²", "parameters", "steps"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status")
    rank = {"finished": 0, "stopped": 1, "failed": 2}
    for result in sorted(results, key=lambda result: (rank[result.status], -result.psnr)):
        table.add_row(
            result.trial,
            *(label(result.values[path]) for path in paths),
            f"{result.psnr:.2f}{' *' if result.trial in front else '  '}",
            f"{result.macs / 1e9:.3f}",
            f"{result.parameters:,}",
            str(result.step),
            result.error or result.status,
        )
    return table


def result_rows(results: Sequence[TrialResult]) -> list[dict[str, Any]]:
    """The table as JSON-ready rows, in full precision."""
    front = {result.trial for result in pareto_front(results)}
    return [
        {
            "trial": result.trial,
            **{path: label(value) for path, value in result.values.items()},
            "psnr_db": result.psnr if math.isfinite(result.psnr) else None,
            "macs": result.macs,
            "parameters": result.parameters,
            "step": result.step,
            "status": result.status,
            "pareto": result.trial in front,
            "checkpoint_uri": result.checkpoint_uri,
            "error": result.error,
        }
        for result in results
    ]
