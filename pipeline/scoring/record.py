"""The one record of a measurement: an image, a method, and its figures by name, from the pixels to the champion.

Every mean of PSNR, here and in the tables, is over what an image counts, ``Score.psnr_db``: its own figure, at most
``MOST_DB``. So one image that equals the truth, whose PSNR is infinite, does not make the mean of its set infinite.
What is stored of an image (``values``, Parquet) is never capped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.metrics.catalog import METRICS, PSNR

# What an image counts at most in a mean: blind tasks leave some images clean, and one that equals the truth to the last
# bit would make a model the best for ever. Rounding to 8 bits alone leaves an image 59 dB.
MOST_DB = 60.0

RESTORED = "restored"  # the model's method name; the others are names of baselines


@dataclass(frozen=True)
class Score:
    """Figures of one method on one image.

    index, key: of the image in its set. k: keys per token, None for a baseline. values: by names of ``METRICS``.
    """

    index: int
    key: str
    method: str
    k: int | None
    values: Mapping[str, float]

    @property
    def psnr_db(self) -> float:
        """PSNR in dB as the image counts, which every image has; at most ``MOST_DB``, ``values`` may be infinite."""
        return _counted(PSNR, self.values[PSNR])


@dataclass(frozen=True)
class Mean:
    """Means of one method's scores over ``images`` images; a metric is left out where no image has it.

    capped: how many of the images count ``MOST_DB`` in the mean PSNR (or PSNR-B) because their own figure is above it.
    """

    method: str
    k: int | None
    images: int
    values: Mapping[str, float]
    capped: int = 0

    @property
    def label(self) -> str:
        """The method, with its k."""
        return self.method if self.k is None else f"{self.method}, k = {self.k}"

    @property
    def psnr_db(self) -> float:
        """Mean PSNR in dB, no image above ``MOST_DB``; equal to ``mean_psnr`` of the same scores."""
        return self.values[PSNR]


def means(scores: Iterable[Score]) -> list[Mean]:
    """One entry per method and k, in the order of the first image's scores.

    Sums run in the order of the images, so neither the number of workers nor who was first shows in any digit.
    """
    groups: dict[tuple[str, int | None], list[Score]] = {}
    for score in sorted(scores, key=lambda score: score.index):
        groups.setdefault((score.method, score.k), []).append(score)
    return [
        Mean(method, k, len(group), _mean_values(group), sum(map(_is_capped, group)))
        for (method, k), group in groups.items()
    ]


def mean_psnr(scores: Sequence[Score], method: str) -> float:
    """Mean PSNR in dB of one method, no image above ``MOST_DB``. Raises ValueError when no score is of it."""
    values = [score.psnr_db for score in scores if score.method == method]
    if not values:
        known = ", ".join(sorted({score.method for score in scores})) or "none"
        raise ValueError(f"no score of {method!r}; there are: {known}")
    return sum(values) / len(values)


def by_image(scores: Iterable[Score]) -> list[dict[str, Score]]:
    """The scores of each image by method, images in the order of the set."""
    images: dict[int, dict[str, Score]] = {}
    for score in sorted(scores, key=lambda score: score.index):
        images.setdefault(score.index, {})[score.method] = score
    return list(images.values())


def _mean_values(group: Sequence[Score]) -> dict[str, float]:
    found = {name: [_counted(name, score.values[name]) for score in group if name in score.values] for name in METRICS}
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def _counted(name: str, value: float) -> float:
    return MOST_DB if METRICS[name].infinite_when_equal and value > MOST_DB else value  # so written that NaN stays NaN


def _is_capped(score: Score) -> bool:
    return any(_counted(name, value) != value for name, value in score.values.items() if not math.isnan(value))
