"""What the trainings of these tests share: small shards, and a plain process group."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data.pack import pack_dataset
from pipeline.data.sources import folder_sources

WORKER = Path(__file__).parent / "plain_worker.py"
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
    """``run_group(folder, kind, world_size, **job)`` runs a job of plain_worker.py; returns each rank's result."""

    def run(folder: Path, kind: str, world_size: int, **job: Any) -> list[dict[str, Any]]:
        (folder / "rendezvous").unlink(missing_ok=True)
        description = {"kind": kind, "world_size": world_size, "folder": str(folder), **job}
        (folder / "job.json").write_text(json.dumps(description))
        processes = [
            subprocess.Popen(
                [sys.executable, str(WORKER), str(folder / "job.json"), str(rank)],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(world_size)
        ]
        try:
            outputs = [process.communicate(timeout=240)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert all(process.returncode == 0 for process in processes), "\n".join(outputs)
        return [json.loads((folder / f"result.{rank}.json").read_text()) for rank in range(world_size)]

    return run
