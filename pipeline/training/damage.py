"""Damaged samples during training: one line when they end the run, a list of names when they are passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from pipeline.data.faults import DamagedSample, Fault, TooMuchDamage
from pipeline.training.context import DamagedData, WorkerContext

FILE = "skipped_samples.json"


@contextmanager
def damage_in_one_line() -> Iterator[None]:
    """Turn proven damage that the configuration does not let pass into :class:`DamagedData`, which restarts nothing."""
    try:
        yield
    except (DamagedSample, TooMuchDamage) as error:
        raise DamagedData(_one_line(error)) from None


def _one_line(error: Exception) -> str:
    said = error.args[0]
    if isinstance(said, str) and "Traceback" in said:
        # From a loader process torch hands over the traceback as text, whose last line is what the error said.
        return said.strip().splitlines()[-1].partition(": ")[2]
    return str(error)


class SkippedSamples:
    """The names of all samples that any rank passed over, in the run's record as soon as there are new ones.

    Args:
        context: whose ``file`` takes ``skipped_samples.json``, a list of {dataset, shard, key, kind}.
        known: the list so far, part of the loop's state; it grows in place.
    """

    def __init__(self, context: WorkerContext, known: list[dict[str, str]]) -> None:
        self._context, self._known, self._told = context, known, 0.0
        self._group = dist.new_group(backend="gloo") if context.world_size > 1 else None
        if known:  # the driver before this one may have died before it could pass them on
            self._tell()

    def update(self, own: Sequence[Fault], total: float) -> None:
        """Take in this rank's faults; collective when ``total``, the sum over all ranks, has changed."""
        if total == self._told:
            return
        self._told = total
        found: list[Any] = [list(own)]
        if self._group is not None:
            found = [None] * self._context.world_size
            dist.all_gather_object(found, list(own), group=self._group)
        for fault in (fault for rank in found for fault in rank):
            name = {"dataset": fault.dataset, "shard": fault.shard, "key": fault.key, "kind": fault.kind}
            if name not in self._known:
                self._known.append(name)
        self._tell()

    def _tell(self) -> None:
        if self._context.rank == 0:
            self._context.file(FILE, json.dumps(self._known, indent=1).encode())
