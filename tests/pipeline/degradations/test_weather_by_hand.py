"""Every weather equals its formulas written out slowly, draw by draw, at any size; and its defaults are pinned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.random import Generator, Philox

from pipeline.degradations.haze import Haze, haze
from pipeline.degradations.rain import Rain, rain
from pipeline.degradations.raindrops import Raindrops, raindrops
from pipeline.degradations.snow import Snow, snow
from tests.pipeline.degradations import weather_by_hand

VEIL = {"transmission": (0.5, 0.8), "airlight": (0.6, 0.9), "relief": (0.3, 0.9)}
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "haze": (haze, Haze, VEIL),
    "rain": (
        rain, Rain,
        VEIL | {
            "layers": (1, 3), "density": (0.01, 0.03), "length": (4.0, 9.0), "width": (0.8, 1.6),
            "angle": (-35.0, 35.0), "brightness": (0.3, 0.8),
        },
    ),
    "snow": (
        snow, Snow,
        VEIL | {
            "density": (0.01, 0.03), "angle": (-45.0, 45.0), "opacity": (0.6, 1.0), "flake_brightness": (0.8, 1.0)
        },
    ),
    "raindrops": (
        raindrops, Raindrops,
        {
            "coverage": (0.3, 0.6), "radius": (5.0, 8.0), "magnification": (2.0, 6.0), "blur": (0.5, 2.0),
            "brightness": (0.85, 1.15),
        },
    ),
}  # fmt: skip


def scene(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).random(shape, np.float32)


@pytest.mark.parametrize("shape", [(14, 19, 3), (23, 12, 1), (1, 1, 3), (1, 9, 1), (9, 1, 3)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_its_formulas_written_out(kind: str, shape: tuple[int, ...]) -> None:
    spoil, settings, ranges = KINDS[kind]
    for seed in range(3):
        found = spoil(scene(*shape), Generator(Philox(key=seed)), settings(**ranges))
        wanted = getattr(weather_by_hand, kind)(scene(*shape), Generator(Philox(key=seed)), ranges)
        np.testing.assert_allclose(found, wanted, atol=2e-5)
        assert (found.shape, found.dtype) == (shape, np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_of_one_point_is_that_point_in_the_formulas_too(kind: str) -> None:
    spoil, settings, ranges = KINDS[kind]
    fixed = {name: (low, low) for name, (low, _) in ranges.items()}
    found = spoil(scene(12, 12, 3), Generator(Philox(key=9)), settings(**fixed))
    wanted = getattr(weather_by_hand, kind)(scene(12, 12, 3), Generator(Philox(key=9)), fixed)
    np.testing.assert_allclose(found, wanted, atol=2e-5)
