"""ΔE2000 against pairs printed by the formula's authors, and what it sees that PSNR does not."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import lab2rgb

from pipeline.metrics.convention import MetricConvention
from pipeline.metrics.delta_e import delta_e_2000

RGB = MetricConvention(channel="rgb")


def flat(color: tuple[float, float, float]) -> np.ndarray:
    """An 8x8 image of one color, given as CIE L*a*b* under D65."""
    return np.tile(lab2rgb(np.array(color)), (8, 8, 1)).astype(np.float32)


# Sharma, Wu, Dalal (2005), table 1, pairs that sRGB can show; its 8-bit levels move them by 4 % at most.
@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
        ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
        ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_printed_pairs_come_out(
    one: tuple[float, float, float], other: tuple[float, float, float], difference: float
) -> None:
    found = delta_e_2000(flat(one), flat(other), RGB)
    assert found == pytest.approx(difference, rel=0.04, abs=0.3)
    assert delta_e_2000(flat(other), flat(one), RGB) == pytest.approx(found)
    assert delta_e_2000(flat(one), flat(one), RGB) == 0.0


def test_a_color_cast_is_seen_where_noise_of_equal_psnr_averages_out() -> None:
    rng = np.random.default_rng(0)
    gt = np.full((64, 64, 3), 0.5, np.float32)
    cast = gt + np.array([0.04, -0.04, 0.04], np.float32)
    gray_shift = gt + np.float32(0.04) * rng.choice([-1, 1], (64, 64, 1)).astype(np.float32)
    assert delta_e_2000(cast, gt, RGB) > 2 * delta_e_2000(gray_shift, gt, RGB)


def test_the_border_is_not_measured_and_gray_is_refused() -> None:
    gt = np.full((16, 16, 3), 0.5, np.float32)
    framed = gt.copy()
    framed[:2] = 0.9
    assert delta_e_2000(framed, gt, MetricConvention(channel="y", border=2)) == 0.0
    assert delta_e_2000(framed, gt, RGB) > 1
    with pytest.raises(ValueError, match="16, 16, 1"):
        delta_e_2000(gt[:, :, :1], gt[:, :, :1], RGB)
