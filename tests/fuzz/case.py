"""A kind of input: a sound example, who reads it, and what that reader may raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.data.faults import DamagedSample
from pipeline.errors import UserError
from pipeline.images.levels import UnusableImageError
from pipeline.registry import AlteredModelError
from pipeline.training.proof import Damaged, Unfinished

OURS = (UserError, AlteredModelError, UnusableImageError, DamagedSample, Damaged, Unfinished)


@dataclass(frozen=True)
class Case:
    """``read(sound)`` succeeds; of other bytes it may raise ``OURS`` and nothing else.

    every: it takes part in each so-manieth round, where reading one takes very long.
    """

    name: str
    sound: bytes
    read: Callable[[bytes], object]
    every: int = 1


def check_line(name: str, text: str) -> None:
    """One line that a person can read."""
    if not text.strip() or "\n" in text or len(text) > 2000:
        raise AssertionError(f"{name}: no line for a person: {text[:200]!r}")
