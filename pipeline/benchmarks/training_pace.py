"""What one worker measures for `jobs/benchmark.py training`: a bare step, the engine's, and one on streamed batches."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

import semanir
from pipeline.benchmarks.clock import each_milliseconds, median_milliseconds
from pipeline.config import RunConfig
from pipeline.training.context import WorkerContext
from pipeline.training.engine import Engine
from pipeline.training.loop import take_step
from pipeline.training.losses import get_loss
from pipeline.training.training_plan import TrainingPlan

BATCH, PATCH, RATE = 8, 64, 1e-4
CHECKED_STEPS, TOLERANCE = 3, 1e-4
BLOCK = 8  # steps in a row on streamed batches, and in memory: loader workers may still refill after a block's end


def compare_steps(config: RunConfig, context: WorkerContext, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of the steps of each kind, round by round: what a worker of Ray Train is given to run.

    Raises:
        RuntimeError: the engine's losses are not plain PyTorch's; nothing was timed.
    """
    bare, engine = BareStep(), EngineStep(config, context)
    for _ in range(CHECKED_STEPS):
        expected, found = bare(), engine()
        if abs(found - expected) > TOLERANCE * abs(expected):
            raise RuntimeError(f"the engine's loss {found:.6f} is not plain PyTorch's {expected:.6f}: nothing is timed")
    times = each_milliseconds({"bare": bare, "engine": engine}, rounds, context.device.type)
    streamed = StreamedStep(engine, config, context)
    means: dict[str, list[float]] = {"in_memory": [], "streamed": []}
    streamed()
    for _ in range(blocks_of(rounds)):
        for name, step in (("in_memory", engine), ("streamed", streamed)):
            means[name].append(_mean_milliseconds(step))
    return times | means


def blocks_of(rounds: int) -> int:
    """Blocks of steps that ``rounds`` come to; :func:`compare_steps` takes one streamed batch besides."""
    return max(3, rounds // 2)


def pace(config: RunConfig, context: WorkerContext, rounds: int) -> float:
    """Milliseconds of the engine's step alone, on as many workers as there are."""
    return median_milliseconds({"engine": EngineStep(config, context)}, rounds, context.device.type)["engine"]


def _mean_milliseconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(BLOCK):
        step()
    return 1000 * (time.perf_counter() - start) / BLOCK


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    gt = torch.rand(BATCH, 3, PATCH, PATCH, generator=generator)
    return gt + 0.1 * torch.randn(gt.shape, generator=generator), gt


def fresh_model() -> semanir.SemanIR:
    torch.manual_seed(0)
    return semanir.create_model("ushape_tiny")


class BareStep:
    """Forward, backward, Adam: calling it trains one step and returns the loss."""

    def __init__(self) -> None:
        self.model, self.batch, self.loss = fresh_model(), batch(), get_loss("l1")
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)

    def __call__(self) -> float:
        lq, gt = self.batch
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.model(lq), gt)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class EngineStep:
    """The same through our engine."""

    def __init__(self, config: RunConfig, context: WorkerContext) -> None:
        phases = TrainingPlan(config, context).schedule.phases
        self.engine = Engine(fresh_model(), config.training, phases, context)
        self.batch, self.loss = batch(), get_loss("l1")

    def __call__(self) -> float:
        return self.on(self.batch)

    def on(self, batch: tuple[Tensor, Tensor]) -> float:
        """One step on ``batch``."""
        loss = self.engine.step([batch], self.loss, RATE, None).loss
        assert loss is not None
        return loss


class StreamedStep:
    """A step of ``engine`` on the next batch of the configuration's stream, as the loop takes it."""

    def __init__(self, engine: EngineStep, config: RunConfig, context: WorkerContext) -> None:
        stream = TrainingPlan(config, context).open_stream(start_position=0)
        self.engine, self.batches = engine, iter(stream)

    def __call__(self) -> float:
        (taken,) = take_step(self.batches)
        return self.engine.on((taken.lq, taken.gt))
