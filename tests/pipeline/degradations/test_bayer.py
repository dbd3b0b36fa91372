"""The vectorized demosaickings against slow loops written from the papers' prose, and exact cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.degradations.bayer import demosaic_bilinear, demosaic_malvar, mosaic

RGGB = [[0, 1], [1, 2]]
ALPHA, BETA, GAMMA = 1 / 2, 5 / 8, 3 / 4  # gains of Malvar, He and Cutler, section 2


def color(row: int, column: int) -> int:
    return RGGB[row % 2][column % 2]


def mirror(index: int, size: int) -> int:
    """Back and forth between the first and the last, as often as it takes."""
    while not 0 <= index < size:
        index = -index if index < 0 else 2 * (size - 1) - index
    return index


def sample(recorded: np.ndarray, row: int, column: int) -> float:
    height, width = recorded.shape[:2]
    return float(recorded[mirror(row, height), mirror(column, width), 0])


def neighbors(recorded: np.ndarray, row: int, column: int, wanted: int) -> list[float]:
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return [sample(recorded, row + dy, column + dx) for dy, dx in offsets if color(row + dy, column + dx) == wanted]


def laplacian(recorded: np.ndarray, row: int, column: int, here: int) -> float:
    """Of the site's own color over its four nearest like-colored samples on the axes two pixels away."""
    near = [(-2, 0), (2, 0), (0, -2), (0, 2)]
    assert all(color(row + dy, column + dx) == here for dy, dx in near)
    return sample(recorded, row, column) - float(np.mean([sample(recorded, row + y, column + x) for y, x in near]))


def green_gradient(recorded: np.ndarray, row: int, column: int, horizontal: bool) -> float:
    """Malvar's 9-point correction at a green site: -1 diagonal and along, +1/2 across, over 5."""
    along = [(0, -2), (0, 2)] if horizontal else [(-2, 0), (2, 0)]
    across = [(-2, 0), (2, 0)] if horizontal else [(0, -2), (0, 2)]
    diagonal = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    total = 5 * sample(recorded, row, column)
    total -= sum(sample(recorded, row + y, column + x) for y, x in along + diagonal)
    total += 0.5 * sum(sample(recorded, row + y, column + x) for y, x in across)
    return total / 5


def slow_malvar(recorded: np.ndarray) -> np.ndarray:
    height, width = recorded.shape[:2]
    out = np.zeros((height, width, 3))
    for row in range(height):
        for column in range(width):
            here = color(row, column)
            for wanted in range(3):
                value = float(np.mean(neighbors(recorded, row, column, wanted)))
                if wanted == here:
                    value = sample(recorded, row, column)
                elif here == 1:
                    value += BETA * green_gradient(recorded, row, column, color(row, column + 1) == wanted)
                else:
                    gain = ALPHA if wanted == 1 else GAMMA
                    value += gain * laplacian(recorded, row, column, here)
                out[row, column, wanted] = value
    return out


def slow_bilinear(recorded: np.ndarray) -> np.ndarray:
    height, width = recorded.shape[:2]
    out = np.zeros((height, width, 3))
    for row in range(height):
        for column in range(width):
            for wanted in range(3):
                own = wanted == color(row, column)
                near = [sample(recorded, row, column)] if own else neighbors(recorded, row, column, wanted)
                out[row, column, wanted] = np.mean(near)
    return out


@pytest.mark.parametrize("size", [(8, 10), (9, 7), (4, 5)])
def test_equal_slow_loops(generator, size):
    recorded = generator(2).random((*size, 1), dtype=np.float32)
    np.testing.assert_allclose(demosaic_bilinear(recorded), slow_bilinear(recorded), atol=1e-6)
    np.testing.assert_allclose(demosaic_malvar(recorded), np.clip(slow_malvar(recorded), 0, 1), atol=1e-6)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**32))
def test_recorded_samples_survive(height, width, seed):
    image = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    recorded = mosaic(image)
    assert (recorded.shape, recorded.dtype) == ((height, width, 1), np.float32)
    for restored in (demosaic_bilinear(recorded), demosaic_malvar(recorded)):
        np.testing.assert_allclose(mosaic(restored), recorded, atol=1e-6)
        assert (restored.shape, restored.dtype) == (image.shape, np.float32)


def test_a_flat_color_is_restored_exactly():
    flat = np.tile(np.array([0.2, 0.5, 0.7], np.float32), (6, 8, 1))
    np.testing.assert_allclose(demosaic_bilinear(mosaic(flat)), flat, atol=1e-6)
    gray = np.full((6, 8, 3), 0.4, np.float32)
    np.testing.assert_allclose(demosaic_malvar(mosaic(gray)), gray, atol=1e-6)


def test_too_small_or_colored_mosaics_are_refused():
    with pytest.raises(ValueError, match="at least 2x2"):
        demosaic_malvar(np.zeros((1, 8, 1), np.float32))
    with pytest.raises(ValueError, match=r"shape \(8, 8, 3\)"):
        demosaic_bilinear(np.zeros((8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"shape \(8, 8, 1\)"):
        mosaic(np.zeros((8, 8, 1), np.float32))
