"""Folders of small pictures, a tiny model, and a Ray cluster of this process alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import semanir
from pipeline.own_cluster import own_cluster


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = semanir.create_model("ushape_tiny", embed_dim=8, num_heads=1, window_size=4, k=4, zero_init_last=False)
    return semanir.save(model, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with own_cluster(2, token=False):  # tests before these used Ray in this process
        yield


def make_images(folder: Path, count: int, side: int = 16) -> list[str]:
    """PNG, JPEG, TIFF and WebP files in a tree; returns their names in order."""
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        name = f"{'ab/c'[number % 2 :]}{number % 3}/{number:05d}.{('png', 'jpg', 'tif', 'webp')[number % 4]}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
        names.append(name)
    return sorted(names)
