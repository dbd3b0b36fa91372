"""What a damaged data set does to its reader, as one of a closed set of outcomes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a reading of damaged data ended; the value is what the table says."""

    NAMED = "error, names the place"
    UNNAMED = "error, names no place"
    REFUSED = "refused when written"
    LOST = "silent loss"
    LOGGED = "loss, only the log names the place"
    WRONG = "silent wrong pixels"
    HANG = "hang"
    ABORT = "process abort"
    UNHARMED = "unharmed"
    DOUBLED = "silent double"
    NO_KEYS = "has no keys"


@dataclass(frozen=True)
class Reading:
    """What one consumer did with the data.

    digests: (key, digest of the pixels) of each delivered sample, in order. error: the text of the exception that ended
    it, with its causes. timed_out: nothing came for the time limit. status: how the process ended, None after a kill.
    log: what it wrote to its standard output and error, which no training loop sees.
    """

    digests: Sequence[tuple[str, str]]
    error: str | None
    timed_out: bool
    status: int | None
    log: str = ""


def judge(reading: Reading, truth: Mapping[str, str], places: Collection[str]) -> Outcome:
    """Which outcome a reading is.

    truth: key to digest of every sample. places: names that tell a person where the damage is: the shard's file, the
    sample's key.
    """
    if any(truth.get(key) != digest for key, digest in reading.digests):
        return Outcome.WRONG  # even when it ends in an error: what was delivered was trained on
    if reading.timed_out:
        return Outcome.HANG
    if reading.error is not None:
        return Outcome.NAMED if any(place in reading.error for place in places) else Outcome.UNNAMED
    if reading.status != 0:
        return Outcome.ABORT
    delivered = [key for key, _ in reading.digests]
    if set(truth) - set(delivered):
        return Outcome.LOGGED if any(place in reading.log for place in places) else Outcome.LOST
    return Outcome.DOUBLED if len(delivered) > len(truth) else Outcome.UNHARMED
