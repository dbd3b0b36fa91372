"""Validation during training: on all ranks, each image once, on plain weights, outside any tight deadline."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch.distributed as dist
from torch import Tensor

import semanir
from pipeline.data.whole import iter_whole_images
from pipeline.scoring.evaluator import score_restored
from pipeline.training.context import WorkerContext
from pipeline.training.state import TrainingState
from pipeline.training.training_plan import TrainingPlan

GATHER_TIMEOUT = timedelta(hours=2)  # ranks finish their images at different times; a dead peer still shows at once


class Weights(Protocol):
    """What is validated: the engine's own weights, or their moving average."""

    def full_state_dict(self) -> dict[str, Tensor]:
        """By name, in float32 on the CPU. Collective."""


class Validator:
    """Scores a plain full-precision copy of the model, so that no forward pass is a collective (ZeRO-3's is)."""

    def __init__(self, plan: TrainingPlan, weights: Weights, context: WorkerContext) -> None:
        self._plan, self._weights, self._context = plan, weights, context
        self.model = plan.build_model().to(context.device).eval().requires_grad_(False)
        self.best = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
        self._group = dist.new_group(backend="gloo", timeout=GATHER_TIMEOUT) if context.world_size > 1 else None

    def validate(self, state: TrainingState) -> float:
        """Mean PSNR in dB over the validation images; the best weights so far are kept in ``best``. Collective."""
        self.refresh()
        scores = {
            index: score_restored(
                self.model, self._plan.task, self._plan.setting, clean, degraded, index=index, key=key
            ).psnr_db
            for index, key, clean, degraded in iter_whole_images(
                self._plan.config.data.val,
                self._context.rank,
                self._context.world_size,
                self._plan.config.training.storage_deadline_s,
            )
        }
        if self._group is not None:
            gathered: list[dict[int, float]] = [{}] * self._context.world_size
            dist.all_gather_object(gathered, scores, group=self._group)
            scores = {index: psnr for part in gathered for index, psnr in part.items()}
        # In the order of images, so that the mean is the same to the last bit for any number of ranks.
        psnr = sum(scores[index] for index in sorted(scores)) / len(scores)
        if psnr > state.best_psnr:
            state.best_psnr, state.best_step = psnr, state.step
            self.best = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
        return psnr

    def refresh(self) -> None:
        """Copy the full-precision weights into the plain model. Collective."""
        self.model.load_state_dict(self._weights.full_state_dict())

    def save_best(self, folder: Path) -> None:
        """Write the best weights and their configuration, as ``semanir.load`` reads them."""
        semanir.save(self.best, folder, config=self._plan.model_config)

    def load_best(self, folder: Path) -> None:
        """Bring back the best weights written by ``save_best``."""
        self.best = semanir.load(folder).state_dict()
