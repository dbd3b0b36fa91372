from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, Philox

from pipeline.degradations.blur import blur
from pipeline.degradations.motion_kernel import random_motion_kernel, random_trajectory, rasterize


def center_of_mass(kernel: np.ndarray) -> np.ndarray:
    radius = kernel.shape[0] // 2
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.array([(kernel * rows).sum(), (kernel * columns).sum()])


@given(st.integers(0, 2**63), st.floats(1, 200), st.integers(1, 20).map(lambda radius: 2 * radius + 1))
def test_kernels_are_centered_averages(seed, length, max_size):
    kernel = random_motion_kernel(Generator(Philox(key=seed)), (length, length), max_size)
    assert kernel.dtype == np.float32
    assert kernel.shape[0] == kernel.shape[1] <= max_size
    assert kernel.shape[0] % 2 == 1
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(center_of_mass(kernel), 0, atol=1e-3)


def test_path_has_the_stated_length_at_constant_speed(generator):
    steps = np.abs(np.diff(random_trajectory(generator(4), 40.0)))
    assert steps.sum() == pytest.approx(40.0)
    np.testing.assert_allclose(steps, steps[0])


def test_seeds_give_different_shakes_and_equal_seeds_the_same(generator):
    first, again, other = (random_trajectory(generator(seed), 30.0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.5


def walked(rng: Generator, length: float) -> list[tuple[float, float]]:
    """DeblurGAN's generator of trajectories, (column, row) of each of 257 times; its strengths hold for 2,000 steps."""
    times, longer = 256, 2000 / 256
    pull = 0.7 * rng.random() * 0.005 * longer
    tremor = 10 * rng.random() * 0.005 * longer**0.5
    often = 0.2 * rng.random() * 0.005 * longer
    angle = 2 * math.pi * rng.random()
    jerks, turns = rng.random(times), rng.random(times)
    shakes = rng.standard_normal((2, times))
    x = y = 0.0
    dx, dy = math.cos(angle), math.sin(angle)
    path = [(x, y)]
    for time in range(times):
        ax, ay = tremor * shakes[0, time] - pull * x, tremor * shakes[1, time] - pull * y
        if jerks[time] < often:
            turn = math.pi + turns[time] - 0.5
            ax += 2 * (dx * math.cos(turn) - dy * math.sin(turn))
            ay += 2 * (dx * math.sin(turn) + dy * math.cos(turn))
        speed = math.hypot(dx + ax, dy + ay)
        dx, dy = (dx + ax) / speed, (dy + ay) / speed
        x, y = x + dx * length / times, y + dy * length / times
        path.append((x, y))
    return path


def test_the_path_is_the_source_s_written_out(generator):
    jerked = 0
    for seed in range(12):
        found = random_trajectory(generator(seed), 30.0)
        np.testing.assert_allclose(np.stack([found.real, found.imag], axis=1), walked(generator(seed), 30.0), atol=1e-9)
        turns = np.diff(found)
        jerked += int((np.abs(np.angle(turns[1:] / turns[:-1])) > 2).sum())
    assert jerked, "no path of these was jerked"


@pytest.mark.parametrize(("length", "max_size"), [(0.5, 3), (20.0, 31), (20.0, 7), (60.0, 9)])
def test_a_kernel_is_the_time_spent_at_each_pixel(generator, length, max_size):
    path = random_trajectory(generator(3), length)
    column, row = path.real - path.real.mean(), path.imag - path.imag.mean()
    farthest = max(abs(column).max(), abs(row).max())
    if farthest > max_size // 2 - 0.001:
        column, row = (each * (max_size // 2 - 0.001) / farthest for each in (column, row))
    radius = math.floor(max(abs(column).max(), abs(row).max())) + 1
    wanted = np.zeros((2 * radius + 1, 2 * radius + 1))
    for x, y in zip(column + radius, row + radius, strict=True):
        for down in range(math.floor(y), math.floor(y) + 2):
            for across in range(math.floor(x), math.floor(x) + 2):
                wanted[down, across] += (1 - abs(y - down)) * (1 - abs(x - across)) / len(path)
    np.testing.assert_allclose(rasterize(path, max_size), wanted, atol=1e-6)


@pytest.mark.parametrize("max_size", [-1, 0, 1, 2, 4])
def test_a_kernel_has_an_odd_size_from_3(generator, max_size):
    with pytest.raises(ValueError, match="odd size of at least 3"):
        random_motion_kernel(generator(0), (9.0, 9.0), max_size)
    assert random_motion_kernel(generator(0), (9.0, 9.0), 3).shape == (3, 3)


def test_positions_are_spread_bilinearly():
    # Between the pixels 0 and 1 of a row, a quarter of the way, mirrored about the mean.
    kernel = rasterize(np.array([-0.75 + 0j, 0.75 + 0j]), 31)
    np.testing.assert_allclose(kernel, [[0, 0, 0], [0.375, 0.25, 0.375], [0, 0, 0]], atol=1e-6)


def test_blur_equals_a_slow_mirrored_sum(generator):
    image = generator(0).random((9, 7, 3), dtype=np.float32)
    kernel = random_motion_kernel(generator(1), (12.0, 12.0), 7)
    radius = kernel.shape[0] // 2
    expected = np.zeros_like(image)
    for row in range(9):
        for column in range(7):
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    # Convolution: the kernel is flipped. Edges repeat mirrored, the edge pixel included.
                    y, x = row - dy, column - dx
                    y = -1 - y if y < 0 else 17 - y if y >= 9 else y
                    x = -1 - x if x < 0 else 13 - x if x >= 7 else x
                    expected[row, column] += kernel[dy + radius, dx + radius] * image[y, x]
    np.testing.assert_allclose(blur(image, kernel), expected, atol=1e-5)


def test_blur_of_a_kernel_larger_than_the_image(generator):
    flat = np.full((5, 6, 1), 0.3, np.float32)
    kernel = random_motion_kernel(generator(2), (80.0, 80.0), 31)
    np.testing.assert_allclose(blur(flat, kernel), flat, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        (np.full((2, 2), 0.25, np.float32), "odd size"),
        (np.full((3, 3), 1.0, np.float32), "sums to 9"),
        (np.full((3, 5), 1 / 15, np.float32), "odd size"),
        (np.full((3, 3, 3), 1 / 27, np.float32), "odd size"),
        (np.full((3, 3), 1.002 / 9), "sums to 1.002"),
        (np.full((3, 3), 0.998 / 9), "sums to 0.998"),
        (np.array([[0, 0, 0], [1, 1, -1], [0, 0, 0]], np.float32), "negative"),
        (np.array([[0, 0, 0], [1, np.nan, 0], [0, 0, 0]], np.float32), "non-finite"),
    ],
)
def test_unusable_kernels_are_refused(photo, kernel, complaint):
    with pytest.raises(ValueError, match=complaint):
        blur(photo, kernel)


def test_a_kernel_may_miss_one_by_a_thousandth():
    for total in (1.0009, 0.9991):
        blurred = blur(np.full((4, 4, 1), 0.5, np.float32), np.full((3, 3), total / 9))
        np.testing.assert_allclose(blurred, 0.5 * total, rtol=1e-5)
        assert blurred.dtype == np.float32
