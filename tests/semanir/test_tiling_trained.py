"""With a trained model and overlapping tiles, a natural image is restored as well in tiles as whole."""

from __future__ import annotations

import pytest
import torch

import semanir
from pipeline.benchmarks import neighbors_run


@pytest.mark.slow
def test_tiles_cost_less_than_a_twentieth_of_a_decibel() -> None:
    """Tiles of 96 with the default overlap of 32 pixels of `jobs/restore.py`, on held-out photographs."""
    model = neighbors_run.train_model(neighbors_run.photographs("train"), (0.25,), steps=300, sigma=25.0, seed=0)
    images, gains = neighbors_run.photographs("test"), {}
    noisy = neighbors_run.held_out_psnr(lambda x, k: x, images, 16, 25.0)  # type: ignore[arg-type]
    gains["whole"] = neighbors_run.held_out_psnr(model, images, 16, 25.0) - noisy
    with torch.no_grad():
        tiled = neighbors_run.held_out_psnr(
            lambda x, k: semanir.restore_tiled(model, x, tile=96, overlap=32, k=k),  # type: ignore[arg-type]
            images, 16, 25.0,
        )  # fmt: skip
    gains["tiled"] = tiled - noisy
    assert gains["whole"] > 3, gains  # trained at all
    assert abs(gains["whole"] - gains["tiled"]) <= 0.05, gains
