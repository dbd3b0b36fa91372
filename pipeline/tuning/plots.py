"""The sweep's two pictures: PSNR against k at each depth, and every trial as a line across what was varied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from pipeline.tuning.results import TrialResult, finished, pareto_front
from pipeline.tuning.space import label

MAX_AREA = 600  # points², of the costliest model's circle
LABEL_BOX = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


def psnr_against_k(results: Sequence[TrialResult], title: str) -> Figure:
    """PSNR (dB) over k, a line per depths, the circle's area proportional to MACs; the Pareto front is ringed."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    shown = finished(results)
    most = max((result.macs for result in shown), default=1)
    for depths in sorted({result.depths for result in shown}):
        line = sorted((result for result in shown if result.depths == depths), key=lambda result: result.k)
        ks, psnrs = [result.k for result in line], [result.psnr for result in line]
        (drawn,) = axes.plot(ks, psnrs, linewidth=1, alpha=0.6, label=f"depths {list(depths)}")
        areas = [MAX_AREA * result.macs / most for result in line]
        axes.scatter(ks, psnrs, s=areas, alpha=0.5, color=drawn.get_color())
    front = pareto_front(results)
    axes.scatter(
        [result.k for result in front], [result.psnr for result in front],
        s=[MAX_AREA * result.macs / most for result in front], facecolors="none", edgecolors="black",
        label="Pareto front",
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({result.k for result in shown}))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("k (kept keys per token)")
    axes.set_ylabel("best validation PSNR (dB)")
    axes.set_title(f"{title}: PSNR against k (circle area: multiply-accumulates)", fontsize=9, wrap=True)
    axes.margins(0.15)
    axes.legend(fontsize="small", markerscale=0.5)
    return figure


def parallel_coordinates(results: Sequence[TrialResult], title: str) -> Figure:
    """One vertical axis per varied path, then GMACs and PSNR; one line per finished trial, colored by PSNR."""
    shown = finished(results)
    paths = list(results[0].values) if results else []
    columns: dict[str, list[Any]] = {path: [result.values[path] for result in shown] for path in paths}
    columns["GMACs"] = [result.macs / 1e9 for result in shown]
    columns["PSNR (dB)"] = [result.psnr for result in shown]
    figure = Figure(figsize=(2 + 1.6 * len(columns), 4.5), layout="constrained")
    axes = figure.subplots()
    heights = {name: _heights(values) for name, values in columns.items()}
    for number in range(len(shown)):
        line = [heights[name][0][number] for name in columns]
        axes.plot(range(len(columns)), line, color=_color(heights["PSNR (dB)"][0][number]), alpha=0.8)
    for number, name in enumerate(columns):
        axes.axvline(number, color="gray", linewidth=0.8)
        for height, text in heights[name][1]:
            axes.annotate(text, (number, height), fontsize=7, ha="center", va="center", bbox=LABEL_BOX)
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks([])
    axes.set_title(f"{title}: a line per trial, red the best PSNR, blue the worst", fontsize=9, wrap=True)
    axes.margins(0.08)
    return figure


def _heights(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Each value's height in [0, 1] on its axis, and the axis' marks."""
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > 8:  # a range, not a list of choices: to scale
        low, high = min(numbers), max(numbers)
        return [(value - low) / (high - low) for value in numbers], [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
    keys = numbers if len(numbers) == len(values) else [label(value) for value in values]
    order = sorted(set(keys))  # type: ignore[type-var]
    height = {value: rank / max(1, len(order) - 1) for rank, value in enumerate(order)}
    marks = [(height[value], value if isinstance(value, str) else f"{value:.4g}") for value in order]
    return [height[key] for key in keys], marks


def _color(share: float) -> tuple[float, float, float]:
    """Blue for the worst to red for the best."""
    return (share, 0.2, 1 - share) if math.isfinite(share) else (0.5, 0.5, 0.5)
