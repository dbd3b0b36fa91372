"""One optimizer step of columnar_small x2 in bf16 autocast, per attention backend."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

import semanir
from pipeline.benchmarks.clock import median_milliseconds


def training_step_milliseconds(
    backends: Sequence[str], rounds: int, device: str = "cuda", model: str = "columnar_small", side: int = 64
) -> dict[str, float]:
    """Backend → median time of forward, backward and AdamW step: batch 8 of side x side, published window and k."""
    steps = {}
    for backend in backends:
        torch.manual_seed(0)
        network = semanir.create_model(model, upscale=2, attention=backend).to(device).train()
        steps[backend] = Step(network, device, side)
    return median_milliseconds(steps, rounds, device)


class Step:
    """Calling it trains on one random batch, the same at every call."""

    def __init__(self, model: semanir.SemanIR, device: str, side: int, batch: int = 8) -> None:
        self.model, self.device = model, device
        self.optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        config, large = model.config, side * model.config.upscale
        self.lq = torch.rand(batch, config.in_channels, side, side, device=device)
        self.gt = torch.rand(batch, config.out_channels, large, large, device=device)

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, torch.bfloat16):
            restored = self.model(self.lq)
        F.l1_loss(restored.float(), self.gt).backward()
        self.optimizer.step()
