from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import semanir


@pytest.fixture
def model_folder(tmp_path: Path) -> Callable[..., Path]:
    """Saves a tiny model, random in every layer or (``untrained``) the identity; returns its folder."""

    def make(channels: int = 3, upscale: int = 1, untrained: bool = False) -> Path:
        torch.manual_seed(0)
        model = semanir.create_model(
            "ushape_tiny" if upscale == 1 else "columnar_tiny",
            in_channels=channels,
            out_channels=channels,
            upscale=upscale,
            zero_init_last=untrained,
        )
        return semanir.save(model, tmp_path / f"model-{channels}-{upscale}-{untrained}")

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
