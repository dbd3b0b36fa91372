"""A small sweep over a configuration that needs no data to be checked."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import parse_settings
from pipeline.tuning.space import SweepSettings


@pytest.fixture
def document() -> dict[str, Any]:
    return {
        "defaults": {
            "storage": "unused",
            "setting": {"sigma": 25},
            "model": {"name": "ushape_tiny"},
            "data": {"train": "unused", "val": "unused", "patch_size": 32},
            "training": {"steps": 8, "global_batch_size": 4, "validate_every": 4, "checkpoint_every": 4},
        }
    }


@pytest.fixture
def sweep_values() -> dict[str, Any]:
    """As a sweep file reads; tests change a copy."""
    return {
        "task": "denoising_color",
        "searcher": "random",
        "num_trials": 3,
        "fixed": {"training": {"steps": 12}},
        "space": {
            "model.k": {"choice": [4, 64]},
            "model.depths": {"choice": [[1, 1, 1], [2, 2, 2]]},
            "training.learning_rate": {"loguniform": [1e-5, 2e-3]},
        },
    }


@pytest.fixture
def sweep(sweep_values: dict[str, Any]) -> SweepSettings:
    return parse_settings(SweepSettings, sweep_values, where="sweep")
