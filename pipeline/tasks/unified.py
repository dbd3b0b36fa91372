"""One blind model for all degradations of the paper's six tasks, and for images with nothing wrong.

SemanIR's paper leaves this to the future: it trains a model for each task. Here a model of the same size sees every
degradation, each at its own task's strengths, and is not told which. What it sees is each task's own network input
at the ground truth's size – super-resolution's small image enlarged by the bicubic baseline, a mosaic demosaicked by
Malvar's filters – so that one U-shape serves all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.random import Generator
from pydantic import Field, field_validator

from pipeline.degradations.haze import Haze, haze
from pipeline.degradations.image import Image
from pipeline.degradations.low_light import LowLight, low_light
from pipeline.degradations.quantize import quantize
from pipeline.degradations.ranges import draw_int
from pipeline.degradations.resize import bicubic_down, bicubic_up
from pipeline.degradations.soft import Softness, soft_reach, soften
from pipeline.metrics.convention import MetricConvention
from pipeline.tasks import deblurring, demosaicking, denoising, jpeg, weather
from pipeline.tasks.base import Bounds, Strength, Task, identity, unchanged
from pipeline.tasks.deblurring import DeblurringSettings
from pipeline.tasks.denoising import DenoisingSettings
from pipeline.tasks.jpeg import JpegSettings
from pipeline.tasks.settings import NoSettings, TaskSettings
from pipeline.tasks.weather import WeatherSettings

GrayName = Literal[
    "clean", "denoising", "jpeg", "sr_x2", "sr_x3", "sr_x4", "deblurring", "soft", "mild_denoising", "mild_jpeg"
]
ColorName = Literal[GrayName, "demosaicking", "weather", "haze", "low_light"]
Weight = Annotated[int, Field(ge=0, le=1000)]


class UnifiedGraySettings(TaskSettings):
    """Which degradation how often, and each one's own settings.

    Softness, and the mild ends of noise and JPEG, have no weight unless one is given: a model that must not spoil good
    pictures needs more of them than a uniform draw over the whole range gives (jobs/configs/shipped/ushape.yaml).
    """

    weights: dict[GrayName, Weight] = Field(
        default={"clean": 2, "denoising": 3, "jpeg": 3, "sr_x2": 1, "sr_x3": 1, "sr_x4": 1, "deblurring": 1}
    )
    """Whole-number weights: an image gets a degradation with its share of their sum; what is left out has none."""
    denoising: DenoisingSettings = DenoisingSettings()
    jpeg: JpegSettings = JpegSettings(quality=(10, 100))
    deblurring: DeblurringSettings = DeblurringSettings(length=(1.0, 30.0))
    soft: Softness = (0.0, 1.0)
    """Up to what bicubic enlarging by 2 leaves, about."""
    mild_denoising: DenoisingSettings = DenoisingSettings(sigma=(0.0, 5.0))
    """Noise that hardly anyone sees."""
    mild_jpeg: JpegSettings = JpegSettings(quality=(85, 100))
    """What cameras and photo programs write."""

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, value: dict[str, int]) -> dict[str, int]:
        if not sum(value.values()):
            raise ValueError("wanted at least one degradation of a weight above 0")
        return value


class UnifiedColorSettings(UnifiedGraySettings):
    """The same, with what only color images have.

    Haze and low light belong to no task of the paper: they have no weight unless one is given, as the five
    degradations of the all-in-one papers need (jobs/configs/paper/all_in_one.yaml).
    """

    weights: dict[ColorName, Weight] = Field(  # type: ignore[assignment]
        default={
            "clean": 2,
            "denoising": 3,
            "jpeg": 3,
            "sr_x2": 1,
            "sr_x3": 1,
            "sr_x4": 1,
            "deblurring": 1,
            "demosaicking": 2,
            "weather": 1,
        }
    )
    weather: WeatherSettings = WeatherSettings()
    haze: Haze = Haze()
    low_light: LowLight = LowLight()


def enlarged(gt: Image, scale: int) -> Image:
    """What bicubic enlarging makes of the small image; a side that the scale does not divide is mirrored on."""
    height, width = gt.shape[:2]
    missing = ((0, -height % scale), (0, -width % scale), (0, 0))
    whole = np.pad(gt, missing, mode="symmetric") if height % scale or width % scale else gt
    return np.ascontiguousarray(bicubic_up(bicubic_down(whole, scale), scale)[:height, :width])


def malvar_of_mosaic(gt: Image, rng: Generator) -> Image:
    """Demosaicking's network input."""
    settings = NoSettings()
    return demosaicking.malvar(demosaicking.degrade(gt, rng, settings), settings)


DEGRADATIONS: Mapping[str, Callable[[Image, Generator, Any], Image]] = MappingProxyType(
    {
        "clean": lambda gt, rng, settings: gt.copy(),
        "denoising": lambda gt, rng, settings: denoising.degrade(gt, rng, settings.denoising),
        "jpeg": lambda gt, rng, settings: jpeg.degrade(gt, rng, settings.jpeg),
        "sr_x2": lambda gt, rng, settings: enlarged(gt, 2),
        "sr_x3": lambda gt, rng, settings: enlarged(gt, 3),
        "sr_x4": lambda gt, rng, settings: enlarged(gt, 4),
        "deblurring": lambda gt, rng, settings: deblurring.degrade(gt, rng, settings.deblurring),
        "demosaicking": lambda gt, rng, settings: malvar_of_mosaic(gt, rng),
        "weather": lambda gt, rng, settings: weather.degrade(gt, rng, settings.weather),
        "haze": lambda gt, rng, settings: quantize(haze(gt, rng, settings.haze)),
        "low_light": lambda gt, rng, settings: quantize(low_light(gt, rng, settings.low_light)),
        "soft": lambda gt, rng, settings: quantize(soften(gt, rng, settings.soft)),
        "mild_denoising": lambda gt, rng, settings: denoising.degrade(gt, rng, settings.mild_denoising),
        "mild_jpeg": lambda gt, rng, settings: jpeg.degrade(gt, rng, settings.mild_jpeg),
    }
)
"""Name -> (gt, rng, the unified settings) -> network input of gt's size."""


def choose(rng: Generator, weights: Mapping[Any, int]) -> str:
    """One name, with its share of the weights' sum; a single draw, and the order of the mapping does not matter."""
    left = draw_int(rng, (0, sum(weights.values()) - 1))
    for name in DEGRADATIONS:
        left -= weights.get(name, 0)
        if left < 0:
            return name
    raise ValueError(f"weights of nothing known: {dict(weights)}")


def degrade(gt: Image, rng: Generator, settings: UnifiedGraySettings) -> Image:
    """One degradation at one strength, both drawn from ``rng``."""
    return DEGRADATIONS[choose(rng, settings.weights)](gt, rng, settings)


def reach(settings: UnifiedGraySettings) -> int:
    """Pixels around a patch that its blur reaches, rounded up to a multiple of 16.

    So the blocks of JPEG with halved chroma, the mosaic and the enlarged grids (but for x3) lie in a patch as they lie
    in an image.
    """
    blurred = deblurring.kernel_reach(settings.deblurring) if settings.weights.get("deblurring") else 0
    soft = soft_reach(settings.soft) if settings.weights.get("soft") else 0
    return 16 * math.ceil(max(blurred, soft) / 16)


def check_files(settings: UnifiedGraySettings) -> None:
    """Open the blur kernels' files, if any is used; raises UserError for a bad one."""
    if settings.weights.get("deblurring"):
        deblurring.check_kernel_files(settings.deblurring)


def bounds(settings: UnifiedGraySettings) -> Bounds:
    """Those of noise and JPEG, where they have a weight."""
    known: dict[str, tuple[float, float]] = {}
    if settings.weights.get("denoising"):
        known |= denoising.bounds(settings.denoising)
    if settings.weights.get("jpeg"):
        known |= jpeg.bounds(settings.jpeg)
    return known


def _only(name: str, strength: Strength) -> Strength:
    """One task's strength, as this one sees it."""
    return Strength(strength.label, {"weights": {name: 1}, name: dict(strength.setting)})


GRAY_STRENGTHS = (
    Strength("nothing wrong", {"weights": {"clean": 1}}),
    *(_only("denoising", each) for each in denoising.STRENGTHS[2::2]),
    *(_only("jpeg", each) for each in jpeg.STRENGTHS[2::2]),
    *(Strength(f"soft by {sigma} px", {"weights": {"soft": 1}, "soft": sigma}) for sigma in (0.3, 0.5, 0.8)),
    *(_only("deblurring", each) for each in deblurring.STRENGTHS[1:5:2]),
    *(Strength(f"shrunk by {scale}", {"weights": {f"sr_x{scale}": 1}}) for scale in (2, 3, 4)),
)
COLOR_STRENGTHS = (
    *GRAY_STRENGTHS,
    Strength("mosaic", {"weights": {"demosaicking": 1}}),
    *(_only("weather", each) for each in weather.STRENGTHS[1:5]),
)


def _unified(
    name: str,
    title: str,
    channels: int,
    kind: type[TaskSettings],
    convention: MetricConvention,
    strengths: tuple[Strength, ...],
) -> Task:
    return Task(
        name=name,
        group="unified",
        title=title,
        channels=channels,
        input_channels=channels,
        upscale=1,
        settings=kind,
        degrade=degrade,
        to_input=unchanged,
        baselines={"input": identity},
        convention=convention,
        model="ushape_base",
        tiny_model="ushape_tiny",
        loss="l1",
        margin=reach,
        check_files=check_files,
        bounds=bounds,
        strengths=strengths,
    )


UNIFIED_COLOR = _unified(
    "unified_color",
    "All degradations (color)",
    3,
    UnifiedColorSettings,
    MetricConvention(channel="rgb"),
    COLOR_STRENGTHS,
)
UNIFIED_GRAY = _unified(
    "unified_gray", "All degradations (gray)", 1, UnifiedGraySettings, MetricConvention(channel="gray"), GRAY_STRENGTHS
)
