"""Measures what DeepSpeed and our loop add to a bare PyTorch step (see pipeline.benchmarks.training)."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import semanir
from pipeline.benchmarks.clock import median_milliseconds
from pipeline.benchmarks.promises import Promise
from pipeline.benchmarks.rows import RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.config import RunConfig, resolve
from pipeline.data.builtin import builtin_sources
from pipeline.data.pack import pack_dataset
from pipeline.training.context import PlainContext
from pipeline.training.engine import Engine
from pipeline.training.loop import train
from pipeline.training.losses import get_loss

BATCH, PATCH, RATE = 8, 64, 1e-4
CHECKED_STEPS, TOLERANCE = 3, 1e-4
LOOP_PARTS = ("data", "average")  # of a step; the other parts are the model's own work


def run_training_benchmark(options: argparse.Namespace) -> int:
    """Print the table; 1 when the losses disagree or a promise is missed."""
    torch.set_num_threads(options.threads)
    with TemporaryDirectory() as folder:
        config = benchmark_config(Path(folder), options.steps)
        bare, engine = BareStep(), EngineStep(config, PlainContext(Path(folder) / "unused"))
        for _ in range(CHECKED_STEPS):
            expected, found = bare(), engine()
            if abs(found - expected) > TOLERANCE * abs(expected):
                print(f"the engine's loss {found:.6f} is not plain PyTorch's {expected:.6f}: nothing is timed")
                return 1
        times = median_milliseconds({"bare PyTorch": bare, "DeepSpeed engine": engine}, options.rounds, "cpu")
        pack_dataset(builtin_sources("train"), str(Path(folder) / "train"))
        pack_dataset(builtin_sources("val"), str(Path(folder) / "val"))
        context = PlainContext(Path(folder) / "run")
        train(config, context)
    loop = [metrics for _, metrics in context.logged if "samples_per_second" in metrics][-1]
    rows = RowFile("training", options.output, machine("cpu", ("torch", "deepspeed")))
    for name, milliseconds in times.items():
        rows.add(case=name, step_ms=milliseconds)
    step_ms = 1000 * BATCH / loop["samples_per_second"]
    rows.add(case="loop, streamed from shards", step_ms=step_ms, **loop)
    own = sum(loop[f"time_{part}_ms"] for part in LOOP_PARTS)
    ratio = times["DeepSpeed engine"] / times["bare PyTorch"]
    promises = [
        Promise("DeepSpeed engine / bare PyTorch, time of a step", ratio, at_most=1.10),
        Promise("the loop's own share of a step, data streamed from shards", own / step_ms, at_most=0.03),
    ]
    print(format_table({"case": "one worker, batch 8 of 64²", "step_ms": "ms a step"}, rows.rows))
    print()
    print(format_table(Promise.COLUMNS, [promise.to_row() for promise in promises]))
    for promise in promises:
        rows.add(case="promise", **promise.to_row())
    return 0 if all(promise.met for promise in promises) else 1


def benchmark_config(folder: Path, steps: int) -> RunConfig:
    """The loop's run: denoising on the built-in photographs, no validation or checkpoint before its end."""
    document = {
        "defaults": {
            "storage": str(folder / "runs"), "model": {"name": "ushape_tiny"},
            "data": {"train": str(folder / "train"), "val": str(folder / "val"), "patch_size": PATCH, "block_size": 8},
            "training": {
                "steps": steps, "global_batch_size": BATCH, "num_workers": 1, "zero_stage": 1, "optimizer": "adam",
                "learning_rate": RATE, "loss": "l1", "log_every": max(1, steps - 1), "validate_every": steps,
                "checkpoint_every": steps, "schedule": {"kind": "constant"},
            },
        }
    }  # fmt: skip
    return resolve(document, "denoising_color", ["setting.sigma=25"])


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

    def __init__(self, config: RunConfig, context: PlainContext) -> None:
        self.engine, self.batch, self.loss = Engine(fresh_model(), config.training, context), batch(), get_loss("l1")

    def __call__(self) -> float:
        loss = self.engine.step([self.batch], self.loss, RATE, None)
        assert loss is not None
        return loss
