"""What ordinary pictures have: they were resampled, are noisy as sensors are, were sharpened and saved as JPEG.

In random order and strength, as BSRGAN (Zhang et al., "Designing a practical degradation model for deep blind
image super-resolution", ICCV 2021) shuffles its degradations, but far milder: each step is left out often, each
strength starts at nothing, and a share of the pictures is left as it is. A model for all pictures must above all
not spoil the good ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from numpy.random import Generator
from pydantic import BeforeValidator, Field

from pipeline.degradations.image import Image
from pipeline.degradations.jpeg import jpeg
from pipeline.degradations.quantize import quantize
from pipeline.degradations.ranges import IntRange, Range, draw, spared
from pipeline.degradations.resize import resize
from pipeline.degradations.sensor import sensor_noise
from pipeline.degradations.sharpen import unsharp_mask
from pipeline.metrics.convention import MetricConvention
from pipeline.settings.ranges import integer_range, number_range
from pipeline.tasks.base import Bounds, Strength, Task, identity, unchanged
from pipeline.tasks.settings import CleanShare, TaskSettings, as_float

Share = Annotated[float, BeforeValidator(as_float), Field(ge=0, le=1)]


class PhotoSettings(TaskSettings):
    """How often each step happens, and the range of its strength. All numbers are chosen, none is published."""

    clean_share: CleanShare = 0.15
    resampling_share: Share = 0.4
    scale: Annotated[Range, number_range(0.1, 1, "share of the side")] = (0.5, 1.0)
    """The picture is shrunk to this and enlarged again: half is a digital zoom of two."""
    noise_share: Share = 0.6
    shot: Annotated[Range, number_range(1e-6, 0.1, "variance per unit of linear light")] = (1e-5, 6e-3)
    """From daylight to half of the darkest that ``pipeline.degradations.sensor`` knows."""
    mosaicked_share: Share = 0.5
    sharpening_share: Share = 0.3
    radius: Annotated[Range, number_range(0.3, 5, "pixels")] = (0.5, 1.5)
    amount: Annotated[Range, number_range(0, 3, "share of the detail")] = (0.0, 0.7)
    jpeg_share: Share = 0.7
    quality: Annotated[IntRange, integer_range(1, 100, "JPEG quality factor")] = (10, 100)
    """High qualities are drawn more often: the loss from 100 grows with the square of a uniform number."""
    full_chroma_share: Share = 0.3
    """Of the JPEG files: chroma in full resolution instead of 4:2:0."""


def resampled(image: Image, rng: Generator, settings: PhotoSettings) -> Image:
    """Shrunk and enlarged by the same cubic."""
    height, width = image.shape[:2]
    scale = draw(rng, settings.scale)
    small = resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    return resize(small, height, width).clip(0.0, 1.0)


def noisy(image: Image, rng: Generator, settings: PhotoSettings) -> Image:
    """Sensor noise."""
    return sensor_noise(image, rng, settings.shot, settings.mosaicked_share)


def sharpened(image: Image, rng: Generator, settings: PhotoSettings) -> Image:
    """Unsharp masking."""
    return unsharp_mask(image, draw(rng, settings.radius), draw(rng, settings.amount))


def compressed(image: Image, rng: Generator, settings: PhotoSettings) -> Image:
    """JPEG."""
    low, high = settings.quality
    quality = round(high - (high - low) * rng.random() ** 2)
    subsampling = "4:4:4" if rng.random() < settings.full_chroma_share else "4:2:0"
    return jpeg(image, rng, (quality, quality), subsampling)


def degrade(gt: Image, rng: Generator, settings: PhotoSettings) -> Image:
    """The steps that the dice choose, in random order, saved in 8 bits."""
    if spared(rng, settings.clean_share):
        return gt.copy()
    steps: tuple[tuple[float, Callable[[Image, Generator, PhotoSettings], Image]], ...] = (
        (settings.resampling_share, resampled),
        (settings.noise_share, noisy),
        (settings.sharpening_share, sharpened),
        (settings.jpeg_share, compressed),
    )
    image = gt
    for number in rng.permutation(len(steps)):
        share, step = steps[number]
        if rng.random() < share:
            image = step(image, rng, settings)
    return quantize(image)


def bounds(settings: PhotoSettings) -> Bounds:
    """JPEG's quality; of the noise only its origin in light is known, not one strength for all of a picture."""
    return {"quality": settings.quality}


def _only(label: str, **values: Any) -> Strength:
    """The steps named in ``values`` and no others."""
    shares = ("clean_share", "resampling_share", "noise_share", "sharpening_share", "jpeg_share")
    return Strength(label, {**dict.fromkeys(shares, 0), **values})


STRENGTHS = (
    Strength("nothing wrong", {"clean_share": 1}),
    *(_only(f"JPEG {quality}", jpeg_share=1, quality=quality) for quality in (98, 95, 85, 60, 30)),
    *(_only(f"shot noise {shot:g}", noise_share=1, shot=shot) for shot in (2e-5, 2e-4, 2e-3)),
    *(_only(f"shrunk to {scale}", resampling_share=1, scale=scale) for scale in (0.95, 0.8, 0.5)),
    _only("sharpened", sharpening_share=1, radius=1, amount=0.3),
)

PHOTO = Task(
    name="photo",
    group="photo",
    title="Ordinary photographs",
    channels=3,
    input_channels=3,
    upscale=1,
    settings=PhotoSettings,
    degrade=degrade,
    to_input=unchanged,
    baselines={"input": identity},
    convention=MetricConvention(channel="rgb"),
    model="ushape_base",
    tiny_model="ushape_tiny",
    loss="l1",
    bounds=bounds,
    strengths=STRENGTHS,
)
