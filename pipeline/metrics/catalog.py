"""The one list of metrics: what tables, Parquet columns, MLflow figures and means are made from.

A new metric is a module of this room and its line in ``METRICS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.degradations.image import Image
from pipeline.metrics.convention import MetricConvention
from pipeline.metrics.delta_e import delta_e_2000
from pipeline.metrics.lpips import Lpips, lpips
from pipeline.metrics.psnr_b import psnr_b
from pipeline.metrics.psnr_ssim import psnr, ssim

PSNR = "psnr_db"  # what training validates by and versions are compared by


@dataclass(frozen=True)
class Yardstick:
    """How one image is measured. perceptual: LPIPS's network; None: LPIPS is not measured."""

    convention: MetricConvention
    perceptual: Lpips | None = None


def _always(convention: MetricConvention, perceptual: bool) -> bool:
    del convention, perceptual
    return True


@dataclass(frozen=True)
class Metric:
    """One figure of a restored image against its truth.

    function: (restored, gt, yardstick) -> value, both images float32 (H, W, C) in [0, 1]; raises ValueError for images
        that cannot be measured.
    heading: of its table column, its unit included; ``{backbone}`` stands for LPIPS's network.
    digits: decimals that tables show.
    applies: (convention, whether LPIPS's network was given) -> whether it is measured.
    infinite_when_equal: whether an image that equals the truth has an infinite figure, as decibels have; means count
        a bounded one then (``pipeline.scoring.record.MOST_DB``).
    """

    function: Callable[[Image, Image, Yardstick], float]
    heading: str
    digits: int
    applies: Callable[[MetricConvention, bool], bool] = _always
    infinite_when_equal: bool = False

    @property
    def always(self) -> bool:
        """Whether every image has it: its Parquet column holds no nulls then."""
        return self.applies is _always


def _lpips(restored: Image, gt: Image, yardstick: Yardstick) -> float:
    assert yardstick.perceptual is not None, "it applies only where its network was given"
    return lpips(restored, gt, yardstick.perceptual)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        PSNR: Metric(lambda a, b, by: psnr(a, b, by.convention), "PSNR (dB)", 2, infinite_when_equal=True),
        "ssim_valid": Metric(lambda a, b, by: ssim(a, b, by.convention, "valid"), "SSIM (valid)", 4),
        "ssim_same": Metric(lambda a, b, by: ssim(a, b, by.convention, "same"), "SSIM (same)", 4),
        "psnr_b_db": Metric(
            lambda a, b, by: psnr_b(a, b, by.convention),
            "PSNR-B (dB)",
            2,
            lambda convention, _: convention.blocking,
            infinite_when_equal=True,
        ),
        "delta_e_2000": Metric(
            lambda a, b, by: delta_e_2000(a, b, by.convention),
            "ΔE2000",
            2,
            lambda convention, _: convention.channel != "gray",
        ),
        "lpips": Metric(_lpips, "LPIPS ({backbone})", 4, lambda _, perceptual: perceptual),
    }
)


def measure(restored: Image, gt: Image, yardstick: Yardstick) -> dict[str, float]:
    """Every metric that applies, in the order of ``METRICS``; raises ValueError where one cannot be measured."""
    names = applicable(yardstick.convention, yardstick.perceptual is not None)
    return {name: METRICS[name].function(restored, gt, yardstick) for name in names}


def applicable(convention: MetricConvention, perceptual: bool) -> list[str]:
    """Names of the metrics that an image is measured by; perceptual: whether LPIPS's network is given."""
    return [name for name, metric in METRICS.items() if metric.applies(convention, perceptual)]
