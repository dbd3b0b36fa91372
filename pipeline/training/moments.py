"""Adam's moments by parameter name: with the weights, all that a world of another size needs to go on."""

from __future__ import annotations

from pathlib import Path

import torch

import semanir
from pipeline.training.engine import Engine
from pipeline.training.plan import TrainingPlan

FOLDER = "moments"
MOMENTS = ("exp_avg", "exp_avg_sq")


@torch.no_grad()
def save_moments(folder: Path, engine: Engine, plan: TrainingPlan, rank: int) -> None:
    """Write ``moments/<name>/model.safetensors`` from rank 0. Collective.

    A moment has the layout of the master weights, so it is gathered in their place.
    """
    for name in MOMENTS:
        moments, masters = engine.moment_tensors(name), engine.master_tensors()
        weights = [master.detach().clone() for master in masters]
        for master, moment in zip(masters, moments, strict=True):
            master.detach().copy_(moment)
        try:
            state = engine.full_state_dict()
        finally:
            for master, weight in zip(masters, weights, strict=True):
                master.detach().copy_(weight)
        if rank == 0:
            semanir.save(state, folder / FOLDER / name, config=plan.model_config)


@torch.no_grad()
def load_for_any_world(folder: Path, engine: Engine, steps: int) -> None:
    """Restore the engine's state from ``weights/`` and what :func:`save_moments` wrote. Collective.

    ``steps`` is how often the optimizer had counted itself to have stepped.
    """
    engine.start_moments(steps, MOMENTS)
    for name in MOMENTS:
        engine.set_master_weights(semanir.load(folder / FOLDER / name).state_dict())
        for moment, master in zip(engine.moment_tensors(name), engine.master_tensors(), strict=True):
            moment.copy_(master)
    engine.set_weights(semanir.load(folder / "weights").state_dict())
