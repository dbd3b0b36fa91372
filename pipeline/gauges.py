"""Figures of a run for Prometheus, which asks Ray's nodes for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any


def show_figures(run: str, figures: Mapping[str, float]) -> None:
    """Offer figures to Prometheus as ``ray_semanir_<name>{run="…"}``, on the metrics port of the driver's node."""
    for name, value in figures.items():
        _gauge("semanir_" + re.sub(r"\W", "_", name)).set(float(value), tags={"run": run})


@cache
def _gauge(name: str) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, description="A training run's latest figure.", tag_keys=("run",))
