"""Adverse weather: rain under a veil, snow, raindrops on the lens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from numpy.random import Generator
from pydantic import Field

from pipeline.degradations.image import Image
from pipeline.degradations.quantize import quantize
from pipeline.degradations.rain import Rain, rain
from pipeline.degradations.raindrops import Raindrops, raindrops
from pipeline.degradations.ranges import draw_int, middle, spared
from pipeline.degradations.snow import Snow, snow
from pipeline.degradations.veil import remove_uniform_veil
from pipeline.metrics.convention import MetricConvention
from pipeline.tasks.base import Strength, Task, identity, unchanged
from pipeline.tasks.settings import CleanShare, TaskSettings

Kind = Literal["rain", "snow", "raindrops"]


class WeatherSettings(TaskSettings):
    """Each image gets one of ``kinds``, all equally likely; the AllWeather training set mixes all three."""

    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = (
        "rain",
        "snow",
        "raindrops",
    )
    rain: Rain = Rain()
    snow: Snow = Snow()
    raindrops: Raindrops = Raindrops()
    clean_share: CleanShare = None


_KINDS: Mapping[Kind, Callable[[Image, Generator, WeatherSettings], Image]] = {
    "rain": lambda gt, rng, settings: rain(gt, rng, settings.rain),
    "snow": lambda gt, rng, settings: snow(gt, rng, settings.snow),
    "raindrops": lambda gt, rng, settings: raindrops(gt, rng, settings.raindrops),
}


def degrade(gt: Image, rng: Generator, settings: WeatherSettings) -> Image:
    """One kind of weather, saved in 8 bits."""
    if spared(rng, settings.clean_share):
        return gt.copy()
    kind = settings.kinds[draw_int(rng, (0, len(settings.kinds) - 1))]
    return quantize(_KINDS[kind](gt, rng, settings))


def inverse_veil(lq: Image, settings: WeatherSettings) -> Image:
    """Baseline: undo rain's veil, taken as uniform and of the settings' middle strength.

    For a fixed veil that is its exact inverse, with the streaks left in. For a random one it is no more than a guess.
    """
    veil = settings.rain
    return remove_uniform_veil(lq, middle(veil.transmission), middle(veil.airlight))


def _rain(label: str, layers: int, transmission: float) -> Strength:
    rained = {"layers": layers, "transmission": transmission}
    return Strength(label, {"kinds": ["rain"], "rain": rained, "clean_share": None})


# Rain is the kind whose strength is one scale; the others are taken as the settings draw them.
STRENGTHS = (
    Strength("nothing wrong", {"clean_share": 1}),
    _rain("mist", 0, 0.95),
    _rain("drizzle", 1, 0.95),
    _rain("rain", 2, 0.8),
    _rain("heavy rain", 3, 0.5),
    Strength("snow", {"kinds": ["snow"], "clean_share": None}),
    Strength("raindrops", {"kinds": ["raindrops"], "clean_share": None}),
)

WEATHER = Task(
    name="weather",
    group="weather",
    title="Adverse weather",
    channels=3,
    input_channels=3,
    upscale=1,
    settings=WeatherSettings,
    degrade=degrade,
    to_input=unchanged,
    baselines={"input": identity, "inverse_veil": inverse_veil},
    convention=MetricConvention(channel="y"),
    model="ushape_base",
    tiny_model="ushape_tiny",
    loss="smooth_l1_vgg",
    strengths=STRENGTHS,
)
