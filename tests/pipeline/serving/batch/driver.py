"""A restoring run in a process of its own, to be killed or bereft of its store, and what is seen of it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.serving.batch.outcomes import Row, read_record
from pipeline.storage import open_storage

RUN = Path(__file__).parent / "restore_run.py"
IMAGES = int(os.environ.get("SEMANIR_RESTORED_IMAGES", "5000"))
STALLED_S = 300.0  # without one more result; before the first, workers start
LOOK_EVERY_S = 0.5
OWN = ("_restoring/", "lease/", "record.parquet")  # what a run leaves beside the results


def results(output: str) -> list[str]:
    """The names of the images in the output, in order."""
    return [entry.key for entry in open_storage(output).list() if not entry.key.startswith(OWN)]


def rows_by_source(output: str) -> dict[str, Row]:
    """The record; fails where it has a source twice."""
    rows = list(read_record(open_storage(output)))
    found = {row.source: row for row in rows}
    assert len(found) == len(rows)
    return found


@dataclass(frozen=True)
class Driver:
    """output: where it writes. log: what it printed, over all its starts."""

    process: psutil.Popen
    output: str
    log: Path

    def alive(self) -> bool:
        return bool(self.process.poll() is None)

    def workers(self) -> list[psutil.Process]:
        """The processes that restore, by number; none once it has ended."""
        found, family = [], []
        with suppress(psutil.NoSuchProcess):
            family = self.process.children(recursive=True)
        for process in family:
            with suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if title.startswith("ray::") and "Worker" in title and "IDLE" not in title:
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def reach(self, count: int, each: Callable[[int], None] = lambda seen: None) -> None:
        """Until ``count`` results are there, or the run has ended; ``each`` hears how many there are, at every look."""
        seen, since = len(results(self.output)), time.monotonic()
        while self.alive() and seen < count:
            with suppress(psutil.TimeoutExpired):
                self.process.wait(LOOK_EVERY_S)
            now = len(results(self.output))
            if now != seen:
                seen, since = now, time.monotonic()
            each(seen)
            assert time.monotonic() - since < STALLED_S, f"no progress at {seen}\n{self.printed()}"

    def end(self) -> int:
        """Its exit status, once it has written the record."""
        return int(self.process.wait(timeout=STALLED_S))

    def printed(self) -> str:
        return self.log.read_text()[-3000:]


@contextmanager
def running(source: str, output: str, model: Path, log: Path, env: Mapping[str, str] | None = None) -> Iterator[Driver]:
    """The run with a cluster of two CPUs; at the end of the block it and all its processes are killed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    with log.open("ab") as sink:
        process = psutil.Popen(
            [sys.executable, str(RUN), source, output, str(model)],
            env=environment, stdout=sink, stderr=subprocess.STDOUT,
        )  # fmt: skip
    family: list[psutil.Process] = []
    try:
        yield Driver(process, output, log)
    finally:
        with suppress(psutil.NoSuchProcess):
            family = process.children(recursive=True)
            process.kill()
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs([process, *family], timeout=30)
