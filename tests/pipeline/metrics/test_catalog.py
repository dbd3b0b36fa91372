"""The list of metrics: which apply to an image, and that each is measured by the task's own convention."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics.catalog import METRICS, Yardstick, applicable, measure
from pipeline.metrics.convention import Channel, MetricConvention
from pipeline.metrics.delta_e import delta_e_2000
from pipeline.metrics.lpips import Lpips, lpips
from pipeline.metrics.psnr_b import psnr_b
from pipeline.metrics.psnr_ssim import psnr, ssim
from tests.pipeline.metrics.lpips_weights import random_lpips

EVERY = ["psnr_db", "ssim_valid", "ssim_same"]


@pytest.mark.parametrize(
    ("channel", "blocking", "perceptual", "more"),
    [
        ("rgb", False, False, ["delta_e_2000"]),
        ("y", False, False, ["delta_e_2000"]),
        ("gray", False, False, []),
        ("gray", True, False, ["psnr_b_db"]),
        ("rgb", True, True, ["psnr_b_db", "delta_e_2000", "lpips"]),
        ("gray", False, True, ["lpips"]),
    ],
)
def test_what_an_image_is_measured_by(channel: Channel, blocking: bool, perceptual: bool, more: list[str]) -> None:
    convention = MetricConvention(channel=channel, blocking=blocking)
    assert applicable(convention, perceptual) == EVERY + more
    assert [name for name, metric in METRICS.items() if metric.always] == EVERY


def test_each_figure_is_its_functions_under_the_convention() -> None:
    rng = np.random.default_rng(0)
    gt = rng.random((40, 48, 3), np.float32)
    restored = (gt + 0.1 * rng.standard_normal(gt.shape)).astype(np.float32)
    network = Lpips(random_lpips("alexnet"))
    whole, cropped = MetricConvention(channel="y", blocking=True), MetricConvention(channel="rgb", border=4)
    assert measure(restored, gt, Yardstick(whole, network)) == {
        "psnr_db": psnr(restored, gt, whole),
        "ssim_valid": ssim(restored, gt, whole, "valid"),
        "ssim_same": ssim(restored, gt, whole, "same"),
        "psnr_b_db": psnr_b(restored, gt, whole),
        "delta_e_2000": delta_e_2000(restored, gt, whole),
        "lpips": lpips(restored, gt, network),
    }
    assert measure(restored, gt, Yardstick(cropped)) == {
        "psnr_db": psnr(restored, gt, cropped),
        "ssim_valid": ssim(restored, gt, cropped, "valid"),
        "ssim_same": ssim(restored, gt, cropped, "same"),
        "delta_e_2000": delta_e_2000(restored, gt, cropped),
    }


def test_a_convention_says_itself_in_words() -> None:
    assert MetricConvention(channel="rgb").describe() == "RGB"
    assert MetricConvention(channel="gray", border=2).describe() == "gray, border 2 px"
    assert MetricConvention(channel="y", border=4, rounded=False).describe() == ("Y in float, not rounded, border 4 px")
