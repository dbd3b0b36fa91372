"""The list of metrics: which apply to an image, and that each is measured by the task's own convention."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.metrics.catalog import METRICS, Yardstick, applicable, measure
from pipeline.metrics.convention import Channel, MetricConvention
from pipeline.metrics.delta_e import delta_e_2000
from pipeline.metrics.lpips import Lpips, lpips
from pipeline.metrics.psnr_b import psnr_b
from pipeline.metrics.psnr_ssim import psnr, ssim
from tests.pipeline.metrics.lpips_weights import random_lpips

CHANNELS: tuple[Channel, ...] = ("rgb", "gray", "y")
# Which images a metric may apply to: (channel, whether PSNR-B is shown, whether LPIPS's network is given).
Case = tuple[Channel, bool, bool]
CASES: list[Case] = [
    (channel, blocking, perceptual)
    for channel in CHANNELS
    for blocking in (False, True)
    for perceptual in (False, True)
]


@dataclass(frozen=True)
class Known:
    """value: of a flat image of level 138 against one of 128, RGB, worked out by hand from the metric's source."""

    value: float
    applies: Callable[[Case], bool] = lambda case: True


KNOWN = {
    "psnr_db": Known(20 * math.log10(255 / 10)),
    # Wang et al. (2004), eq. 13, where nothing varies: (2ab + c) / (a² + b² + c).
    "ssim_valid": Known((2 * 138 * 128 + 2.55**2) / (138**2 + 128**2 + 2.55**2)),
    "ssim_same": Known(0.9962076837),  # the same with zeros around, which the border's windows see: NumPy, by hand
    "psnr_b_db": Known(20 * math.log10(255 / 10), lambda case: case[1]),  # no block shows an edge
    # L* 57.619 and 53.585 by the sRGB curve; ΔL / (1 + 0.015 (L - 50)² / √(20 + (L - 50)²)), as gray has no hue.
    "delta_e_2000": Known(3.65680295, lambda case: case[0] != "gray"),
    "lpips": Known(0.0951158885, lambda case: case[2]),  # the second writing of its formula in test_lpips.py, seed 0
}


def told(name: str) -> str:
    return f"add {name!r} to KNOWN: its value of two flat images, worked out by hand, and which images it applies to"


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_known_value(name: str) -> None:
    assert name in KNOWN, told(name)
    restored, gt = (np.full((40, 48, 3), level / 255, np.float32) for level in (138, 128))
    yardstick = Yardstick(MetricConvention(channel="rgb", blocking=True), Lpips(random_lpips("alexnet")))
    assert METRICS[name].function(restored, gt, yardstick) == pytest.approx(KNOWN[name].value, rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_whether_equal_images_have_an_infinite_figure(name: str) -> None:
    image = np.full((40, 48, 3), 0.5, np.float32)  # flat: a picture's own edges count in PSNR-B
    yardstick = Yardstick(MetricConvention(channel="rgb", blocking=True), Lpips(random_lpips("alexnet")))
    value = METRICS[name].function(image, image, yardstick)
    assert METRICS[name].infinite_when_equal == math.isinf(value)


@pytest.mark.parametrize("case", CASES)
def test_what_an_image_is_measured_by(case: Case) -> None:
    channel, blocking, perceptual = case
    found = applicable(MetricConvention(channel=channel, blocking=blocking), perceptual)
    assert [name for name in found if name in KNOWN] == [
        name for name in METRICS if name in KNOWN and KNOWN[name].applies(case)
    ]


@pytest.mark.parametrize("name", KNOWN)
def test_a_metric_is_always_there_or_not(name: str) -> None:
    """What is not always there has a Parquet column with nulls."""
    assert METRICS[name].always == all(map(KNOWN[name].applies, CASES))


def test_each_figure_is_its_functions_under_the_convention() -> None:
    rng = np.random.default_rng(0)
    gt = rng.random((40, 48, 3), np.float32)
    restored = (gt + 0.1 * rng.standard_normal(gt.shape)).astype(np.float32)
    network = Lpips(random_lpips("alexnet"))
    whole, cropped = MetricConvention(channel="y", blocking=True), MetricConvention(channel="rgb", border=4)
    assert (
        measure(restored, gt, Yardstick(whole, network)).items()
        >= {
            "psnr_db": psnr(restored, gt, whole),
            "ssim_valid": ssim(restored, gt, whole, "valid"),
            "ssim_same": ssim(restored, gt, whole, "same"),
            "psnr_b_db": psnr_b(restored, gt, whole),
            "delta_e_2000": delta_e_2000(restored, gt, whole),
            "lpips": lpips(restored, gt, network),
        }.items()
    )
    assert (
        measure(restored, gt, Yardstick(cropped)).items()
        >= {
            "psnr_db": psnr(restored, gt, cropped),
            "ssim_valid": ssim(restored, gt, cropped, "valid"),
            "ssim_same": ssim(restored, gt, cropped, "same"),
            "delta_e_2000": delta_e_2000(restored, gt, cropped),
        }.items()
    )


def test_a_convention_says_itself_in_words() -> None:
    assert MetricConvention(channel="rgb").describe() == "RGB"
    assert MetricConvention(channel="gray", border=2).describe() == "gray, border 2 px"
    assert MetricConvention(channel="y", border=4, rounded=False).describe() == ("Y in float, not rounded, border 4 px")
