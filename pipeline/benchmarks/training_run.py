"""Measures what Ray Train, DeepSpeed and our loop add to a bare PyTorch step (see pipeline.benchmarks.training)."""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.benchmarks.clock import median_ratio
from pipeline.benchmarks.promises import Promise
from pipeline.benchmarks.rows import RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.benchmarks.training_pace import BATCH, BLOCK, PATCH, RATE, blocks_of, compare_steps, pace
from pipeline.cluster import Board
from pipeline.config import RunConfig, resolve
from pipeline.data.packing.builtin import builtin_sources
from pipeline.data.packing.pack import pack_dataset
from pipeline.own_cluster import own_cluster
from pipeline.training.context import Figures
from pipeline.training.ray_train import on_workers, run_training

WORK = ("forward", "backward", "step")  # of a step; all else is the pipeline's own


def run_training_benchmark(options: argparse.Namespace) -> int:
    """Print the table; 1 when a promise is missed."""
    rows = RowFile("training", options.output, machine("cpu", ("torch", "deepspeed", "ray")))
    with TemporaryDirectory() as name, own_cluster(cpus=2 * options.threads):
        folder, board = Path(name), Board()
        pack_dataset(builtin_sources("train"), str(folder / "train"))
        pack_dataset(builtin_sources("val"), str(folder / "val"))
        one, two = (benchmark_config(folder, options.steps, workers, options.threads) for workers in (1, 2))
        streamed = benchmark_config(folder, 1 + BLOCK * blocks_of(options.rounds), 1, options.threads)
        times = on_workers(streamed, "steps", board, partial(compare_steps, rounds=options.rounds))
        alone, both = (
            on_workers(config, f"pace-{config.training.max_workers}", board, partial(pace, rounds=options.rounds))
            for config in (one, two)
        )
        run_training(one, "loop", board)
        told = (notice.metrics for _, notice in board.collect() if isinstance(notice, Figures))
        loop = [metrics for metrics in told if "samples_per_second" in metrics][-1]
    names = {"bare": "bare PyTorch", "engine": "Ray Train + DeepSpeed", "streamed": "the same, batches streamed"}
    for key, case in names.items():
        step_ms = statistics.median(times[key])
        rows.add(case=case, workers=1, step_ms=step_ms, samples_per_second=1000 * BATCH / step_ms)
    rows.add(case="Ray Train + DeepSpeed", workers=2, step_ms=both, samples_per_second=2000 * BATCH / both)
    step_ms = 1000 * BATCH / loop["samples_per_second"]
    rows.add(
        case="the whole loop", workers=1, step_ms=step_ms, samples_per_second=loop["samples_per_second"], split=loop
    )
    own = 1 - sum(loop[f"time_{part}_ms"] for part in WORK) / step_ms
    over_bare = median_ratio(times["engine"], times["bare"])
    over_memory = median_ratio(times["streamed"], times["in_memory"])
    promises = [
        Promise("Ray Train + DeepSpeed / bare PyTorch, time of a step", over_bare, at_most=1.10),
        Promise("share of a step that is no forward, backward or optimizer step", own, at_most=0.03),
        Promise("streamed / in memory, time of a step", over_memory, at_most=1.05),
    ]
    columns = {"case": f"{PATCH}² patches, {BATCH} a worker", "workers": "workers", "step_ms": "ms a step"}
    print(format_table({**columns, "samples_per_second": "samples/s"}, rows.rows))
    print(f"\nTwo workers on two cores: {alone / both:.0%} of twice one worker's samples/s\n")
    rows.add(case="efficiency of two workers", value=alone / both)
    print(format_table(Promise.COLUMNS, [promise.to_row() for promise in promises]))
    for promise in promises:
        rows.add(case="promise", **promise.to_row())
    return 0 if all(promise.met for promise in promises) else 1


def benchmark_config(folder: Path, steps: int, workers: int, threads: int) -> RunConfig:
    """Denoising on the built-in photographs, a loader process beside each worker, nothing but steps before its end."""
    document = {
        "defaults": {
            "storage": str(folder / "runs"), "model": {"name": "ushape_tiny"},
            "data": {"train": str(folder / "train"), "val": str(folder / "val"), "patch_size": PATCH, "block_size": 8,
                     "loader_workers": 1},
            "training": {
                "steps": steps, "global_batch_size": BATCH * workers, "num_workers": workers,
                "cpus_per_worker": threads, "zero_stage": 1, "optimizer": "adam", "learning_rate": RATE, "loss": "l1",
                "log_every": max(1, steps - 1), "validate_every": steps, "checkpoint_every": steps,
                "schedule": {"kind": "constant"},
            },
        }
    }  # fmt: skip
    return resolve(document, "denoising_color", ["setting.sigma=25"])
