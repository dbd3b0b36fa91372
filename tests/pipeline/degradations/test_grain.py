"""Film grain differs from noise in what a model can see: neighbors and channels share it; and the job that adds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs import add_grain
from pipeline.degradations.grain import film_grain
from pipeline.degradations.quantize import from_uint8


def test_strength_and_kinship(generator):
    flat = np.full((96, 96, 3), 0.5, np.float32)
    grain = (film_grain(flat, generator(1), (4.0, 4.0), (0.8, 0.8)) - flat) * 255
    assert grain.std() == pytest.approx(4.0, rel=0.02)
    beside = np.corrcoef(grain[:, 1:, 0].ravel(), grain[:, :-1, 0].ravel())[0, 1]
    across = np.corrcoef(grain[..., 0].ravel(), grain[..., 1].ravel())[0, 1]
    assert beside == pytest.approx(np.exp(-1 / (4 * 0.8**2)), abs=0.06)  # of a Gaussian blur's noise
    assert across == pytest.approx(1 / (1 + 0.4**2), abs=0.03)  # each channel has 0.4 of its own


def test_black_and_white_have_less_of_it(generator):
    image = np.repeat(np.array([0.02, 0.5, 0.98], np.float32), 64)[None, :, None].repeat(64, 0).repeat(3, 2)
    grain = film_grain(image, generator(2), (5.0, 5.0), (0.5, 0.5)) - image
    black, middle, white = (grain[:, 64 * i : 64 * i + 64].std() for i in range(3))
    assert max(black, white) < 0.6 * middle


def test_the_job_makes_the_same_copies_again(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.full((40, 50, 3), 120, np.uint8)).save(photos / "flat.png")
    for name in ("a", "b"):
        assert add_grain.main([str(photos), str(tmp_path / name)]) == 0
    copies = [np.asarray(Image.open(tmp_path / name / "flat_grain.png")) for name in ("a", "b")]
    assert np.array_equal(*copies)
    assert 1.5 < 255 * (from_uint8(copies[0]) - 120 / 255).std() < 6.5


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add_grain.main([str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "is no folder" in capsys.readouterr().err
