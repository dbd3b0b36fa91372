"""One checkpoint: the engine's state of every rank, the loop's state, and weights anyone can load.

A checkpoint's folder, once the ranks' parts are merged::

    engine/        DeepSpeed's own files (weights, optimizer), one part per rank
    moments/       Adam's moments by parameter name, for a world of another size
    weights/       the current weights: model.safetensors + config.json
    ema/           the weights' moving average, when there is one
    best/          the best weights so far on the validation images
    state.json     step, data position, best score (pipeline.training.state)
    config.json    the resolved configuration of the run
"""

from __future__ import annotations

import json
from pathlib import Path

import semanir
from pipeline.training.context import StopRun, WorkerContext
from pipeline.training.ema import Ema
from pipeline.training.engine import Engine
from pipeline.training.moments import load_for_any_world, save_moments
from pipeline.training.plan import TrainingPlan
from pipeline.training.state import TrainingState
from pipeline.training.validate import Validator


def save_checkpoint(
    folder: Path, state: TrainingState, engine: Engine, ema: Ema | None, validator: Validator, plan: TrainingPlan,
    context: WorkerContext,
) -> None:  # fmt: skip
    """Write this rank's part of a checkpoint into the empty ``folder``. Collective."""
    engine.save(folder)
    save_moments(folder, engine, plan, context.rank)
    if ema is not None:
        ema.save(folder, plan, context.rank)
    weights = engine.full_state_dict()
    if context.rank == 0:
        semanir.save(weights, folder / "weights", config=plan.model_config)
        validator.save_best(folder / "best")
        described = {
            "world_size": context.world_size,
            "optimizer_steps": engine.optimizer_steps(),
            **state.to_dict(),
        }
        (folder / "state.json").write_text(json.dumps(described), encoding="utf-8")
        (folder / "config.json").write_text(plan.config.model_dump_json(indent=2), encoding="utf-8")


def load_checkpoint(
    folder: Path, engine: Engine, ema: Ema | None, validator: Validator, plan: TrainingPlan
) -> TrainingState:
    """Restore engine, average and best weights from the merged ``folder``, and return the loop's state. Collective.

    In a world of the same size to the last bit; in another one exactly too, but sums over ranks then round otherwise.

    Raises:
        StopRun: the checkpoint's samples come from another data set or order.
    """
    described = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    world_size, optimizer_steps = described.pop("world_size"), described.pop("optimizer_steps")
    state = TrainingState.from_dict(described)
    if state.data_digest != plan.data_digest:
        raise StopRun(
            f"the checkpoint's sample order {state.data_digest} is not this run's {plan.data_digest}: data.train, "
            "seed, data.streams, block_size or crops_per_image changed; start a new run under another storage"
        )
    if world_size == plan.context.world_size:
        engine.load(folder)
    else:
        load_for_any_world(folder, engine, optimizer_steps)
    if ema is not None:
        ema.load(folder)
    validator.load_best(folder / "best")
    return state
