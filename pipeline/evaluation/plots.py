"""Figures as PNG files: PSNR against k, and maps of the keys that one pixel uses."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.key_maps import KeyMaps
from pipeline.scoring.harm import Harm
from pipeline.scoring.record import MOST_DB

LEAST_SPAN_DB = 0.2  # of PSNR that the curve's axis shows: less would make noise look like a result
MAPPED_KEYS = (0.9, 0.1, 0.1)  # red

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curve(points: Sequence[tuple[int, float]], baselines: Sequence[tuple[str, float]], title: str) -> bytes:
    """Mean PSNR (dB) against k, the baselines as horizontal lines.

    The curve fills the picture: of a baseline that is so far from it that the line would flatten the curve, the legend
    alone tells the figure.
    """
    figure = _figure(6.0, 4.0)
    axes = figure.subplots()
    psnrs = [psnr for _, psnr in points]
    axes.plot([k for k, _ in points], psnrs, marker="o", label="restored")
    span = max(max(psnrs) - min(psnrs), LEAST_SPAN_DB)
    near = {name: psnr for name, psnr in baselines if min(psnrs) - span <= psnr <= max(psnrs) + span}
    for number, (name, psnr) in enumerate(baselines):
        if name in near:
            axes.axhline(psnr, linestyle="--", color=f"C{number + 1}", label=f"{name}, {psnr:.2f} dB")
        else:
            side = "below" if psnr < min(psnrs) else "above"
            axes.plot([], [], linestyle="none", label=f"{name}, {psnr:.2f} dB ({side} what is shown)")
    shown = [*psnrs, *near.values()]
    axes.set_ylim(min(shown) - span / 4, max(shown) + span / 4)
    axes.set_xscale("log", base=2)
    axes.set_xticks([k for k, _ in points], labels=[str(k) for k, _ in points])
    axes.set_xlabel("k (keys per token)")
    axes.set_ylabel("PSNR (dB)")
    axes.set_title(title, fontsize=8, wrap=True)
    axes.legend()
    return _png(figure)


def draw_harm(harm: Harm, title: str) -> bytes:
    """Change in PSNR (dB) at each strength, mildest left: the mean, and the worst image; what is below 0 is shaded.

    Images with nothing wrong can only lose, from a number that is chosen: there the dB that are left are written.
    """
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    places = range(len(harm.points))
    axes.plot(places, [point.mean_db for point in harm.points], marker="o", label="mean over the images")
    axes.plot(places, [point.worst_db for point in harm.points], marker="v", linestyle=":", label="worst image")
    axes.axhline(0.0, color="black", linewidth=0.8)
    low = min(-0.5, *(point.worst_db for point in harm.points))
    high = max(0.5, *(point.mean_db for point in harm.points))
    room = 0.12 * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.axhspan(low - room, 0.0, color="C3", alpha=0.08, linewidth=0)
    for place, point in zip(places, harm.points, strict=True):
        if point.input_db >= MOST_DB:
            at = (place, point.worst_db)
            axes.annotate(f"{point.kept_db:.1f} dB left", at, (14, -8), textcoords="offset points", fontsize=8)
    axes.set_xticks(list(places), labels=[point.strength for point in harm.points], rotation=30, ha="right", fontsize=8)
    axes.set_ylabel("change in PSNR (dB)")
    axes.set_title(title, fontsize=8, wrap=True)
    axes.legend(fontsize=8)
    return _png(figure)


def draw_key_maps(maps: KeyMaps, title: str) -> bytes:
    """A row per stage, a column per k: the keys (red) of the marked pixel's token (cross) over the dimmed input."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    rows, columns = len(maps.stages), len(maps.ks)
    figure = _figure(max(2.4 * columns + 0.6, 4.8), 2.5 * rows + 0.9)
    figure.suptitle(title, fontsize=9, wrap=True)
    cross = Line2D([], [], color="cyan", marker="+", markersize=9, markeredgewidth=2, linestyle="none")
    keys_of = Patch(color=MAPPED_KEYS, alpha=0.65)
    figure.legend(
        [cross, keys_of], ["the pixel", "the keys that its token attends to"],
        loc="outside lower center", ncols=2, fontsize=8,
    )  # fmt: skip
    grid = figure.subplots(rows, columns, squeeze=False)
    gray = np.clip(maps.image.mean(axis=2), 0, 1)
    y, x = maps.pixel
    for row, stage in enumerate(maps.stages):
        for column, k in enumerate(maps.ks):
            axes, kept = grid[row][column], maps.kept[row][column]
            shade = np.repeat(0.4 + 0.6 * gray[:, :, None], 3, axis=2)
            # A deeper stage has fewer, larger tokens: each covers a square of pixels.
            square = np.ones((maps.scales[row], maps.scales[row]), dtype=bool)
            keys = np.kron(kept, square)[: gray.shape[0], : gray.shape[1]]
            shade[keys] = 0.35 * shade[keys] + 0.65 * np.array(MAPPED_KEYS)
            axes.imshow(shade, interpolation="nearest")
            axes.plot(x, y, marker="+", color="cyan", markersize=9, markeredgewidth=2)
            axes.set_xlim(max(x - maps.reach, 0) - 0.5, min(x + maps.reach, gray.shape[1]) - 0.5)
            axes.set_ylim(min(y + maps.reach, gray.shape[0]) - 0.5, max(y - maps.reach, 0) - 0.5)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(f"k = {k}", fontsize=9)
            if column == 0:
                axes.text(-0.06, 0.5, stage, rotation=90, transform=axes.transAxes, va="center", ha="right", fontsize=8)
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    # The class itself, not pyplot: no display, no global state.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
