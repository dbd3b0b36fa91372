"""Classical super-resolution: undo MATLAB's bicubic shrinking by 2, 3 or 4."""

from __future__ import annotations

from functools import partial

from numpy.random import Generator

from pipeline.degradations.image import Image
from pipeline.degradations.resize import bicubic_down, bicubic_up
from pipeline.filters.lanczos import lanczos_up
from pipeline.metrics.convention import MetricConvention
from pipeline.tasks.base import Task, unchanged
from pipeline.tasks.settings import NoSettings


def degrade(gt: Image, rng: Generator, settings: NoSettings, *, scale: int) -> Image:
    """The small image, rounded to 8 bits. Nothing is random here."""
    del rng, settings
    return bicubic_down(gt, scale)


def bicubic(lq: Image, settings: NoSettings, *, scale: int) -> Image:
    """Baseline: enlarge by the same cubic."""
    del settings
    return bicubic_up(lq, scale)


def lanczos(lq: Image, settings: NoSettings, *, scale: int) -> Image:
    """Baseline: enlarge by Lanczos' windowed sinc."""
    del settings
    return lanczos_up(lq, scale)


def _super_resolution(scale: int) -> Task:
    return Task(
        name=f"sr_x{scale}",
        group="sr",
        title=f"Super-resolution x{scale}",
        channels=3,
        input_channels=3,
        upscale=scale,
        settings=NoSettings,
        degrade=partial(degrade, scale=scale),
        to_input=unchanged,
        baselines={"bicubic": partial(bicubic, scale=scale), "lanczos": partial(lanczos, scale=scale)},
        convention=MetricConvention(channel="y", border=scale),
        model="columnar_small",
        tiny_model="columnar_tiny",
        loss="l1",
        size_multiple=scale,
    )


SR_X2, SR_X3, SR_X4 = (_super_resolution(scale) for scale in (2, 3, 4))
