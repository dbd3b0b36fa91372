"""What ``jobs/benchmark.py batch`` does: one row per round and number of workers."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from hashlib import sha256
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console

from pipeline.benchmarks.clock import median_ratio
from pipeline.benchmarks.restoring_run import photograph
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.data.images import encode_image
from pipeline.errors import UserError
from pipeline.own_cluster import own_cluster
from pipeline.registry import pull
from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import encode
from pipeline.serving.batch.on_ray import Request, restore_on_ray

# Of the results in the order of their times: before, workers start; after, some have nothing left to do.
MIDDLE = (0.3, 0.9)
PACES = ("images_per_second", "whole_per_second", "seconds")
CHECKED = 8  # results that are compared with those of this process alone
COLUMNS = {
    "workers": "workers", "images_per_second": "images / s", "ratio": "ratio",
    "whole_per_second": "of the whole command", "whole_ratio": "ratio", "status": "status",
}  # fmt: skip


def run_batch(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a number of workers gave other bytes."""
    workers = list(dict.fromkeys(options.workers))
    file = RowFile("batch", options.output, machine("cpu", ("torch", "ray")))
    with TemporaryDirectory() as scratch:
        source = Path(scratch) / "in"
        make_pieces(source, options.images, options.size)
        expected = restored_here(options.model, source, options.images)
        with nullcontext() if os.environ.get("RAY_ADDRESS") else own_cluster(max(workers), gpus=0):
            for number in range(options.rounds):
                for count in workers:
                    output = Path(scratch) / f"out-{number}-{count}"
                    row = measure(options.model, source, output, count)
                    found = digests(output)
                    expected = {**found, **expected}  # beyond what this process restored, the first run's
                    right = found == expected and len(found) == options.images
                    if not right:  # what is wrong has no figure
                        row |= dict.fromkeys(PACES)
                    file.add(round=number, size=options.size, **row, status="ok" if right else "wrong: other bytes")
    print(format_table(COLUMNS, summary(file.rows, workers)))
    return 1 if any(row["status"] != "ok" for row in file.rows) else 0


def make_pieces(folder: Path, count: int, size: int) -> None:
    """PNG files: squares out of a photograph, with noise, so that no two are the same."""
    rng = np.random.default_rng(0)
    whole = (photograph(1.0)[0].permute(1, 2, 0).numpy() * 255).round()
    for number in range(count):
        top, left = (int(rng.integers(0, side - size + 1)) for side in whole.shape[:2])
        piece = whole[top : top + size, left : left + size] + rng.normal(0, 15, (size, size, 3))
        path = folder / f"{number // 100:04d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(piece.clip(0, 255).round().astype(np.uint8)))


def restored_here(model: str, source: Path, count: int) -> dict[str, str]:
    """Digests of some results by name, as one process alone makes them."""
    restorer = Restorer(pull(model), device="cpu")
    some = sorted(source.rglob("*.png"))[:: max(1, count // CHECKED)]
    return {
        path.relative_to(source).as_posix(): sha256(encode(restorer.restore(read_picture(path)))).hexdigest()
        for path in some
    }


def digests(output: Path) -> dict[str, str]:
    """Of all results by name."""
    return {
        path.relative_to(output).as_posix(): sha256(path.read_bytes()).hexdigest() for path in output.rglob("*.png")
    }


def measure(model: str, source: Path, output: Path, workers: int) -> Row:
    """One run: images per second of its middle and of the whole command."""
    console = Console(file=StringIO())
    started = time.perf_counter()
    failed = restore_on_ray(
        Request(source=str(source), output=str(output), model=model, workers=workers, device="cpu"), console
    )
    whole = time.perf_counter() - started
    if failed:
        raise UserError(f"{failed} images were not restored: {console.file.getvalue()[-500:]}")  # type: ignore[attr-defined]
    times = [path.stat().st_mtime_ns / 1e9 for path in output.rglob("*.png")]
    return {
        "workers": workers, "images": len(times), "images_per_second": pace(times), "seconds": whole,
        "whole_per_second": len(times) / whole,
    }  # fmt: skip


def pace(times: Sequence[float]) -> float:
    """Results per second in the middle of a run, from the moments at which they were written."""
    ordered = sorted(times)
    first, last = (int(share * (len(ordered) - 1)) for share in MIDDLE)
    return (last - first) / max(ordered[last] - ordered[first], 1e-9)


def summary(rows: Sequence[Row], workers: Sequence[int]) -> list[Row]:
    """A row per number of workers, with medians over the rounds; ratio: to the first number, round by round.

    None stands for figures of a number that gave other bytes in any round, and for ratios of it and to it.
    """
    found: list[Row] = []
    for count in workers:
        own, first = ([row for row in rows if row["workers"] == one] for one in (count, workers[0]))
        line: Row = {"workers": count, "status": next((r["status"] for r in own if r["status"] != "ok"), "ok")}
        for figure, ratio in (("images_per_second", "ratio"), ("whole_per_second", "whole_ratio")):
            ours, theirs = ([row[figure] for row in rows if row["status"] == "ok"] for rows in (own, first))
            line[figure] = statistics.median(ours) if len(ours) == len(own) else None
            whole = len(ours) + len(theirs) == len(own) + len(first)
            line[ratio] = median_ratio(ours, theirs) if whole else None
        found.append(line)
    return found
