"""What all contestants share: pictures, store, numbers of consumers; and how one epoch of one of them is run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmarks.peers.consumer import Job
from pipeline.benchmarks.peers.consumers import Event, Program, Run, run_world, write_dataset
from pipeline.benchmarks.peers.store import BUCKET, CountingStore

GLOBAL_BATCH = 6  # which one, two and three consumers share
WORKERS = 2  # loader processes of each consumer
SHARDS = 24  # which two and three consumers with their loader processes share: plain WebDataset deals out whole shards
SEED = 7


@dataclass(frozen=True)
class Contestant:
    """A library as it is used here. name: in the table. version: of the library. keeps: shards on local disk."""

    name: str
    version: str
    program: Program
    keeps: bool = False


@dataclass(frozen=True)
class Contest:
    """The same for all. truth: key to digest of the pixels. silence_s: with no sign of life for so long a run hangs."""

    folder: Path
    pictures: Path
    truth: Mapping[str, str]
    store: CountingStore
    environment: Mapping[str, str]
    silence_s: float

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return len(self.truth) // GLOBAL_BATCH

    def write(self, contestant: Contestant, name: str, variant: str | None = None) -> str:
        """Have the contestant write its data set to ``name`` in the store; returns its refusal, or an empty text."""
        program = contestant.program
        if variant is not None:
            program = Program(program.python, program.module, variant)
        per_shard = max(1, len(self.truth) // SHARDS)
        return write_dataset(program, self.pictures, self.store.folder / name, per_shard, self.environment)

    def epoch(
        self, contestant: Contestant, dataset: str, label: str, *, world: int, workers: int = WORKERS, save_at: int = 0,
        resume: Path | None = None, cache: str = "", keep: bool = False,
        kill_when: Callable[[Sequence[Sequence[Event]]], bool] = lambda events: False,
    ) -> Run:  # fmt: skip
        """Run an epoch, or the rest of one, with its files below ``label``.

        cache: the label of the folder where shards are kept, if not its own. keep: whether those of an earlier run are
        left there, as on the same machine; else the consumers find the folder empty, as on new machines.
        """
        place = self.folder / "runs" / label
        saves = place / "saves"
        saves.mkdir(parents=True)
        shards = self.folder / "shards" / (cache or label)
        if not keep:
            shutil.rmtree(shards, ignore_errors=True)
        jobs = [
            Job(
                uri=f"s3://{BUCKET}/{dataset}", cache=str(shards), rank=rank, world=world,
                workers=workers, batch=GLOBAL_BATCH // world, samples=len(self.truth), seed=SEED, save_at=save_at,
                saves=str(saves), resume=str(resume or ""), meeting=str(place / "meeting"),
                events=str(place / f"events-{rank}.jsonl"), variant=contestant.program.variant,
            )
            for rank in range(world)
        ]  # fmt: skip
        return run_world(
            contestant.program, jobs, place, self.environment, silence_s=self.silence_s, kill_when=kill_when
        )

    def saves(self, label: str) -> Path:
        """Where the run ``label`` saved its states."""
        return self.folder / "runs" / label / "saves"
