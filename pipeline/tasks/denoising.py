"""Denoising: additive white Gaussian noise of known or unknown strength."""

from __future__ import annotations

from typing import Annotated, Literal

from numpy.random import Generator

from pipeline.degradations.image import Image
from pipeline.degradations.noise import clipped_and_truncated, gaussian_noise
from pipeline.degradations.ranges import Range, mild_tenth, spared
from pipeline.filters.non_local_means import non_local_means
from pipeline.metrics.convention import MetricConvention
from pipeline.settings.ranges import number_range
from pipeline.tasks.base import Bounds, Strength, Task, identity, unchanged
from pipeline.tasks.settings import CleanShare, MildShare, TaskSettings


class DenoisingSettings(TaskSettings):
    """The default range is Restormer's blind setting; it covers the benchmarks' 15, 25 and 50 with one model."""

    sigma: Annotated[Range, number_range(0, 255, "8-bit gray levels")] = (0.0, 50.0)
    """Standard deviation of the noise, fixed or drawn per image."""
    clean_share: CleanShare = None
    mild_share: MildShare = None
    saved_as: Literal["truncated_uint8"] | None = None
    """None: noise in float, neither clipped nor rounded, as the denoising benchmarks have it. "truncated_uint8":
    clipped and truncated to 8 bits, the all-in-one papers' convention.
    """


def degrade(gt: Image, rng: Generator, settings: DenoisingSettings) -> Image:
    """Noise in float, neither clipped nor rounded unless ``saved_as`` asks for it."""
    if spared(rng, settings.clean_share):
        return gt.copy()
    noisy = gaussian_noise(gt, rng, mild_tenth(rng, settings.sigma, settings.mild_share, mildest=0))
    return noisy if settings.saved_as is None else clipped_and_truncated(noisy)


def nlm(lq: Image, settings: DenoisingSettings) -> Image:
    """Baseline: non-local means, which estimates the noise itself: like a blind model, it is not told the setting."""
    del settings
    return non_local_means(lq)


def bounds(settings: DenoisingSettings) -> Bounds:
    """The noise."""
    return {"sigma": settings.sigma}


# From below what anyone sees to the strongest of the benchmarks.
STRENGTHS = (
    Strength("nothing wrong", {"clean_share": 1}),
    *(
        Strength(f"σ {sigma}", {"sigma": sigma, "clean_share": None, "mild_share": None})
        for sigma in (1, 2, 5, 10, 15, 25, 35, 50)
    ),
)


def _denoising(name: str, title: str, channels: int, convention: MetricConvention) -> Task:
    return Task(
        name=name,
        group="denoising",
        title=title,
        channels=channels,
        input_channels=channels,
        upscale=1,
        settings=DenoisingSettings,
        degrade=degrade,
        to_input=unchanged,
        baselines={"input": identity, "non_local_means": nlm},
        convention=convention,
        model="ushape_base",
        tiny_model="ushape_tiny",
        loss="l1",
        bounds=bounds,
        strengths=STRENGTHS,
    )


DENOISING_COLOR = _denoising("denoising_color", "Denoising (color)", 3, MetricConvention(channel="rgb"))
DENOISING_GRAY = _denoising("denoising_gray", "Denoising (gray)", 1, MetricConvention(channel="gray"))
