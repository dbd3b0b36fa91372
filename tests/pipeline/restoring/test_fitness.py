"""A picture outside what a model was made for is named, once, and only where something is known of both."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.restoring.files import Job
from pipeline.restoring.fitness import misgivings
from pipeline.restoring.picture import Picture
from pipeline.restoring.read import read_picture
from pipeline.restoring.restore_files import restore_files
from pipeline.restoring.restorer import Restorer
from pipeline.tasks import TASKS
from tests.pipeline.restoring.test_restorer import Folder, sealed_model

BOUNDS = {"sigma": (0.0, 50.0), "quality": (10.0, 40.0)}


def jpeg(quality: int) -> bytes:
    rows, columns = np.mgrid[0:64, 0:80]
    waves = (127 + 80 * np.sin(rows / 5) * np.cos(columns / 7)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.stack([waves] * 3, axis=2)).save(out, format="JPEG", quality=quality)
    return out.getvalue()


@pytest.mark.parametrize(("quality", "outside"), [(5, True), (10, False), (40, False), (90, True)])
def test_a_jpeg_file_s_quality_is_read_and_compared(quality: int, outside: bool) -> None:
    picture = read_picture(jpeg(quality))
    assert picture.jpeg_quality == quality
    said = misgivings(picture, BOUNDS)
    assert said == ((f"may not help: its JPEG quality is about {quality}, the model knows 10 to 40",) * outside)
    assert misgivings(picture, {}) == ()


def test_noise_is_told_from_the_middle_of_a_large_picture() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((40, 1400, 3), 0.5, np.float32)
    pixels[:, :180] += rng.normal(0, 90 / 255, (40, 180, 3))  # outside the middle
    assert misgivings(Picture(pixels=pixels, alpha=None, bits=8, file_format="PNG"), BOUNDS) == ()
    pixels += rng.normal(0, 90 / 255, pixels.shape)
    said = misgivings(Picture(pixels=pixels, alpha=None, bits=8, file_format="PNG"), BOUNDS)
    assert len(said) == 1
    assert "its noise is about" in said[0]


def test_the_bounds_travel_with_the_model_and_the_line_with_the_file(model_folder: Folder, tmp_path: Path) -> None:
    task = TASKS["jpeg_color"]
    bounds = task.bounds(task.parse_settings({"quality": [10, 40]}))
    restorer = Restorer(sealed_model(model_folder(), "jpeg_color", tmp_path / "sealed", bounds), device="cpu")
    assert restorer.bounds == {"quality": (10, 40)}
    (tmp_path / "fine.jpg").write_bytes(jpeg(95))
    (outcome,) = restore_files(restorer, [Job(tmp_path / "fine.jpg", tmp_path / "out.jpg")])
    assert outcome.problem == ""
    assert outcome.notes == ("may not help: its JPEG quality is about 95, the model knows 10 to 40",)


def test_what_tasks_know_of_their_bounds() -> None:
    known = {name: dict(task.bounds(task.parse_settings())) for name, task in TASKS.items()}
    assert known["denoising_gray"] == {"sigma": (0.0, 50.0)}
    assert known["jpeg_gray"] == {"quality": (10, 40)}
    assert known["photo"] == {"quality": (10, 100)}
    assert known["unified_color"] == {"sigma": (0.0, 50.0), "quality": (10, 100)}
    assert known["sr_x2"] == known["weather"] == {}
    only_noise = TASKS["unified_gray"].parse_settings({"weights": {"denoising": 1}})
    assert dict(TASKS["unified_gray"].bounds(only_noise)) == {"sigma": (0.0, 50.0)}
