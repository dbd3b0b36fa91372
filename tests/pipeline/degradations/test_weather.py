from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.degradations import streaks
from pipeline.degradations.rain import Rain, rain
from pipeline.degradations.raindrops import Raindrops, raindrops
from pipeline.degradations.snow import Snow, snow
from pipeline.degradations.streaks import particle_layer, stroke_kernel
from pipeline.degradations.veil import add_veil, random_veil, remove_uniform_veil

KINDS = [(rain, Rain()), (snow, Snow()), (raindrops, Raindrops())]


@pytest.mark.parametrize(("spoil", "settings"), KINDS, ids=["rain", "snow", "raindrops"])
def test_spoils_visibly_within_the_unit_interval_and_reproducibly(photo, generator, spoil, settings):
    first, again, other = (spoil(photo, generator(seed), settings) for seed in (1, 1, 2))
    assert first.shape == photo.shape
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1
    assert np.abs(first - photo).mean() > 0.005
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05


@pytest.mark.parametrize(("spoil", "settings"), KINDS, ids=["rain", "snow", "raindrops"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 40, 1)])
def test_any_size_and_gray_images(generator, spoil, settings, shape):
    out = spoil(np.full(shape, 0.5, np.float32), generator(0), settings)
    assert out.shape == shape
    assert np.isfinite(out).all()


def test_veil_follows_the_scattering_model(photo, generator):
    veil = random_veil(generator(0), 64, 80, (0.5, 0.5), (0.8, 0.8), (0.0, 0.0))
    np.testing.assert_allclose(add_veil(photo, veil), 0.5 * photo + 0.4, atol=1e-6)
    np.testing.assert_allclose(remove_uniform_veil(add_veil(photo, veil), 0.5, 0.8), photo, atol=1e-5)


def test_the_inverse_of_a_veil_is_clipped():
    ends = np.array([0.0, 0.1, 1.0], np.float32).reshape(1, 3, 1)
    scene = remove_uniform_veil(ends, 0.5, 0.2)
    np.testing.assert_allclose(scene.ravel(), [0, 0, 1], atol=1e-6)
    assert scene.dtype == np.float32


def test_relief_changes_optical_depth_linearly(generator):
    veil = random_veil(generator(3), 33, 45, (0.6, 0.6), (0.8, 0.8), (0.5, 0.5))
    depth = np.log(veil.transmission[:, :, 0]) / math.log(0.6)
    assert depth[16, 22] == pytest.approx(1.0, abs=1e-4)
    assert depth.min() == pytest.approx(0.5, abs=1e-3)
    assert depth.max() == pytest.approx(1.5, abs=1e-3)
    np.testing.assert_allclose(np.diff(depth, n=2, axis=0), 0, atol=1e-5)


def test_rain_under_a_fixed_veil_only_brightens_behind_it(photo, generator):
    fixed = Rain(transmission=(0.6, 0.6), airlight=(0.85, 0.85), relief=(0.0, 0.0))
    scene = remove_uniform_veil(rain(photo, generator(5), fixed), 0.6, 0.85)
    assert (scene - photo).min() > -1e-4
    untouched = np.abs(scene - photo).max(axis=2) < 1e-4
    assert 0.1 < untouched.mean() < 0.99


def test_no_layers_and_full_transmission_leave_the_image(photo, generator):
    nothing = Rain(layers=(0, 0), transmission=(1.0, 1.0))
    np.testing.assert_allclose(rain(photo, generator(0), nothing), photo, atol=1e-6)


def test_stroke_is_long_along_its_angle_and_narrow_across():
    rows, columns = np.nonzero(stroke_kernel(20.0, 1.5, 0.0) > 0.5)
    assert np.ptp(rows) >= 19
    assert np.ptp(columns) <= 2
    tilted = stroke_kernel(20.0, 1.5, math.radians(90))
    np.testing.assert_allclose(tilted, stroke_kernel(20.0, 1.5, 0.0).T, atol=1e-5)


def test_a_stroke_ends_at_two_deviations_which_still_belong_to_it():
    upright = stroke_kernel(4.0, 1.0, 0.0)
    assert (upright.shape, upright.dtype) == ((7, 7), np.float32)
    across = [0, 0, math.exp(-2), 1, math.exp(-2), 0, 0]
    np.testing.assert_allclose(upright[1:6], [across] * 5, atol=1e-7)
    np.testing.assert_allclose(upright[0], [0, 0, 0, math.exp(-2), 0, 0, 0], atol=1e-7)


def test_layers_are_as_dense_at_the_edges_as_inside(generator):
    dot = stroke_kernel(9.0, 2.0, 0.3)
    layers = [particle_layer(generator(seed), 24, 24, 0.01, dot)[:, :, 0] for seed in range(400)]
    mean = np.mean(layers, axis=0)
    edge = np.concatenate([mean[0], mean[-1], mean[:, 0], mean[:, -1]]).mean()
    assert edge == pytest.approx(mean[8:16, 8:16].mean(), rel=0.12)


def test_the_memory_that_strokes_take_changes_no_layer(generator, monkeypatch):
    dot = stroke_kernel(6.0, 2.0, 0.3)
    whole = particle_layer(generator(1), 30, 20, 0.1, dot)
    for pixels in (1, np.count_nonzero(dot) * 7, np.count_nonzero(dot) * 7 - 1):
        monkeypatch.setattr(streaks, "_CHUNK", pixels)
        np.testing.assert_allclose(particle_layer(generator(1), 30, 20, 0.1, dot), whole, atol=1e-6)


def test_snow_whitens_and_more_of_it_whitens_more(photo, generator):
    def whiteness(density: float) -> float:
        clear = Snow(density=(density, density), transmission=(1.0, 1.0), flake_brightness=(1.0, 1.0))
        snowed = snow(photo, generator(1), clear)
        assert (snowed - photo).min() > -1e-5
        return float((snowed - photo).mean())

    assert 0 < whiteness(0.001) < whiteness(0.01)


def test_raindrops_leave_what_they_do_not_cover(photo, generator):
    few = Raindrops(coverage=(0.1, 0.1), radius=(5.0, 8.0))
    changed = np.abs(raindrops(photo, generator(2), few) - photo).max(axis=2) > 0
    assert 0.03 < changed.mean() < 0.35


def test_a_raindrop_shows_the_scene_upside_down(generator):
    scene = np.repeat(np.linspace(0, 1, 101, dtype=np.float32)[:, None, None], 101, axis=1)
    one = Raindrops(
        coverage=(0.01, 0.01),
        radius=(8.0, 8.0),
        magnification=(2.0, 2.0),
        blur=(0.0, 0.0),
        brightness=(1.0, 1.0),
    )
    # Brightness rises downward in the scene, so it falls downward inside the drop, twice as steeply. A drop
    # whose whole view lies inside the image is wanted: take the first.
    for seed in range(50):
        spoiled = raindrops(scene, generator(seed), one)[:, :, 0]
        rows, columns = np.nonzero(spoiled != scene[:, :, 0])
        if rows.min() > 30 and rows.max() < 70 and columns.min() > 0 and columns.max() < 100:
            break
    else:
        pytest.fail("no seed put the drop near the middle")
    row, column = int(np.median(rows)), int(np.median(columns))
    np.testing.assert_allclose(np.diff(spoiled[row - 3 : row + 4, column]), -0.02, atol=0.002)
