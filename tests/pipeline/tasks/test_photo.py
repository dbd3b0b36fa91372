"""How often and how strongly a photograph is spoiled: counted, and held against what the settings say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.random import Generator, Philox

from pipeline.tasks import TASKS, photo

GRAY = np.full((8, 8, 3), 0.5, np.float32)
TIMES = 4000
NAMES = ("resampled", "noisy", "sharpened", "compressed")


@pytest.fixture
def steps_of(monkeypatch: pytest.MonkeyPatch):
    """Settings -> for each of ``TIMES`` pictures the names of the steps that were taken, in their order."""
    taken: list[list[str]] = []
    for name in NAMES:
        monkeypatch.setattr(photo, name, lambda image, rng, settings, name=name: taken[-1].append(name) or image)

    def count(**values: object) -> list[list[str]]:
        taken.clear()
        settings = TASKS["photo"].parse_settings(values)
        for seed in range(TIMES):
            taken.append([])
            photo.degrade(GRAY, Generator(Philox(key=seed)), settings)
        return list(taken)

    return count


def shares(taken: list[list[str]]) -> dict[str, float]:
    return {name: sum(name in steps for steps in taken) / len(taken) for name in NAMES}


def test_every_step_comes_by_its_share(steps_of) -> None:
    """The defaults, 0.85 of the pictures being spoiled at all; then others, each with a share of its own."""
    expected = {"resampled": 0.34, "noisy": 0.51, "sharpened": 0.255, "compressed": 0.595}
    assert shares(steps_of()) == pytest.approx(expected, abs=0.025)
    given = {"resampling_share": 0.9, "noise_share": 0.1, "sharpening_share": 0.7, "jpeg_share": 0.3}
    expected = {"resampled": 0.9, "noisy": 0.1, "sharpened": 0.7, "compressed": 0.3}
    assert shares(steps_of(clean_share=0, **given)) == pytest.approx(expected, abs=0.025)


def test_a_share_is_a_limit_that_is_never_and_always_kept(steps_of) -> None:
    every = {"clean_share": 0, "resampling_share": 1, "noise_share": 1, "sharpening_share": 1, "jpeg_share": 1}
    assert set(shares(steps_of(**every)).values()) == {1}
    assert set(shares(steps_of(**dict.fromkeys(every, 0))).values()) == {0}
    assert set(shares(steps_of(**{**every, "clean_share": 1})).values()) == {0}


def test_every_order_of_the_steps_is_as_likely(steps_of) -> None:
    every = {"clean_share": 0, "resampling_share": 1, "noise_share": 1, "sharpening_share": 1, "jpeg_share": 1}
    orders = Counter(map(tuple, steps_of(**every)))
    assert len(orders) == 24
    assert max(abs(count - TIMES / 24) for count in orders.values()) < 50  # four deviations


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch):
    """Settings -> the quality and the chroma of ``TIMES`` JPEG files."""

    def save(**values: object) -> tuple[np.ndarray, list[str]]:
        saved = []
        monkeypatch.setattr(photo, "jpeg", lambda image, rng, quality, chroma: saved.append((quality, chroma)) or image)
        settings = TASKS["photo"].parse_settings(values)
        for seed in range(TIMES):
            photo.compressed(GRAY, Generator(Philox(key=seed)), settings)
        assert all(low == high for (low, high), _ in saved)
        return np.array([low for (low, _), _ in saved]), [chroma for _, chroma in saved]

    return save


def test_high_qualities_come_more_often(files) -> None:
    """100 − 90 u² for a uniform u: at the quarters, the half and the ends."""
    qualities, chroma = files()
    assert (qualities.min(), qualities.max()) == (10, 100)
    found = np.quantile(qualities, [0.1, 0.25, 0.5, 0.75, 0.9])
    assert found == pytest.approx([27.1, 49.4, 77.5, 94.4, 99.1], abs=2.5)
    assert Counter(chroma)["4:4:4"] / TIMES == pytest.approx(0.3, abs=0.025)
    assert set(chroma) == {"4:4:4", "4:2:0"}
    _, full = files(full_chroma_share=1)
    _, halved = files(full_chroma_share=0)
    assert (set(full), set(halved)) == ({"4:4:4"}, {"4:2:0"})


def test_a_range_of_one_quality_is_that_quality(files) -> None:
    assert set(files(quality=[75, 75])[0]) == {75}


def test_light_and_mosaic_go_to_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(
        photo, "sensor_noise", lambda image, rng, shot, mosaicked: given.append((shot, mosaicked)) or image
    )
    photo.noisy(GRAY, Generator(Philox(key=0)), TASKS["photo"].parse_settings({"shot": 0.01, "mosaicked_share": 0.75}))
    assert given == [((0.01, 0.01), 0.75)]


def test_sharpening_takes_its_own_radius_and_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(photo, "unsharp_mask", lambda image, radius, amount: given.append((radius, amount)) or image)
    photo.sharpened(GRAY, Generator(Philox(key=0)), TASKS["photo"].parse_settings({"radius": 1.25, "amount": 0.75}))
    assert given == [(1.25, 0.75)]


def test_shrunk_to_a_share_of_each_side_and_enlarged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
        sizes.append((height, width))
        return np.full((height, width, 3), 1.5 - len(sizes), np.float32)

    monkeypatch.setattr(photo, "resize", resize)
    settings = TASKS["photo"].parse_settings({"scale": 0.1})
    for height, width, small in [(40, 60, (4, 6)), (3, 40, (1, 4)), (44, 67, (4, 7))]:
        sizes.clear()
        image = photo.resampled(np.zeros((height, width, 3), np.float32), Generator(Philox(key=0)), settings)
        assert sizes == [small, (height, width)]
        assert (image.min(), image.max()) == (0, 0)  # clipped, as a file would
