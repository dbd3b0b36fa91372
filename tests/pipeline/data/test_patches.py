from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.data.order import sample_generator
from pipeline.data.patches import augment, check_patch_fits, make_patch_sampler, turned
from pipeline.data.stream import DecodedSample
from pipeline.degradations.color import to_gray
from pipeline.errors import UserError
from pipeline.tasks import TASKS


def decoded(channels: int = 3, degraded: bool = False, phase: int = 0, side: int = 64) -> DecodedSample:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (side, side + 8, channels), dtype=np.uint8)
    return DecodedSample("k", 5, 0, phase, clean, clean // 2 if degraded else None)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_task_gets_its_shapes_from_color_and_gray(name, channels):
    task = TASKS[name]
    side = 24
    sample = make_patch_sampler(task, task.settings(), side)(decoded(channels), sample_generator(0, 5))
    assert sample["gt"].shape == (task.channels, side, side)
    assert sample["lq"].shape == (task.input_channels, side // task.upscale, side // task.upscale)
    for tensor in sample.values():
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert torch.isfinite(tensor).all()


def test_the_same_position_gives_the_same_sample_and_another_crop_does_not():
    task = TASKS["denoising_color"]
    sampler = pickle.loads(pickle.dumps(make_patch_sampler(task, task.settings(), 16)))  # noqa: S301 - our own
    first, again, other = (sampler(decoded(), sample_generator(0, 5, crop)) for crop in (0, 0, 1))
    assert torch.equal(first["lq"], again["lq"])
    assert not torch.equal(first["gt"], other["gt"])


def test_a_patch_is_a_turned_cut_of_the_image():
    task = TASKS["denoising_color"]
    image = decoded()
    patch = make_patch_sampler(task, task.settings(), 16)(image, sample_generator(3, 1))["gt"]
    stored = np.round(patch.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    turns = [np.ascontiguousarray(augment(stored, turn)) for turn in range(8)]
    cuts = [image.clean[y : y + 16, x : x + 16] for y in range(49) for x in range(57)]
    assert any(np.array_equal(turn, cut) for cut in cuts for turn in turns)


def test_a_gray_task_converts_color_by_rounded_luma():
    task = TASKS["denoising_gray"]
    image = decoded(side=16)
    sample = make_patch_sampler(task, task.settings(), 16)(image, sample_generator(0, 0))
    luma = to_gray(image.clean.astype(np.float32) / 255)
    assert set(np.unique(sample["gt"])) <= set(np.unique(luma))


def test_eight_symmetries_are_distinct():
    square = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    assert len({augment(square, turn).tobytes() for turn in range(8)}) == 8


@pytest.mark.parametrize(("channels", "kind"), [(1, np.uint8), (3, np.uint8), (1, np.uint16), (3, np.uint16)])
def test_pixels_turned_whole_are_turned_by_channel(channels, kind):
    pixels = np.arange(7 * 9 * channels, dtype=kind).reshape(7, 9, channels)[1:, 2:]
    for turn in range(8):
        moved = turned(pixels, turn)
        assert moved.dtype == kind
        np.testing.assert_array_equal(moved, augment(pixels, turn))


def test_stored_pairs_keep_their_degradation_aligned():
    task = TASKS["deblurring"]
    sample = make_patch_sampler(task, task.settings(), 16)(decoded(degraded=True), sample_generator(0, 2))
    expected = torch.floor(torch.round(sample["gt"] * 255) / 2) / 255
    torch.testing.assert_close(sample["lq"], expected)


def test_the_rows_that_a_patch_needs_are_known_before_the_image_is_decoded():
    task = TASKS["denoising_color"]
    sampler = make_patch_sampler(task, task.settings(), 16)
    whole = decoded()
    for position in range(20):
        rows = sampler.rows_needed(64, 72, 0, sample_generator(0, position))
        upper = replace(whole, clean=whole.clean[:rows], height=64)
        found, wanted = (sampler(sample, sample_generator(0, position)) for sample in (upper, whole))
        assert torch.equal(found["lq"], wanted["lq"])
        short = replace(whole, clean=whole.clean[: rows - 1], height=64)
        assert sampler(short, sample_generator(0, position))["gt"].numel() < wanted["gt"].numel()


def test_patch_sizes_may_grow_with_the_phase():
    task = TASKS["denoising_color"]
    sampler = make_patch_sampler(task, task.settings(), (16, 24))
    sides = [sampler(decoded(phase=phase), sample_generator(0, 0))["gt"].shape[1] for phase in (0, 1, 2)]
    assert sides == [16, 24, 24]


def test_patches_that_cannot_be_cut_are_refused(dataset):
    task = TASKS["sr_x3"]
    with pytest.raises(UserError, match="patch size 16 does not suit sr_x3: it must be a positive multiple of 3"):
        make_patch_sampler(task, task.settings(), 16)
    with pytest.raises(UserError, match="image 'k' is 72x64, smaller than the patch size 96"):
        make_patch_sampler(task, task.settings(), 96)(decoded(), sample_generator(0, 0))
    with pytest.raises(UserError, match=r"larger than the smallest image side .* 8 pixels; choose at most 8"):
        check_patch_fits(dataset(3), 9)
    check_patch_fits(dataset(3, name="other"), 8)


def test_a_blurred_patch_is_cut_from_the_blurred_surroundings():
    task = TASKS["deblurring"]
    settings = task.parse_settings({"kernel_seed": 0, "max_size": 15, "length": 20})
    image = decoded()
    sample = make_patch_sampler(task, settings, 16)(image, sample_generator(0, 5))
    # Every symmetry of the image, blurred whole: away from its edges, the patch must be found in one of them.
    whole = [augment(task.to_gt_channels(image.clean.astype(np.float32) / 255), turn) for turn in range(8)]
    lq = sample["lq"].numpy().transpose(1, 2, 0)
    found = False
    for candidate in whole:
        blurred = task.degrade(np.ascontiguousarray(candidate), sample_generator(0, 0), settings)
        windows = np.lib.stride_tricks.sliding_window_view(blurred, (16, 16, 3)).squeeze(2)
        found |= bool((np.abs(windows - lq).max(axis=(2, 3, 4)) < 1.5 / 255).any())
    assert found
