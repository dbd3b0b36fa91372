"""When dictionaries are built anew."""

from __future__ import annotations

import numpy as np
import pytest

import semanir
from pipeline.video.scene import Scene, block_means


def flat(level: float) -> np.ndarray:
    return np.full((40, 56, 3), level / 255, np.float32)


def built(levels: list[float], every: int = 99) -> list[bool]:
    scene = Scene(semanir.Dictionaries(), every)
    return [scene.look(flat(level)) for level in levels]


def test_a_change_of_more_than_six_levels_ends_a_scene() -> None:
    assert built([100, 105.9, 94.1, 106.1, 106.1]) == [True, False, False, True, False]


def test_a_slow_change_ends_it_too() -> None:
    assert built([100, 103, 105, 107, 109]) == [True, False, False, True, False]


def test_every_so_many_frames_they_are_built_anew() -> None:
    assert built([100] * 7, every=3) == [True, False, False, True, False, False, True]
    assert built([100] * 3, every=1) == [True, True, True]


def test_noise_is_no_change() -> None:
    rng = np.random.default_rng(0)
    scene = Scene(semanir.Dictionaries(), 99)
    noisy = [flat(100) + rng.normal(0, 25 / 255, (40, 56, 3)).astype(np.float32) for _ in range(5)]
    assert [scene.look(frame) for frame in noisy] == [True, False, False, False, False]


def test_a_restart_builds_anew_and_forgets() -> None:
    kept = semanir.Dictionaries()
    scene = Scene(kept, 99)
    scene.look(flat(1))
    mine = kept.of_tile((0, 0))
    scene.look(flat(1))
    assert kept.of_tile((0, 0)) is mine
    scene.restart()
    assert scene.look(flat(1))
    assert kept.of_tile((0, 0)) is not mine


def test_means_of_blocks() -> None:
    pixels = np.zeros((20, 16, 1), np.float32)
    pixels[:16] = 1.0
    pixels[16:, :4] = 1.0
    assert block_means(pixels) == pytest.approx(np.array([[255.0], [63.75]]))
