"""One optimizer step of columnar_small x2 on a GPU in bf16 autocast, per attention backend."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

import semanir
from pipeline.benchmarks.clock import median_milliseconds


def training_step_milliseconds(backends: Sequence[str], rounds: int) -> dict[str, float]:
    """Backend → median time of forward, backward and AdamW step: batch 8 of 64 x 64, window 32, k 512."""
    steps = {}
    for backend in backends:
        torch.manual_seed(0)
        model = semanir.create_model("columnar_small", upscale=2, attention=backend).cuda().train()
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        steps[backend] = Step(model, optimizer)
    return median_milliseconds(steps, rounds, "cuda")


class Step:
    """Calling it trains on one random batch, the same at every call."""

    def __init__(self, model: semanir.SemanIR, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.lq = torch.rand(8, 3, 64, 64, device="cuda")
        self.gt = torch.rand(8, 3, 128, 128, device="cuda")

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            restored = self.model(self.lq)
        F.l1_loss(restored.float(), self.gt).backward()
        self.optimizer.step()
