"""Batches that a run passes over: a line for who waits, and the names of their samples in the run's record."""

from __future__ import annotations

import json
from typing import Any

import torch.distributed as dist

from pipeline.training.context import WorkerContext

SHOWN = 8  # names in the line; the file has all


class LeftOut:
    """Tells of steps whose batch was left out, with the samples of all ranks."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._group = dist.new_group(backend="gloo") if context.world_size > 1 else None

    def tell(self, step: int, why: str, own_keys: list[str]) -> None:
        """``step`` (from 1) was not taken because of ``why``; collective, every rank with its own samples."""
        found: list[Any] = [own_keys]
        if self._group is not None:
            found = [None] * self._context.world_size
            dist.all_gather_object(found, own_keys, group=self._group)
        if self._context.rank != 0:
            return
        keys = [key for rank in found for key in rank]
        more = " …" if len(keys) > SHOWN else ""
        self._context.say(f"step {step} is left out: {why}; samples {', '.join(keys[:SHOWN])}{more}")
        record = {"step": step, "why": why, "samples": keys}
        self._context.file(f"left_out/step-{step:09d}.json", json.dumps(record, indent=1).encode())
