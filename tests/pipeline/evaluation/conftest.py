from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources, paired_sources
from tests.pipeline.metrics.lpips_weights import random_lpips

SIZES = ((40, 52), (33, 48), (48, 36))


def draw(folder: Path, sizes: Sequence[tuple[int, int]] = SIZES, seed: int = 0) -> Path:
    """Smooth color images with some texture, as PNG files."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[:height, :width] / 7.0
        waves = [np.sin(rows * (c + 1) + number) * np.cos(columns + c) for c in range(3)]
        levels = 128 + 60 * np.stack(waves, axis=2) + rng.normal(0, 6, (height, width, 3))
        Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8)).save(folder / f"image{number}.png")
    return folder


@pytest.fixture(scope="session")
def draw_images() -> Callable[..., Path]:
    """``draw`` itself, for tests that need other sizes."""
    return draw


@pytest.fixture(scope="session")
def image_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three packed images of different sizes."""
    folder = tmp_path_factory.mktemp("images")
    pack_dataset(folder_sources(str(draw(folder / "in"))), str(folder / "waves"))
    return str(folder / "waves")


@pytest.fixture(scope="session")
def paired_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same images, each with another one's texture as its degraded partner."""
    folder = tmp_path_factory.mktemp("pairs")
    clean, degraded = draw(folder / "clean"), draw(folder / "degraded", seed=1)
    pack_dataset(paired_sources(str(clean), str(degraded)), str(folder / "pairs"))
    return str(folder / "pairs")


@pytest.fixture(scope="session")
def lpips_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet's, with random weights."""
    path = tmp_path_factory.mktemp("lpips") / "alexnet.safetensors"
    save_file(random_lpips("alexnet"), path)
    return path
