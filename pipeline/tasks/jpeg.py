"""Removal of JPEG compression artifacts."""

from __future__ import annotations

from typing import Annotated

from numpy.random import Generator

from pipeline.degradations.image import Image
from pipeline.degradations.jpeg import jpeg
from pipeline.degradations.ranges import IntRange, mild_tenth, spared
from pipeline.metrics.convention import MetricConvention
from pipeline.settings.ranges import integer_range
from pipeline.tasks.base import Bounds, Strength, Task, identity, unchanged
from pipeline.tasks.settings import CleanShare, MildShare, TaskSettings


class JpegSettings(TaskSettings):
    """The default range covers the benchmarks' quality factors 10, 20, 30 and 40 with one model."""

    quality: Annotated[IntRange, integer_range(1, 100, "JPEG quality factor")] = (10, 40)
    """Quality factor of the encoder, fixed or drawn per image."""
    clean_share: CleanShare = None
    mild_share: MildShare = None


def degrade(gt: Image, rng: Generator, settings: JpegSettings) -> Image:
    """A real encoder and decoder; color in 4:2:0."""
    if spared(rng, settings.clean_share):
        return gt.copy()
    low, high = mild_tenth(rng, settings.quality, settings.mild_share, mildest=1)
    return jpeg(gt, rng, (round(low), round(high)))


def bounds(settings: JpegSettings) -> Bounds:
    """The quality factor."""
    return {"quality": settings.quality}


# From what cameras write to the coarsest of the benchmarks.
STRENGTHS = (
    Strength("nothing wrong", {"clean_share": 1}),
    *(
        Strength(f"quality {quality}", {"quality": quality, "clean_share": None, "mild_share": None})
        for quality in (98, 95, 90, 80, 60, 40, 30, 20, 10)
    ),
)


def _jpeg(name: str, title: str, channels: int, convention: MetricConvention) -> Task:
    return Task(
        name=name,
        group="jpeg",
        title=title,
        channels=channels,
        input_channels=channels,
        upscale=1,
        settings=JpegSettings,
        degrade=degrade,
        to_input=unchanged,
        baselines={"input": identity},
        convention=convention,
        model="ushape_base",
        tiny_model="ushape_tiny",
        loss="l1",
        bounds=bounds,
        strengths=STRENGTHS,
    )


JPEG_COLOR = _jpeg("jpeg_color", "JPEG artifacts (color)", 3, MetricConvention(channel="rgb", blocking=True))
JPEG_GRAY = _jpeg("jpeg_gray", "JPEG artifacts (gray)", 1, MetricConvention(channel="gray", blocking=True))
