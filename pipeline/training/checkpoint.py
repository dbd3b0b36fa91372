"""One checkpoint: every rank's slice of the engine's state, the loop's state, and weights anyone can load.

A checkpoint's folder, once the ranks' parts have arrived; no file in it is a pickle::

    engine/        master weights, Adam's moments and the moving average: each rank's slices (engine_state)
    best/          the best weights so far on the validation images: model.safetensors + config.json
    state.json     step, data position, best score (pipeline.training.state)
    figures.json   what rank 0 told of the last steps, for the record (pipeline.training.figures)
    config.json    the resolved configuration of the run
    parts/         each rank's list of its files with their digests, which prove it whole (pipeline.training.proof)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError

from pipeline.errors import first_line
from pipeline.training.context import StopRun, WorkerContext
from pipeline.training.ema import Ema
from pipeline.training.engine import Engine
from pipeline.training.engine_state import load_engine, save_engine
from pipeline.training.proof import Saving
from pipeline.training.state import STATE_BYTES, TrainingState
from pipeline.training.training_plan import TrainingPlan
from pipeline.training.validate import Validator


def save_checkpoint(
    folder: Path, state: TrainingState, engine: Engine, ema: Ema | None, validator: Validator, plan: TrainingPlan,
    context: WorkerContext,
) -> Saving:  # fmt: skip
    """Write this rank's part of a checkpoint into the empty ``folder``, but for the list that ends it. Collective.

    The list is written by whoever sends the files on (pipeline.training.proof.prove): digests take no time of a step.
    """
    save_engine(folder, engine, ema)
    if context.rank == 0:
        validator.save_best(folder / "best")
        described = json.dumps({"optimizer_steps": engine.optimizer_steps(), **state.to_dict()})
        # In whole kilobytes, filled up with spaces: so that the size does not hang on how many digits a score has.
        whole = -(-len(described) // STATE_BYTES) * STATE_BYTES
        (folder / "state.json").write_text(described.ljust(whole), encoding="utf-8")
        (folder / "config.json").write_text(plan.config.model_dump_json(indent=2), encoding="utf-8")
    return Saving(context.rank, context.world_size, state.step, _draw_attempt(engine.device))


def load_checkpoint(
    folder: Path, engine: Engine, ema: Ema | None, validator: Validator, plan: TrainingPlan
) -> TrainingState:
    """Restore engine, average and best weights from the proven ``folder``, and return the loop's state. Collective.

    To the last bit in a world of any size; in another one than before, sums over ranks then round otherwise.

    Raises:
        StopRun: the checkpoint's samples come from another data set or order, or it is of another program version.
    """
    state, optimizer_steps = read_state(folder)
    if state.data_digest != plan.data_digest:
        raise StopRun(
            f"the checkpoint's sample order {state.data_digest} is not this run's {plan.data_digest}: data.train, "
            "seed, data.streams, block_size or crops_per_image changed; start a new run under another storage"
        )
    with of_this_version("engine/ or best/"):
        load_engine(folder, engine, ema, optimizer_steps)
        validator.load_best(folder / "best")
    return state


def read_state(folder: Path) -> tuple[TrainingState, int]:
    """The loop's state, and how often the optimizer counted itself to have stepped. Raises StopRun."""
    with of_this_version("state.json"):
        described = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        optimizer_steps = int(described.pop("optimizer_steps"))
        return TrainingState.from_dict(described), optimizer_steps


@contextmanager
def of_this_version(what: str) -> Iterator[None]:
    """The files are proven to be those that were written: what does not fit was written by another program."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, SafetensorError) as error:
        raise StopRun(
            f"the checkpoint's {what} is not what this version of the program writes ({type(error).__name__}: "
            f"{first_line(error)[:200]}); go on with the version that wrote it, or start anew under another storage"
        ) from error


def _draw_attempt(device: torch.device) -> int:
    """A number that all ranks share and no other saving has, always of as many digits. Collective."""
    number = torch.tensor(secrets.randbits(52) | 1 << 52, device=device)
    if dist.get_world_size() > 1:
        dist.broadcast(number, src=0)
    return int(number)
