"""Which part of a stage's forward pass goes into building its dictionaries."""

from __future__ import annotations

import torch

import semanir
from pipeline.benchmarks.clock import median_milliseconds
from semanir.stage import Stage
from semanir.windows import plan_grids


def dictionary_share(rounds: int, device: str = "cpu") -> float:
    """Time of the two dictionaries over that of the whole stage: columnar_small, 64 x 64 features, window 16, k 64."""
    config = semanir.model_config("columnar_small", window_size=16, k=64)
    torch.manual_seed(0)
    stage = Stage(config, config.embed_dim, config.num_heads, config.depths[0], index=0).to(device).eval()
    x = torch.randn(1, config.embed_dim, 64, 64, device=device)
    tokens, grids = x.permute(0, 2, 3, 1), plan_grids(64, 64, config.window_size)

    @torch.no_grad()
    def whole() -> None:
        stage(x, config.k)

    def dictionaries() -> None:
        for grid in grids:
            stage.build_dictionary(tokens, grid, config.k)

    times = median_milliseconds({"stage": whole, "dictionaries": dictionaries}, rounds, device)
    return times["dictionaries"] / times["stage"]
