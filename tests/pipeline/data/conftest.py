"""Small datasets of generated images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.images import encode_image
from pipeline.data.manifest import Manifest
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources


def write_images(folder: Path, count: int, *, height: int = 12, width: int = 8, seed: int = 0) -> Path:
    """``count`` distinct PNG files of noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = rng.integers(0, 256, (height + number % 3, width, 3), dtype=np.uint8)
        (folder / f"img{number:03d}.png").write_bytes(encode_image(pixels))
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Path]:
    """``images(count, height=…, width=…)`` writes a folder of images."""
    return lambda count, **options: write_images(tmp_path / f"images{count}", count, **options)


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Manifest]:
    """``dataset(count, per_shard)`` packs images into shards of that many samples, the last shorter."""

    def make(count: int, per_shard: int = 100, name: str = "set", seed: int = 0) -> Manifest:
        folder = write_images(tmp_path / f"{name}-images", count, seed=seed)
        # A sample is 1024 bytes, header and padding included: this target closes a shard after per_shard.
        sources = folder_sources(str(folder))
        settings = PackSettings(shard_bytes=(per_shard - 1) * 1024 + 1)
        return pack_dataset(sources, str(tmp_path / name), settings)

    return make
