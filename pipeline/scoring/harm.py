"""What a model does to images that are hardly spoiled, or not at all: the change in PSNR over a task's whole range."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.scoring.record import MOST_DB, RESTORED, Score, by_image

TOLERANCE_DB = 0.01  # between two curves: less than any machine's rounding matters to anyone


@dataclass(frozen=True)
class HarmPoint:
    """Change in PSNR at one strength, restored minus as it was, in dB: over all images, and of the worst one.

    input_db: mean PSNR of the images as they were. An image counts as ``scoring.record`` says.
    """

    strength: str
    mean_db: float
    worst_db: float
    worst_key: str
    input_db: float

    @property
    def kept_db(self) -> float:
        """Mean PSNR after restoring."""
        return self.input_db + self.mean_db


@dataclass(frozen=True)
class Harm:
    """A model's curve, mildest strength first. images: digest of the set; curves of two sets are not compared."""

    images: str
    points: tuple[HarmPoint, ...]

    def encode(self) -> str:
        """JSON, as a tag of a registered version keeps it; figures to a thousandth of a dB."""
        rows = [[p.strength, round(p.mean_db, 3), round(p.worst_db, 3), p.worst_key, round(p.input_db, 3)]
                for p in self.points]  # fmt: skip
        return json.dumps({"images": self.images, "points": rows})

    def describe(self) -> list[str]:
        """Markdown for cards and tables."""
        return [
            "| strength | as it was (dB) | restored (dB) | change, mean (dB) | worst image (dB) | which |",
            "|---|---:|---:|---:|---:|---|",
            *(
                f"| {p.strength} | {_counted(p.input_db)} | {p.kept_db:.2f} | {p.mean_db:+.2f} | {p.worst_db:+.2f} "
                f"| {p.worst_key} |"
                for p in self.points
            ),
            "",
            f"An image counts {MOST_DB:g} dB at most, one with nothing wrong exactly that.",
        ]


def decode_harm(text: str) -> Harm:
    """What ``Harm.encode`` wrote. Raises ValueError for anything else."""
    try:
        record = json.loads(text)
        points = tuple(
            HarmPoint(str(strength), float(mean), float(worst), str(key), float(before))
            for strength, mean, worst, key, before in record["points"]
        )
        return Harm(str(record["images"]), points)
    except (KeyError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not a harm curve: {error!r}") from None


def harm_point(strength: str, scores: Sequence[Score], baseline: str) -> HarmPoint:
    """The point of one strength from the scores of all images. Raises ValueError without images."""
    pairs = [(images[baseline], images[RESTORED]) for images in by_image(scores)]
    if not pairs:
        raise ValueError(f"no images at {strength}")
    changes = [after.psnr_db - before.psnr_db for before, after in pairs]
    worst = min(range(len(pairs)), key=changes.__getitem__)
    return HarmPoint(
        strength,
        sum(changes) / len(changes),
        changes[worst],
        pairs[worst][1].key,
        sum(before.psnr_db for before, _ in pairs) / len(pairs),
    )


def harms_more(new: Harm | None, standing: Harm | None) -> bool:
    """Whether ``new`` loses more somewhere than ``standing`` does: in the mean, or on the worst image.

    Gains do not count. False where one has no curve, or the curves are of different images: nothing can be said.
    """
    if new is None or standing is None or new.images != standing.images:
        return False
    before = {point.strength: point for point in standing.points}
    return any(
        max(0.0, -mine) > max(0.0, -theirs) + TOLERANCE_DB
        for point in new.points
        if point.strength in before
        for mine, theirs in (
            (point.mean_db, before[point.strength].mean_db),
            (point.worst_db, before[point.strength].worst_db),
        )
    )


def _counted(psnr_db: float) -> str:
    return "nothing wrong" if psnr_db >= MOST_DB else f"{psnr_db:.2f}"
