"""What the trainings of these tests share: small shards, and a plain process group."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources

WORKER = "tests.pipeline.training.plain_worker"
PATIENCE_S = 240
Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small images with some structure, packed."""
    root = tmp_path_factory.mktemp("loop-data")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        coarse = rng.integers(0, 256, (6, 6 + number, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 36)).save(root / "images" / f"{number}.png")
    pack_dataset(folder_sources(str(root / "images")), str(root / "shards"))
    return root / "shards"


@pytest.fixture(scope="session")
def run_group() -> Run:
    """``run_group(folder, kind, world_size, **job)`` runs a job of plain_worker.py; returns each rank's result.

    The ranks are forked from a process that has imported everything: that takes longer than most of the jobs.
    """
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WORKER])

    def run(folder: Path, kind: str, world_size: int, **job: Any) -> list[dict[str, Any]]:
        (folder / "rendezvous").unlink(missing_ok=True)
        description = {"kind": kind, "world_size": world_size, "folder": str(folder), **job}
        (folder / "job.json").write_text(json.dumps(description))
        # Into files: a rank that nobody listens to would stop once its pipe is full, and the others wait for it.
        logs = [folder / f"log.{rank}" for rank in range(world_size)]
        ranks = [
            context.Process(target=run_logged, args=(str(folder / "job.json"), rank, str(log)), daemon=True)
            for rank, log in enumerate(logs)
        ]
        for process in ranks:
            process.start()
        try:
            for process in ranks:
                process.join(PATIENCE_S)
        finally:
            for process in ranks:
                process.kill()
        outputs = [log.read_text(errors="replace") for log in logs]
        assert all(process.exitcode == 0 for process in ranks), "\n".join(outputs)
        return [json.loads((folder / f"result.{rank}.json").read_text()) for rank in range(world_size)]

    return run


def run_logged(job: str, rank: int, log: str) -> None:
    """A rank in a process of its own, all of whose output goes to ``log``."""
    from tests.pipeline.training.plain_worker import run_rank

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    run_rank(Path(job), rank)
