"""A photograph and generators for the degradation tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator, Philox
from skimage import data

from pipeline.degradations.image import Image
from pipeline.degradations.quantize import from_uint8


@pytest.fixture(scope="session")
def photo() -> Image:
    """A 64x80 crop of a color photograph, read-only so that no degradation can alter its argument unseen."""
    image = from_uint8(data.astronaut()[60:124, 160:240])
    image.flags.writeable = False
    return image


@pytest.fixture
def generator() -> Callable[[int], Generator]:
    return lambda seed: Generator(Philox(key=seed))


@pytest.fixture
def gray_ramp() -> Image:
    return np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32, 1)
