"""The one record of a measurement: an image, a method, and its figures by name, from the pixels to the champion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.metrics.catalog import METRICS, PSNR

# What an image counts at most where models are compared: blind tasks leave some images clean, and one that equals the
# truth to the last bit would make a model the best for ever. Rounding to 8 bits alone leaves an image 59 dB.
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
        """PSNR in dB, which every image has; at most ``MOST_DB``, where ``values`` may be infinite."""
        psnr_db = self.values[PSNR]
        return MOST_DB if psnr_db > MOST_DB else psnr_db  # so written that NaN stays NaN


@dataclass(frozen=True)
class Mean:
    """Means of one method's scores over ``images`` images; a metric is left out where no image has it."""

    method: str
    k: int | None
    images: int
    values: Mapping[str, float]

    @property
    def label(self) -> str:
        """The method, with its k."""
        return self.method if self.k is None else f"{self.method}, k = {self.k}"

    @property
    def psnr_db(self) -> float:
        """Mean PSNR in dB."""
        return self.values[PSNR]


def means(scores: Iterable[Score]) -> list[Mean]:
    """One entry per method and k, in the order of the first image's scores.

    Sums run in the order of the images, so neither the number of workers nor who was first shows in any digit.
    """
    groups: dict[tuple[str, int | None], list[Score]] = {}
    for score in sorted(scores, key=lambda score: score.index):
        groups.setdefault((score.method, score.k), []).append(score)
    return [Mean(method, k, len(group), _mean_values(group)) for (method, k), group in groups.items()]


def mean_psnr(scores: Sequence[Score], method: str) -> float:
    """Mean PSNR in dB of one method. Raises ValueError when no score is of it."""
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
    found = {name: [score.values[name] for score in group if name in score.values] for name in METRICS}
    return {name: sum(values) / len(values) for name, values in found.items() if values}
