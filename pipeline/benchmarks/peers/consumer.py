"""One consumer of an epoch, inside a library's environment: takes batches in step with the others, writes what it got.

Each library's module calls ``main`` with how it writes its data set and how it opens it:

    python -m pipeline.benchmarks.peers.litdata_peer write PICTURES FOLDER PER_SHARD VARIANT
    python -m pipeline.benchmarks.peers.litdata_peer read JOB.json

The lines of JSON that ``read`` appends to the job's file: ``ready`` (everything is imported), ``batch`` (step, keys,
digests of the pixels), ``saved``, ``end``, ``error`` (the exception with its causes); each with the time.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

BEYOND = 2  # steps that are trained after the saved one, and lost with the process


@dataclass(frozen=True)
class Job:
    """What one consumer is told.

    uri: where the data set lies, ``s3://…``. cache: a folder for a library that keeps shards. rank, world: of the
    consumers. workers: loader processes of each. batch: samples of one consumer's step. samples: in the data set.
    save_at: after how many steps the state is saved to ``saves``; 0 saves none, and BEYOND steps later the consumer
    waits to be killed. resume: a folder of saved states, or "". meeting: a file through which the consumers find each
    other. events: where the lines go. variant: of a library that is used in two ways.
    """

    uri: str
    cache: str
    rank: int
    world: int
    workers: int
    batch: int
    samples: int
    seed: int
    save_at: int
    saves: str
    resume: str
    meeting: str
    events: str
    variant: str

    @property
    def saved_steps(self) -> int:
        """How many steps the run had done whose state is resumed from; 0 without one."""
        return int(json.loads(Path(self.resume, "steps.json").read_text())) if self.resume else 0

    def saved_state(self) -> Any:
        """The state that the first consumer saved."""
        return json.loads(Path(self.resume, "state-0.json").read_text())


@dataclass(frozen=True)
class Opened:
    """A library's loader. batches: pairs of the keys and the digests of each step. state: what is to be saved now."""

    batches: Iterable[tuple[list[str], list[str]]]
    state: Callable[[], Any]


Write = Callable[[Path, Path, int, str], None]
Open = Callable[[Job], Opened]


def digest(pixels: Any) -> str:
    """SHA-256 of an image's shape and bytes; pixels: (H, W, C), uint8, an array or a tensor."""
    shape = ",".join(str(int(side)) for side in pixels.shape)
    return hashlib.sha256(shape.encode() + bytes(memoryview(pixels).cast("B"))).hexdigest()


def main(write: Write, read: Open) -> None:
    """Carry out the command line."""
    if sys.argv[1] == "write":
        pictures, folder, per_shard, variant = sys.argv[2:]
        write(Path(pictures), Path(folder), int(per_shard), variant)
        return
    values = json.loads(Path(sys.argv[2]).read_text())
    consume(Job(**{field.name: values[field.name] for field in fields(Job)}), read)


def consume(job: Job, read: Open) -> None:
    """Read to the epoch's end; ends the process with status 1 after an error."""
    with open(job.events, "a", encoding="utf-8", buffering=1) as file:

        def tell(event: str, **values: Any) -> None:
            file.write(json.dumps({"event": event, "time": time.time(), **values}) + "\n")

        try:
            _consume(job, read, tell)
        except BaseException:
            tell("error", text=traceback.format_exc())
            sys.exit(1)
        tell("end")


def _consume(job: Job, read: Open, tell: Callable[..., None]) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{job.meeting}", rank=job.rank, world_size=job.world)
    distributed.barrier()
    tell("ready")
    opened = read(job)
    batches, step = iter(opened.batches), job.saved_steps
    while True:
        taken = next(batches, None)
        # As gradients would be summed here, all must have a batch: the epoch ends for all with the first that has none.
        have = torch.tensor(int(taken is not None))
        distributed.all_reduce(have, distributed.ReduceOp.MIN)
        if taken is None or not int(have):
            return
        step += 1
        tell("batch", step=step, keys=taken[0], digests=taken[1])
        if step == job.save_at:
            Path(job.saves, f"state-{job.rank}.json").write_text(json.dumps(opened.state()))
            Path(job.saves, "steps.json").write_text(json.dumps(step))
            tell("saved")
        if job.save_at and step == job.save_at + BEYOND:
            threading.Event().wait()  # or a fast library is done before it is killed
