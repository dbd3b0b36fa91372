"""The tasks keep their contract: names, shapes, types, reproducibility, baselines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator, Philox
from pydantic_core import to_jsonable_python
from skimage import data

from pipeline.degradations.quantize import from_uint8
from pipeline.errors import UserError
from pipeline.metrics.psnr_ssim import psnr
from pipeline.tasks import GROUPS, TASKS, Task, resolve_tasks

PHOTO = from_uint8(data.astronaut()[40:155, 120:245])

STRENGTHS = Path(__file__).with_name("strengths.json")
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


def degrade(task: Task, seed: int = 0, **values: object) -> tuple[np.ndarray, np.ndarray]:
    gt = task.crop_gt(task.to_gt_channels(PHOTO))
    return gt, task.degrade(gt, Generator(Philox(key=seed)), task.parse_settings(values))


def test_names_and_groups():
    assert list(TASKS) == [
        *("denoising_color", "denoising_gray", "jpeg_color", "jpeg_gray", "sr_x2", "sr_x3", "sr_x4"),
        *("deblurring", "demosaicking", "weather"),
        *("unified_color", "unified_gray", "photo"),
    ]
    groups = ["denoising", "jpeg", "sr", "deblurring", "demosaicking", "weather", "unified", "photo"]
    assert list(GROUPS) == groups
    assert all(task.name == name for name, task in TASKS.items())


@every_task
def test_shapes_types_and_grid(task):
    gt, lq = degrade(task)
    shown = task.to_input(lq)
    assert gt.shape[2] == task.channels
    assert gt.shape[0] % task.size_multiple == gt.shape[1] % task.size_multiple == 0
    assert min(PHOTO.shape[:2]) - min(gt.shape[:2]) < task.size_multiple
    assert shown.dtype == lq.dtype == np.float32
    assert shown.shape == (gt.shape[0] // task.upscale, gt.shape[1] // task.upscale, task.input_channels)
    assert np.isfinite(shown).all()


@every_task
def test_same_generator_same_bits_and_argument_untouched(task):
    gt, first = degrade(task)
    before = gt.copy()
    again = task.degrade(gt, Generator(Philox(key=0)), task.parse_settings())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(gt, before)


@every_task
def test_baselines_are_comparable_with_the_truth(task):
    gt, lq = degrade(task)
    for baseline in task.baselines.values():
        figure = psnr(baseline(lq, task.parse_settings()), gt, task.convention)
        assert 5 < figure < 60 or np.array_equal(lq, gt)  # blind tasks leave some images as they are


@every_task
def test_random_degradations_differ_by_seed(task):
    is_random = task.group not in ("sr", "demosaicking")
    assert (degrade(task, 1)[1].tobytes() != degrade(task, 2)[1].tobytes()) == is_random


def test_super_resolution_border_is_its_scale():
    for scale in (2, 3, 4):
        task = TASKS[f"sr_x{scale}"]
        assert (task.upscale, task.convention.border, task.convention.channel) == (scale, scale, "y")


def test_demosaicking_observes_one_channel_and_shows_malvar():
    gt, lq = degrade(TASKS["demosaicking"])
    assert lq.shape == (*gt.shape[:2], 1)
    np.testing.assert_array_equal(
        TASKS["demosaicking"].to_input(lq), TASKS["demosaicking"].baselines["malvar"](lq, None)
    )
    assert list(TASKS["demosaicking"].baselines) == ["bilinear", "malvar"]


def test_a_kernel_seed_blurs_every_image_alike():
    fixed = {"kernel_seed": 0, "length": 20}
    np.testing.assert_array_equal(
        degrade(TASKS["deblurring"], 1, **fixed)[1], degrade(TASKS["deblurring"], 2, **fixed)[1]
    )
    other = degrade(TASKS["deblurring"], 1, **{**fixed, "kernel_seed": 1})[1]
    assert np.abs(other - degrade(TASKS["deblurring"], 1, **fixed)[1]).max() > 0.02


def test_sensor_noise_follows_the_blur():
    fixed = {"kernel_seed": 0, "length": 20}
    _, clean = degrade(TASKS["deblurring"], 1, **fixed)
    _, noisy = degrade(TASKS["deblurring"], 1, **fixed, sigma=5)
    assert (noisy - clean).std() * 255 == pytest.approx(5, rel=0.15)


def test_inverse_veil_undoes_a_fixed_veil_exactly():
    task = TASKS["weather"]
    values = {"kinds": ["rain"], "rain": {"transmission": 0.6, "airlight": 0.85, "relief": 0, "layers": 0}}
    gt, lq = degrade(task, **values)
    settings = task.parse_settings(values)
    gained = psnr(task.baselines["inverse_veil"](lq, settings), gt, task.convention)
    assert gained > 50 > 25 > psnr(task.baselines["input"](lq, settings), gt, task.convention)


def test_weather_draws_all_of_its_kinds_and_only_those():
    task = TASKS["weather"]
    gt = task.crop_gt(PHOTO[:16, :16])
    alone = {
        k: {
            task.degrade(gt, Generator(Philox(key=s)), task.parse_settings({"kinds": [k]})).tobytes() for s in range(30)
        }
        for k in ("rain", "snow", "raindrops")
    }
    mixed = {task.degrade(gt, Generator(Philox(key=s)), task.parse_settings()).tobytes() for s in range(30)}
    assert all(mixed & outcomes for outcomes in alone.values())
    assert mixed <= set().union(*alone.values())


def test_cropping_a_too_small_image_is_a_users_error():
    with pytest.raises(UserError, match=r"3x9 is too small for sr_x4: it needs at least 4x4"):
        TASKS["sr_x4"].crop_gt(np.zeros((3, 9, 3), np.float32))


def test_resolving_names():
    assert [t.name for t in resolve_tasks(["sr", "sr_x2", "jpeg_gray"])] == ["sr_x2", "jpeg_gray"]
    assert resolve_tasks(["all"]) == list(TASKS.values())[:10]  # the paper's; ours are asked for by name
    assert [t.group for t in resolve_tasks(list(GROUPS))] == list(GROUPS)
    with pytest.raises(UserError, match=r"unknown task 'derain'; choose among denoising_color, .*photo, or all"):
        resolve_tasks(["sr", "derain"])
    with pytest.raises(UserError, match="no task given"):
        resolve_tasks([])


def test_no_strength_changes_its_meaning_in_silence():
    """Harm curves, on cards and in tags, have the labels alone: what one means must not change under it.

    Another setting wants another label; labels that went are not used again.
    """
    known = json.loads(STRENGTHS.read_text(encoding="utf-8"))
    assert sorted(known) == sorted(TASKS), f"a new task: write its strengths into {STRENGTHS.name}"
    for name, task in TASKS.items():
        now = [[strength.label, to_jsonable_python(strength.setting)] for strength in task.strengths]
        assert now == known[name], f"{name}: under a label of its own, write it into {STRENGTHS.name}"
        labels = [label for label, _ in now]
        assert len(set(labels)) == len(labels), name


@every_task
def test_every_strength_is_a_setting_and_the_first_does_nothing(task):
    gt = task.crop_gt(task.to_gt_channels(PHOTO))
    for number, strength in enumerate(task.strengths):
        settings = task.parse_settings(strength.setting)
        assert (number == 0) == (strength.label == "nothing wrong")
        assert np.array_equal(task.degrade(gt, Generator(Philox(key=3)), settings), gt) == (number == 0)
