"""Loss and PSNR of a run as one picture, for who does not want to put charts together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = Sequence[tuple[int, float]]


def draw_curves(loss: Points, psnr: Points, title: str) -> Figure:
    """Training loss, and validation PSNR in dB, over optimizer steps, one above the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 5.0), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=9)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, points, label in ((upper, loss, "training loss"), (lower, psnr, "validation PSNR (dB)")):
        steps, values = [step for step, _ in points], [value for _, value in points]
        axes.plot(steps, values, marker="o" if len(points) < 30 else "", linewidth=1)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    lower.set_xlabel("optimizer step")
    return figure
