"""One image: what is observed, how it is restored and measured, and that training's scorer is the tables'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import semanir
from pipeline.errors import UserError
from pipeline.metrics.catalog import Yardstick, measure
from pipeline.metrics.psnr_b import psnr_b
from pipeline.metrics.psnr_ssim import psnr, ssim
from pipeline.scoring.evaluator import score_restored
from pipeline.scoring.observe import observe
from pipeline.scoring.restore_array import restore_image
from pipeline.tasks import TASKS

NOISE, JPEG, SR = TASKS["denoising_color"], TASKS["jpeg_gray"], TASKS["sr_x2"]
SIGMA = NOISE.parse_settings({"sigma": 25})


@pytest.fixture
def clean() -> np.ndarray:
    return np.random.default_rng(0).random((33, 40, 3), np.float32)


def test_the_noise_depends_on_the_image_number_alone(clean: np.ndarray) -> None:
    first, _ = observe(NOISE, SIGMA, clean, None, index=3, key="a")
    again, gt = observe(NOISE, SIGMA, clean, None, index=3, key="b")
    other, _ = observe(NOISE, SIGMA, clean, None, index=4, key="a")
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(gt, clean)
    assert not np.array_equal(first, other)
    assert np.std(first - clean) * 255 == pytest.approx(25, rel=0.05)
    # The documented seed: anyone can draw the same noise without this project.
    generator = np.random.Generator(np.random.Philox(key=np.array([0, 3], np.uint64), counter=np.zeros(4, np.uint64)))
    generator.random()  # the draw of sigma from its range
    expected = clean + (25 / 255) * generator.standard_normal(clean.shape, dtype=np.float32)
    np.testing.assert_allclose(first, expected, atol=1e-6)


def test_pairs_are_taken_as_they_are_and_must_belong_together(clean: np.ndarray) -> None:
    degraded = clean * 0.5
    lq, gt = observe(NOISE, SIGMA, clean, degraded, index=0, key="a")
    np.testing.assert_array_equal(lq, degraded)
    np.testing.assert_array_equal(gt, clean)
    gray, _ = observe(TASKS["denoising_gray"], SIGMA, clean, degraded, index=0, key="a")
    assert gray.shape == (33, 40, 1)
    with pytest.raises(UserError, match=r"image 'a': its degraded partner is 40x33, sr_x2 needs 20x16"):
        observe(SR, SR.parse_settings(), clean, degraded, index=0, key="a")


def test_all_figures_are_the_metrics_of_the_convention(clean: np.ndarray) -> None:
    setting = JPEG.parse_settings({"quality": 10})
    lq, gt = observe(JPEG, setting, clean, None, index=0, key="a")
    assert (
        measure(lq, gt, Yardstick(JPEG.convention)).items()
        >= {
            "psnr_db": psnr(lq, gt, JPEG.convention),
            "ssim_valid": ssim(lq, gt, JPEG.convention, "valid"),
            "ssim_same": ssim(lq, gt, JPEG.convention, "same"),
            "psnr_b_db": psnr_b(lq, gt, JPEG.convention),
        }.items()
    )
    assert "psnr_b_db" not in measure(clean, clean * 0.9, Yardstick(NOISE.convention))
    with pytest.raises(ValueError, match="SSIM needs at least 11x11"):
        measure(clean[:8], clean[:8], Yardstick(NOISE.convention))


def test_the_self_ensemble_is_the_mean_over_eight_views(model_folder: Callable[..., Path], clean: np.ndarray) -> None:
    model = semanir.load(model_folder("columnar_tiny"))
    x = torch.from_numpy(clean.transpose(2, 0, 1).copy())[None]
    views = []
    with torch.inference_mode():
        for transpose in (False, True):
            for axes in ([], [2], [3], [2, 3]):
                view = (x.mT if transpose else x).flip(axes)
                back = semanir.restore_tiled(model, view, 256, 32).flip(axes)
                views.append(back.mT if transpose else back)
    expected = torch.stack(views).mean(0).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    ensemble = restore_image(model, clean, self_ensemble=True)
    np.testing.assert_allclose(ensemble, expected, atol=2e-6)
    assert np.abs(ensemble - restore_image(model, clean)).max() > 1e-4


def test_a_published_size_gets_a_tile_that_its_windows_allow() -> None:
    model = semanir.create_model("ushape_base", embed_dim=4, num_heads=1, depths=(1,) * 7, bias_hidden_dim=4).eval()
    assert restore_image(model, np.full((16, 12, 3), 0.5, np.float32), k=2).shape == (16, 12, 3)


def test_training_scores_as_the_tables_do(model_folder: Callable[..., Path], clean: np.ndarray) -> None:
    model = semanir.load(model_folder())
    score = score_restored(model, NOISE, SIGMA, clean, None, index=5, key="a", k=7)
    lq, gt = observe(NOISE, SIGMA, clean, None, index=5, key="a")
    assert score.psnr_db == measure(restore_image(model, lq, 7), gt, Yardstick(NOISE.convention))["psnr_db"]
    assert (score.index, score.key, score.method, score.k) == (5, "a", "restored", 7)


def test_an_overlap_above_the_usual_tile_gets_a_tile_that_holds_it(model_folder: Callable[..., Path]) -> None:
    model, image = semanir.load(model_folder()), np.full((16, 12, 3), 0.5, np.float32)
    np.testing.assert_array_equal(restore_image(model, image, overlap=300), restore_image(model, image))
