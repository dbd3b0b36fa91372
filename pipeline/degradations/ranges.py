"""A closed range from which a degradation draws one value per image."""

from __future__ import annotations

from typing import Annotated

from numpy.random import Generator

from pipeline.settings.ranges import number_range

Range = tuple[float, float]
IntRange = tuple[int, int]

# What several degradations draw, with its limits.
Share = Annotated[Range, number_range(0, 1, "share")]
Brightness = Annotated[Range, number_range(0, 1, "brightness, 1 is white")]
Transmission = Annotated[Range, number_range(0.05, 1, "share of the light that passes")]
Angle = Annotated[Range, number_range(-90, 90, "degrees from the vertical")]
Density = Annotated[Range, number_range(0, 0.05, "particles per pixel")]


def draw(rng: Generator, limits: Range) -> float:
    """Uniform in [low, high]. A range of one point consumes a draw too, so fixing a value moves nothing else."""
    low, high = limits
    return float(low + (high - low) * rng.random())


def draw_int(rng: Generator, limits: IntRange) -> int:
    """Uniform over the integers low..high, both included; one draw, also for a single point."""
    low, high = limits
    return low + min(int(rng.random() * (high - low + 1)), high - low)


def spared(rng: Generator, share: float | None) -> bool:
    """Whether this image stays as it is: true for ``share`` of all images.

    None or 0 consumes no draw, so a setting without clean images degrades bit for bit as if it did not exist.
    """
    return bool(share) and rng.random() < float(share or 0)


def mild_tenth(rng: Generator, limits: Range, share: float | None, *, mildest: int) -> Range:
    """The tenth of the range at its mild end for ``share`` of all images, else the whole range.

    mildest: which end that is, 0 the lower or 1 the upper. None or 0 consumes no draw, as in ``spared``.
    """
    if not spared(rng, share):
        return limits
    low, high = limits
    tenth = (high - low) / 10
    return (high - tenth, high) if mildest else (low, low + tenth)


def middle(limits: Range) -> float:
    """Center of the range: the value itself when it is fixed."""
    return 0.5 * (limits[0] + limits[1])
