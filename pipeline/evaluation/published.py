"""The published tables, for comparison: committed figures, found by task, setting and set.

``published_results.csv`` holds figures of the tables in B. Ren et al., "Sharing Key Semantics in Transformer Makes
Efficient Image Restoration", NeurIPS 2024 (arXiv:2405.20008), those of the other methods as printed there.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

SOURCE = (
    'B. Ren et al., "Sharing Key Semantics in Transformer Makes Efficient Image Restoration", NeurIPS 2024 '
    "(arXiv:2405.20008), and the methods' figures printed there"
)


@dataclass(frozen=True)
class PublishedRow:
    """One printed figure. ``ssim`` and ``params_m`` (millions of parameters) are None where none is printed."""

    task: str
    dataset: str
    setting: str  # "sigma=25", or empty for a task without a fixed knob
    method: str
    psnr_db: float
    ssim: float | None
    params_m: float | None


def published_rows(task: str, setting: Mapping[str, str], dataset: str, paired: bool) -> list[PublishedRow]:
    """Rows that a measurement may stand beside: same task, set and setting.

    setting: the knobs as text, as ``plan.describe_setting`` gives them; one more than the row's is another setting.
    Sets are compared without case and punctuation.
    A row without a setting belongs to a task without knobs, or to the set's own real pairs.
    """
    wanted = "" if paired else ",".join(f"{name}={value}" for name, value in setting.items())
    return [
        row
        for row in load_published()
        if row.task == task and row.setting == wanted and plain(row.dataset) == plain(dataset)
    ]


def load_published() -> list[PublishedRow]:
    """All rows of the committed file."""
    with files("pipeline.evaluation").joinpath("published_results.csv").open(encoding="utf-8") as file:
        return [
            PublishedRow(
                row["task"], row["dataset"], row["setting"], row["method"], float(row["psnr_db"]),
                _number(row["ssim"]), _number(row["params_m"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def plain(name: str) -> str:
    """A set's name without case and punctuation."""
    return "".join(character for character in name.lower() if character.isalnum())


def _number(text: str) -> float | None:
    return float(text) if text else None
