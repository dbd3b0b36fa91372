from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import semanir
from pipeline.errors import UserError
from pipeline.registry import AlteredModelError, ModelCard
from pipeline.registry.seal import seal
from pipeline.restoring.picture import Picture, UnusableImageError
from pipeline.restoring.restorer import Restorer
from pipeline.tasks import TASKS
from pipeline.tasks.base import Bounds
from tests.pipeline.held_out import held_out

Folder = Callable[..., Path]


def picture(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    return Picture(pixels=pixels.astype(np.float32), alpha=alpha, bits=8, file_format="PNG")


def sealed_model(source: Path, task: str, destination: Path, bounds: Bounds | None = None) -> Path:
    scores = held_out(("a", 1.0, 2.0), baseline="b")
    card = ModelCard(
        task=task, setting="s", trained_on="t", protocol="p", baseline="b", scores=scores, steps=1,
        data_fingerprint="d", git_commit="g", fingerprint="f", bounds=bounds or {},
    )  # fmt: skip
    seal(source, TASKS[task], card, destination)
    return destination


def test_a_picture_is_what_the_model_gives(model_folder: Folder, rng: np.random.Generator) -> None:
    folder = model_folder()
    pixels = rng.random((23, 31, 3), np.float32)
    restored = Restorer(folder, k=5, device="cpu").restore(picture(pixels))
    x = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        expected = semanir.load(folder)(x, k=5)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(restored.pixels, expected)


def test_super_resolution_enlarges_alpha_too(model_folder: Folder, rng: np.random.Generator) -> None:
    alpha = np.zeros((14, 17), np.float32)
    alpha[:, 9:] = 1
    restored = Restorer(model_folder(upscale=2), device="cpu").restore(picture(rng.random((14, 17, 3)), alpha))
    assert restored.pixels.shape == (28, 34, 3)
    assert restored.alpha is not None
    assert restored.alpha.shape == (28, 34)
    assert np.all(restored.alpha[:, :14] == 0)
    assert np.all(restored.alpha[:, 22:] == 1)


def test_tiles_cover_what_the_whole_image_does(model_folder: Folder, rng: np.random.Generator) -> None:
    folder, pixels = model_folder(untrained=True), rng.random((75, 61, 3), np.float32)
    tiled = Restorer(folder, tile=32, overlap=16, device="cpu").restore(picture(pixels))
    np.testing.assert_allclose(tiled.pixels, pixels, atol=1e-6)  # the identity model: tiles sum to one


def test_channels_that_do_not_match(model_folder: Folder, rng: np.random.Generator) -> None:
    gray = rng.random((16, 20, 1), np.float32)
    color_model = Restorer(model_folder(channels=3), device="cpu")
    gray_model = Restorer(model_folder(channels=1), device="cpu")
    assert color_model.restore(picture(gray)).pixels.shape == (16, 20, 1)
    stored_as_rgb = gray_model.restore(picture(np.repeat(gray, 3, axis=2))).pixels
    np.testing.assert_array_equal(stored_as_rgb, np.repeat(gray_model.restore(picture(gray)).pixels, 3, axis=2))
    with pytest.raises(UnusableImageError, match="this model restores gray images"):
        gray_model.restore(picture(rng.random((16, 20, 3))))


def test_a_demosaicking_model_takes_the_mosaic(model_folder: Folder, rng: np.random.Generator, tmp_path: Path) -> None:
    restorer = Restorer(sealed_model(model_folder(), "demosaicking", tmp_path / "sealed"), device="cpu")
    mosaic = rng.random((17, 21, 1), np.float32)
    from_mosaic = restorer.restore(picture(mosaic)).pixels
    assert from_mosaic.shape == (17, 21, 3)
    malvar = TASKS["demosaicking"].to_input(mosaic)
    np.testing.assert_array_equal(from_mosaic, restorer.restore(picture(malvar)).pixels)
    with pytest.raises(UnusableImageError, match="at least 2x2"):
        restorer.restore(picture(mosaic[:1]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "dejittering"}, r"task 'dejittering' is unknown to this program"),
        ({"observed_channels": 2}, "observed_channels 2"),
        ({"task": "denoising_gray"}, "observed_channels 1 become 1 for denoising_gray; the model takes 3"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_task_that_gives_no_input_of_the_model_is_refused(
    change: dict[str, object], said: str, model_folder: Folder, tmp_path: Path
) -> None:
    folder = sealed_model(model_folder(), "demosaicking", tmp_path / "sealed")
    record = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(UserError, match=said) as raised:
        Restorer(folder, device="cpu")
    assert "task.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_ordinary_gray_picture_is_not_demosaicked_unasked(model_folder: Folder, tmp_path: Path) -> None:
    folder = sealed_model(model_folder(), "demosaicking", tmp_path / "sealed")
    scan = picture(np.tile(np.linspace(0, 1, 40, dtype=np.float32)[:, None, None], (1, 32, 1)))
    with pytest.raises(UnusableImageError, match="give --as-mosaic"):
        Restorer(folder, device="cpu").restore(scan)
    assert Restorer(folder, device="cpu", as_mosaic=True).restore(scan).pixels.shape == (40, 32, 3)


@pytest.mark.parametrize("task", [None, "denoising_color", "demosaicking", "sr_x2"])
def test_strength_mixes_with_the_task_s_baseline(
    task: str | None, model_folder: Folder, rng: np.random.Generator, tmp_path: Path
) -> None:
    folder = model_folder(upscale=2 if task == "sr_x2" else 1)
    if task is not None:
        folder = sealed_model(folder, task, tmp_path / "sealed")
    given = picture(rng.random((18, 22, 1 if task == "demosaicking" else 3)))
    none, half, full = (
        Restorer(folder, device="cpu", strength=strength).restore(given).pixels for strength in (0, 0.5, 1)
    )
    before = given.pixels if task is None else TASKS[task].to_input(given.pixels)
    if task == "sr_x2":
        before = TASKS[task].baselines["bicubic"](given.pixels, TASKS[task].settings())
    np.testing.assert_allclose(none, before, atol=1e-6)
    np.testing.assert_allclose(half, (before + full) / 2, atol=1e-6)
    assert np.abs(full - before).max() > 1e-3


def test_a_gray_picture_stays_gray_at_every_strength(model_folder: Folder, rng: np.random.Generator) -> None:
    given = picture(rng.random((16, 20, 1)))
    restorer = Restorer(model_folder(), device="cpu", strength=0)
    np.testing.assert_allclose(restorer.restore(given).pixels, given.pixels, atol=1e-6)


def test_enlarging_without_a_task_cannot_be_mixed(model_folder: Folder) -> None:
    with pytest.raises(UserError, match="nothing of its size to mix with"):
        Restorer(model_folder(upscale=2), strength=0.5)


def test_a_model_that_computes_otherwise_is_refused(model_folder: Folder, tmp_path: Path) -> None:
    folder = sealed_model(model_folder(), "denoising_color", tmp_path / "sealed")
    Restorer(folder, device="cpu")
    other = semanir.create_model("ushape_tiny", zero_init_last=False)
    semanir.save(other, tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(AlteredModelError, match="does not compute what it did"):
        Restorer(folder, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 100_000}, "k is 100000"),
        ({"tile": 5}, "tile 5 with overlap 32: this model takes tiles of at least"),
        ({"tile": -1}, "tile -1"),
        ({"overlap": -4}, "^overlap -4 is negative: neighboring tiles share 0 pixels or more$"),
        ({"tile": 0, "overlap": -4}, "overlap -4 is negative"),
        ({"strength": 1.01}, "strength 1.01: wanted 0"),
        ({"strength": float("nan")}, "strength nan"),
        ({"device": "abacus"}, "device 'abacus' is unknown"),
        ({"device": "cuda:99"}, "CUDA devices; use auto or cpu"),
    ],
)
def test_options_out_of_range_are_named(
    model_folder: Folder, options: dict[str, int | float | str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Restorer(model_folder(), **options)  # type: ignore[arg-type]
