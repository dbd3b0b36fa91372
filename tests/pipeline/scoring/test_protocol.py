"""The all-in-one papers' rules, against scikit-image and values worked out by hand; old evaluations keep their name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.errors import UserError
from pipeline.evaluation.all_in_one import all_in_one_rows, load_all_in_one
from pipeline.evaluation.summary import table
from pipeline.metrics.psnr_ssim import psnr
from pipeline.scoring.evaluator import ImageJob, evaluate_image
from pipeline.scoring.plan import make_plan
from pipeline.scoring.protocol import ALL_IN_ONE, PROTOCOLS
from pipeline.scoring.record import means
from pipeline.tasks import TASKS

RULES = PROTOCOLS[ALL_IN_ONE]


@pytest.fixture
def image_set(tmp_path: Path) -> str:
    from PIL import Image

    rng = np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    Image.fromarray(rng.integers(0, 256, (37, 51, 3), np.uint8)).save(tmp_path / "in" / "one.png")
    pack_dataset(folder_sources(str(tmp_path / "in")), str(tmp_path / "set"))
    return str(tmp_path / "set")


def test_psnr_is_of_float_values_clipped_and_not_rounded() -> None:
    rng = np.random.default_rng(1)
    gt = np.rint(rng.random((20, 24, 3)) * 255).astype(np.float32) / 255
    restored = (gt + rng.normal(0, 0.0007, gt.shape)).astype(np.float32)  # a fifth of a level: rounding undoes it
    found = psnr(restored, gt, RULES.convention(TASKS["weather"]))  # whose own figures are of Y
    assert found == pytest.approx(peak_signal_noise_ratio(gt, restored.clip(0, 1), data_range=1), abs=1e-3)
    assert psnr(restored, gt, replace(RULES, rounded=True).convention(TASKS["weather"])) > found + 5


@pytest.mark.parametrize(("side", "first", "last"), [(16, 0, 15), (17, 0, 15), (37, 2, 33), (47, 7, 38), (321, 0, 319)])
def test_images_are_cut_about_their_middle(side: int, first: int, last: int) -> None:
    image = np.arange(side, dtype=np.float32)[:, None, None] * np.ones((1, 16, 3), np.float32)
    cut = RULES.crop(image)
    assert cut.shape[0] % 16 == 0
    assert (cut[0, 0, 0], cut[-1, 0, 0]) == (first, last)


def test_rows_and_columns_are_cut_each_by_its_own_remainder() -> None:
    image = np.arange(37)[:, None, None] * 100.0 + np.arange(54)[None, :, None]
    cut = RULES.crop(image)
    assert cut.shape == (32, 48, 1)
    assert (cut[0, 0, 0], cut[-1, -1, 0]) == (203, 3350)  # rows 2 to 33, columns 3 to 50
    wide = RULES.crop(np.zeros((16, 16 + 15, 1)))
    assert wide.shape == (16, 16, 1)


def test_a_protocol_may_round_or_not_by_a_task_s_own_convention() -> None:
    own = TASKS["sr_x2"].convention
    for rounded in (True, False):
        rules = replace(PROTOCOLS["benchmark"], rounded=rounded)
        assert rules.convention(TASKS["sr_x2"]) == replace(own, rounded=rounded)


def test_too_small_an_image_is_a_users_error() -> None:
    with pytest.raises(UserError, match="15x40 is too small for the protocol all_in_one: it needs at least 16x16"):
        RULES.crop(np.zeros((15, 40, 3), np.float32))


def test_noise_is_truncated_wherever_a_task_draws_it() -> None:
    assert RULES.complete(TASKS["denoising_color"], {"sigma": 25}) == {"sigma": 25, "saved_as": "truncated_uint8"}
    unified = RULES.complete(TASKS["unified_color"], {"denoising": {"sigma": 25}})
    assert unified["denoising"] == {"sigma": 25, "saved_as": "truncated_uint8"}
    assert all(own == {"saved_as": "truncated_uint8"} for part, own in unified.items() if part != "denoising")
    assert RULES.complete(TASKS["weather"], {}) == {}
    with pytest.raises(UserError, match="measures with saved_as=truncated_uint8; leave that setting out"):
        RULES.complete(TASKS["denoising_color"], {"saved_as": None})
    for task in ("denoising_gray", "sr_x2"):
        with pytest.raises(UserError, match=f"measures color images at their own size; {task} has others"):
            RULES.complete(TASKS[task], {})


def test_one_evaluation_has_one_protocol_and_shows_its_rows_only(image_set: str) -> None:
    task = TASKS["denoising_color"]
    theirs = make_plan(task=task, setting={"sigma": 25}, images=image_set, dataset="CBSD68", protocol=ALL_IN_ONE)
    ours = make_plan(task=task, setting={"sigma": 25}, images=image_set, dataset="CBSD68")
    assert theirs.fingerprint() != ours.fingerprint()
    (noisy, _) = evaluate_image(ImageJob(theirs, 0)).scores
    assert noisy.psnr_db < 25  # noise of 20.17 dB, the clipped values of a uniform image nearer
    found = means([noisy])
    shown = table(theirs, found, "")
    assert "RGB in float, not rounded, cut to multiples of 16" in shown
    assert "| PromptIR | 3 | 31.31 | 0.888 | 36 |  |" in shown
    assert "| PromptIR | 5 | 31.47 | 0.886 | 36 |  |" in shown
    assert "SwinIR | 34" not in shown
    assert "PromptIR" not in table(ours, found, "")
    truncated = make_plan(
        task=task, setting={"sigma": 25, "saved_as": "truncated_uint8"}, images=image_set, dataset="CBSD68"
    )
    assert "No published rows" in table(truncated, found, "")  # their noise in our figures is nobody's protocol
    with pytest.raises(UserError, match="unknown protocol 'theirs'; there are: benchmark, all_in_one"):
        make_plan(task=task, setting={}, images=image_set, protocol="theirs")


def test_an_evaluation_of_before_protocols_keeps_its_name(image_set: str) -> None:
    plan = make_plan(task=TASKS["jpeg_color"], setting={"quality": 10}, images=image_set)
    pinned = replace(plan, images_digest="0" * 64)
    assert pinned.fingerprint() == "96895a379f4e"


def test_published_rows_are_those_of_one_noise_and_of_one_set() -> None:
    assert len(load_all_in_one()) == 5 * 74 + 5 * 68
    at_50 = all_in_one_rows({"sigma": "50", "saved_as": "truncated_uint8"}, "bsd-68", paired=False)
    assert len(at_50) == 74
    assert [row.psnr_db for row in at_50] == sorted((row.psnr_db for row in at_50), reverse=True)
    pairs = all_in_one_rows({}, "GoPro", paired=True)
    assert {row.degradations for row in pairs} == {"5"}
    assert any(row.doubt for row in pairs)
    assert all_in_one_rows({"sigma": "0..50"}, "BSD68", paired=False) == []
    assert all_in_one_rows({}, "Snow100K-L", paired=True) == []
