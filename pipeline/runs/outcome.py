"""The last table: what went in, what came out, which version holds it, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from pipeline.registry.client import tracking_uri, without_credentials
from pipeline.scoring.record import RESTORED, Score, by_image, mean_psnr


@dataclass(frozen=True)
class Outcome:
    """How one task's run ended."""

    task: str
    status: str  # "trained", "already registered", or what went wrong
    failed: bool = False
    version: str = ""
    scores: tuple[Score, ...] = ()  # of every held-out image: each baseline, and restored

    @property
    def baselines(self) -> list[str]:
        """The classical methods that were measured, the task's input first."""
        return [method for method in dict.fromkeys(score.method for score in self.scores) if method != RESTORED]


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
        if not outcome.scores:
            table.add_row(outcome.task, "", "", "", "", outcome.version, outcome.status)
            continue
        restored = mean_psnr(outcome.scores, RESTORED)
        for number, baseline in enumerate(outcome.baselines):
            before = mean_psnr(outcome.scores, baseline)
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
        for number, scores in enumerate(by_image(outcome.scores)):
            before, restored = scores[outcome.baselines[0]], scores[RESTORED]
            table.add_row(
                outcome.task if number == 0 else "",
                restored.key,
                f"{before.psnr_db:.2f}",
                f"{restored.psnr_db:.2f}",
                f"{restored.psnr_db - before.psnr_db:+.2f}",
            )
    return table


def print_report(outcomes: Sequence[Outcome], console: Console) -> None:
    """The tables, and where to look further."""
    console.print()
    if any(outcome.scores for outcome in outcomes):
        console.print(image_table(outcomes))
    console.print(summary_table(outcomes))
    console.print(f"MLflow: {without_credentials(tracking_uri())}", highlight=False)
