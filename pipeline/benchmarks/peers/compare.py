"""What an interrupted epoch trained on, against the epoch that nothing interrupts: lost, doubled, moved samples.

A step is the list of the keys of one global batch, over all consumers; who of them took which sample changes no
gradient, so the order inside a step counts for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Steps = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Comparison:
    """lost: samples of the data set that the epoch never trained on. doubled: how many times too often samples came.

    moved: samples trained on exactly as often as in the whole epoch, but in other steps. foreign: no such sample.
    """

    lost: int
    doubled: int
    moved: int
    foreign: int = 0

    @property
    def exact(self) -> bool:
        """Whether the interruption left no trace."""
        return not (self.lost or self.doubled or self.moved or self.foreign)


def compare(everything: Sequence[str], whole: Steps, interrupted: Steps) -> Comparison:
    """Compare an epoch that was stopped and resumed with the same library's whole one.

    everything: each key of the data set, once. whole: the steps of the uninterrupted epoch. interrupted: the steps up
    to the saved state, then those of the resumed run.
    """
    known = set(everything)
    seen = Counter(key for step in interrupted for key in step)
    before, after = _steps_of(whole), _steps_of(interrupted)
    moved = sum(
        1 for key in known if key in after and len(before.get(key, ())) == len(after[key]) and before[key] != after[key]
    )
    return Comparison(
        lost=sum(1 for key in known if key not in seen),
        doubled=sum(count - 1 for key, count in seen.items() if key in known),
        moved=moved,
        foreign=sum(count for key, count in seen.items() if key not in known),
    )


def _steps_of(steps: Steps) -> dict[str, list[int]]:
    """Each key's steps, in order."""
    found: dict[str, list[int]] = {}
    for number, step in enumerate(steps):
        for key in step:
            found.setdefault(key, []).append(number)
    return found


def merge_ranks(ranks: Sequence[Steps]) -> list[list[str]]:
    """Global steps of what each consumer took: step n of all; the epoch ends with the consumer that ends first."""
    return [[key for step in same for key in step] for same in zip(*ranks, strict=False)]
