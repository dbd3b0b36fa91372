"""The last table: what went in, what came out, which version holds it, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from pipeline.registry.client import tracking_uri, without_credentials


@dataclass(frozen=True)
class ImageFigures:
    """One held-out image: PSNR in dB restored, and of each classical baseline."""

    key: str
    restored: float
    baselines: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """How one task's run ended."""

    task: str
    status: str  # "trained", "already registered", or what went wrong
    failed: bool = False
    version: str = ""
    figures: tuple[ImageFigures, ...] = ()

    def mean(self, baseline: str | None = None) -> float:
        """Mean PSNR in dB over the held-out images: restored, or of a baseline."""
        values = [figure.baselines[baseline] if baseline else figure.restored for figure in self.figures]
        return sum(values) / len(values)


def summary_table(outcomes: Sequence[Outcome]) -> Table:
    """One row per task, means over the held-out images."""
    table = Table(title="Held-out images, mean PSNR in dB", title_justify="left")
    for column in ("task", "baseline"):
        table.add_column(column, no_wrap=True)
    for column in ("input", "restored", "gain"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("model version", no_wrap=True)
    table.add_column("status")
    for outcome in outcomes:
        if not outcome.figures:
            table.add_row(outcome.task, "", "", "", "", outcome.version, outcome.status)
            continue
        restored = outcome.mean()
        for number, baseline in enumerate(outcome.figures[0].baselines):
            before = outcome.mean(baseline)
            first = number == 0
            table.add_row(
                outcome.task if first else "",
                baseline,
                f"{before:.2f}",
                f"{restored:.2f}" if first else "",
                f"{restored - before:+.2f}",
                outcome.version if first else "",
                outcome.status if first else "",
            )
    return table


def image_table(outcomes: Sequence[Outcome]) -> Table:
    """One row per held-out image and task, the bad ones too."""
    table = Table(title="Each held-out image, PSNR in dB", title_justify="left")
    table.add_column("task", no_wrap=True)
    table.add_column("image", no_wrap=True)
    for column in ("input", "restored", "gain"):
        table.add_column(column, justify="right", no_wrap=True)
    for outcome in outcomes:
        for number, figure in enumerate(outcome.figures):
            before = next(iter(figure.baselines.values()))
            table.add_row(
                outcome.task if number == 0 else "",
                figure.key,
                f"{before:.2f}",
                f"{figure.restored:.2f}",
                f"{figure.restored - before:+.2f}",
            )
    return table


def print_report(outcomes: Sequence[Outcome], console: Console) -> None:
    """The tables, and where to look further."""
    console.print()
    if any(outcome.figures for outcome in outcomes):
        console.print(image_table(outcomes))
    console.print(summary_table(outcomes))
    console.print(f"MLflow: {without_credentials(tracking_uri())}", highlight=False)
