"""Softness is a Gaussian of the drawn width, out to four deviations, mirrored at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.degradations.soft import soft_reach, soften


@pytest.mark.parametrize("shape", [(11, 14, 3), (9, 12, 1)], ids=str)
def test_it_is_its_formula_written_out(generator, shape):
    image, rng = np.random.default_rng(1).random(shape, np.float32), generator(6)
    sigma = 0.6 + 0.9 * rng.random()
    reach = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    wanted = np.pad(image.astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    for axis in (0, 1):
        wanted = np.apply_along_axis(np.convolve, axis, wanted, taps / taps.sum(), mode="valid")
    soft = soften(image, generator(6), (0.6, 1.5))
    np.testing.assert_allclose(soft, wanted, atol=1e-5)
    assert soft.dtype == np.float32


def test_nothing_is_drawn_from_farther_than_the_reach():
    for sigma in ((0.0, 0.0), (0.0, 0.5), (0.2, 1.3)):
        assert soft_reach(sigma) == math.ceil(4 * sigma[1]) >= int(4 * sigma[1] + 0.5)
