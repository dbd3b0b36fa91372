"""Gray photographs are told from mosaics of photographs."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from pipeline.degradations.bayer import mosaic
from pipeline.degradations.color import to_gray
from pipeline.degradations.quantize import from_uint8
from pipeline.estimation.mosaic import cannot_be_mosaic

COLOR = {"astronaut": data.astronaut, "chelsea": data.chelsea, "coffee": data.coffee, "rocket": data.rocket}


@pytest.mark.parametrize("name", COLOR)
def test_a_gray_photograph_cannot_be_a_mosaic_and_a_mosaic_can(name):
    photo = from_uint8(COLOR[name]())
    assert cannot_be_mosaic(to_gray(photo))
    assert not cannot_be_mosaic(mosaic(photo))


def test_the_gray_photograph_of_the_package_cannot_be_a_mosaic():
    assert cannot_be_mosaic(from_uint8(data.camera())[:, :, None])


def test_flat_noisy_and_tiny_pictures_say_nothing():
    assert not cannot_be_mosaic(np.full((32, 32, 1), 0.5, np.float32))
    assert not cannot_be_mosaic(np.random.default_rng(0).random((64, 64, 1), np.float32))
    assert not cannot_be_mosaic(np.zeros((8, 64, 1), np.float32))
