"""Exponential moving average of the weights, kept where ZeRO keeps its full-precision master copy."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.training.engine import Engine


class Ema:
    """ema ← decay · ema + (1 - decay) · weights, after each optimizer step, on this rank's own master partition.

    So nothing is gathered to update it, and bf16's rounding never enters.

    Args:
        engine: whose weights are averaged.
        decay: in (0, 1), e.g. 0.999 (SwinIR).

    Attributes:
        tensors: this rank's share of the average, laid out as the engine's master tensors; writing to them sets it.
    """

    def __init__(self, engine: Engine, decay: float) -> None:
        self._engine, self._decay = engine, decay
        self.tensors = [master.detach().clone() for master in engine.master_tensors()]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step's weights into the average."""
        for average, master in zip(self.tensors, self._engine.master_tensors(), strict=True):
            average.lerp_(master.detach(), 1 - self._decay)

    @torch.no_grad()
    def full_state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by name in float32 on the CPU. Collective."""
        self._swap()
        try:
            return self._engine.full_state_dict()
        finally:
            self._swap()

    def _swap(self) -> None:
        for average, master in zip(self.tensors, self._engine.master_tensors(), strict=True):
            kept = master.detach().clone()
            master.detach().copy_(average)
            average.copy_(kept)
