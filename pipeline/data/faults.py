"""Damage in stored data: what kinds there are, what to do about it, and how much of it was met.

A store that does not answer is no damage: it is retried, then raises ``StorageUnavailable``, and never skips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

FaultKind = Literal[
    "missing_shard",
    "truncated",
    "altered",
    "corrupt_member",
    "refused_member",
    "duplicate_key",
    "bad_key",
    "absurd_size",
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True)
class Fault:
    """One damaged sample: what is wrong, and where."""

    kind: FaultKind
    dataset: str
    shard: str
    key: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.dataset}/{self.shard}, sample {self.key!r}: {self.detail}"


class DamagedSample(Exception):
    """A sample is not what the manifest says it is."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.fault}; restore the shard, pack the dataset again, or allow skipping (on_damage='skip')"


class TooMuchDamage(Exception):
    """More samples are damaged than the policy lets pass."""


@dataclass(frozen=True)
class FaultPolicy:
    """What to do with damage that the manifest's digests prove.

    on_damage: "raise" stops at the first damaged sample; "skip" puts a fixed substitute, the next sound
        sample in stored order, in its place, so that no later position moves.
    max_skipped_share: with "skip", raise once more than this share of the samples is damaged.
    """

    on_damage: Literal["raise", "skip"] = "raise"
    max_skipped_share: float = 0.01


@dataclass
class FaultCounts:
    """What one rank met so far, for the metrics: how many samples per kind, and each one's name.

    retries: requests to the store that were repeated.
    """

    faults: list[Fault] = field(default_factory=list)
    retries: int = 0

    def add(self, found: tuple[Fault, ...]) -> None:
        """Note faults that were not known before."""
        if not found:
            return
        known = set(self.faults)
        self.faults += [fault for fault in found if fault not in known]

    def tally(self) -> list[int]:
        """A count per kind, then the retries: always as many numbers, so that ranks can sum theirs."""
        counts = Counter(fault.kind for fault in self.faults)
        return [*(counts[kind] for kind in KINDS), self.retries]


COUNTS = ("damaged_samples", "storage_retries")  # of a tally: nothing to chart as long as they are 0


def tally_metrics(tally: Sequence[float]) -> dict[str, float]:
    """A tally, of one rank or summed over all, by name: damaged samples, those of each kind met, repeated requests.

    A damaged sample that several ranks met, in different epochs, counts once for each.
    """
    *damaged, retries = tally
    kinds = {f"damaged_{kind}": count for kind, count in zip(KINDS, damaged, strict=True) if count}
    return {"damaged_samples": sum(damaged), **kinds, "storage_retries": retries}
