"""Exponential moving average of the weights, kept where ZeRO keeps its full-precision master copy."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import semanir
from pipeline.training.engine import Engine
from pipeline.training.plan import TrainingPlan

FOLDER = "ema"


class Ema:
    """ema ← decay · ema + (1 - decay) · weights, after each optimizer step, on this rank's own master partition.

    So nothing is gathered to update it, and bf16's rounding never enters. In checkpoints it lies consolidated by
    name, hence any world size can load it.

    Args:
        engine: whose weights are averaged.
        decay: in (0, 1), e.g. 0.999 (SwinIR).
    """

    def __init__(self, engine: Engine, decay: float) -> None:
        self._engine, self._decay = engine, decay
        self._average = [master.detach().clone() for master in engine.master_tensors()]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step's weights into the average."""
        for average, master in zip(self._average, self._engine.master_tensors(), strict=True):
            average.lerp_(master.detach(), 1 - self._decay)

    @torch.no_grad()
    def full_state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by name in float32 on the CPU. Collective."""
        self._swap()
        try:
            return self._engine.full_state_dict()
        finally:
            self._swap()

    def save(self, folder: Path, plan: TrainingPlan, rank: int) -> None:
        """Write ``ema/model.safetensors`` from rank 0. Collective."""
        state = self.full_state_dict()
        if rank == 0:
            semanir.save(state, folder / FOLDER, config=plan.model_config)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Bring back what :meth:`save` wrote, in a world of any size. Collective."""
        weights = [master.detach().clone() for master in self._engine.master_tensors()]
        self._engine.set_master_weights(semanir.load(folder / FOLDER).state_dict())
        for average, master, weight in zip(self._average, self._engine.master_tensors(), weights, strict=True):
            average.copy_(master)
            master.detach().copy_(weight)

    def _swap(self) -> None:
        for average, master in zip(self._average, self._engine.master_tensors(), strict=True):
            kept = master.detach().clone()
            master.detach().copy_(average)
            average.copy_(kept)
