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
from pipeline.degradations.ranges import IntRange, Range, draw_int, middle
from pipeline.degradations.snow import Snow, snow
from pipeline.degradations.veil import remove_uniform_veil
from pipeline.evaluation.convention import MetricConvention
from pipeline.tasks.base import Task, identity, unchanged
from pipeline.tasks.settings import TaskSettings, integer_range, number_range

Kind = Literal["rain", "snow", "raindrops"]
Share = number_range(0, 1, "share")
Degrees = number_range(-90, 90, "degrees from the vertical")
Transmission = Annotated[Range, number_range(0.05, 1, "share of the light that passes")]
Brightness = Annotated[Range, number_range(0, 1, "brightness, 1 is white")]
ShareRange = Annotated[Range, Share]
Angle = Annotated[Range, Degrees]
Density = Annotated[Range, number_range(0, 0.05, "particles per pixel")]


class RainSettings(TaskSettings):
    """See ``pipeline.degradations.rain``. One transmission, one airlight, no relief: a fixed veil."""

    layers: Annotated[IntRange, integer_range(0, 8, "streak layers")] = Rain.layers
    density: Density = Rain.density
    length: Annotated[Range, number_range(1, 200, "pixels")] = Rain.length
    width: Annotated[Range, number_range(0.5, 20, "pixels")] = Rain.width
    angle: Angle = Rain.angle
    brightness: Brightness = Rain.brightness
    transmission: Transmission = Rain.transmission
    airlight: Brightness = Rain.airlight
    relief: ShareRange = Rain.relief


class SnowSettings(TaskSettings):
    """See ``pipeline.degradations.snow``."""

    density: Density = Snow.density
    angle: Angle = Snow.angle
    opacity: ShareRange = Snow.opacity
    flake_brightness: Brightness = Snow.flake_brightness
    transmission: Transmission = Snow.transmission
    airlight: Brightness = Snow.airlight
    relief: ShareRange = Snow.relief


class RaindropSettings(TaskSettings):
    """See ``pipeline.degradations.raindrops``."""

    coverage: ShareRange = Raindrops.coverage
    radius: Annotated[Range, number_range(1, 200, "pixels")] = Raindrops.radius
    magnification: Annotated[Range, number_range(1, 20, "scene pixels per drop pixel")] = Raindrops.magnification
    blur: Annotated[Range, number_range(0, 20, "pixels")] = Raindrops.blur
    brightness: Annotated[Range, number_range(0, 2, "gain")] = Raindrops.brightness


class WeatherSettings(TaskSettings):
    """Each image gets one of ``kinds``, all equally likely; the AllWeather training set mixes all three."""

    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = (
        "rain",
        "snow",
        "raindrops",
    )
    rain: RainSettings = RainSettings()
    snow: SnowSettings = SnowSettings()
    raindrops: RaindropSettings = RaindropSettings()


_KINDS: Mapping[Kind, Callable[[Image, Generator, WeatherSettings], Image]] = {
    "rain": lambda gt, rng, settings: rain(gt, rng, Rain(**dict(settings.rain))),
    "snow": lambda gt, rng, settings: snow(gt, rng, Snow(**dict(settings.snow))),
    "raindrops": lambda gt, rng, settings: raindrops(gt, rng, Raindrops(**dict(settings.raindrops))),
}


def degrade(gt: Image, rng: Generator, settings: WeatherSettings) -> Image:
    """One kind of weather, saved in 8 bits."""
    kind = settings.kinds[draw_int(rng, (0, len(settings.kinds) - 1))]
    return quantize(_KINDS[kind](gt, rng, settings))


def inverse_veil(lq: Image, settings: WeatherSettings) -> Image:
    """Baseline: undo rain's veil, taken as uniform and of the settings' middle strength.

    For a fixed veil that is its exact inverse, with the streaks left in. For a random one it is no more than
    a guess.
    """
    veil = settings.rain
    return remove_uniform_veil(lq, middle(veil.transmission), middle(veil.airlight))


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
)
