"""Thousands of images with workers and the driver killed in between: each is restored once, and the record is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.serving.batch.outcomes import read_record
from pipeline.storage import open_storage
from tests.pipeline.serving.conftest import make_images

RUN = Path(__file__).parent / "restore_run.py"
IMAGES = int(os.environ.get("SEMANIR_RESTORED_IMAGES", "5000"))
KILLS = 5
STALLED_S = 120.0  # without one more result

pytestmark = pytest.mark.slow


def restored(output: Path) -> int:
    return sum(
        len(files) for folder, _, files in os.walk(output) if "_restoring" not in folder and "lease" not in folder
    )


def workers(driver: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in driver.children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::") and "Worker" in title and "IDLE" not in title:
            found.append(process)
    return sorted(found, key=lambda process: process.pid)


@contextmanager
def running(source: Path, output: Path, model: Path, log: Path) -> Iterator[psutil.Process]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as sink:
        process = psutil.Popen(
            [sys.executable, str(RUN), str(source), str(output), str(model)],
            env=environment, stdout=sink, stderr=subprocess.STDOUT,
        )  # fmt: skip
    family: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.is_running():
            family = process.children(recursive=True)
            process.kill()
        for member in family:
            member.kill()
        psutil.wait_procs([process, *family], timeout=30)


def reach(process: Any, output: Path, count: int, log: Path) -> None:
    """Until ``count`` results are there, or the run has ended."""
    seen, since = restored(output), time.monotonic()
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and seen < count:
        time.sleep(0.2)
        now = restored(output)
        if now != seen:
            seen, since = now, time.monotonic()
        assert time.monotonic() - since < STALLED_S, f"no progress at {seen} of {IMAGES}\n{log.read_text()[-3000:]}"


def test_killed_workers_and_a_killed_driver_lose_no_image(tiny_model: Path, tmp_path: Path) -> None:
    source, output, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    names = make_images(source, IMAGES)
    output.mkdir()
    deaths = 0
    with running(source, output, tiny_model, log) as driver:
        for kill in range(1, KILLS + 1):
            reach(driver, output, kill * IMAGES // (2 * KILLS), log)
            for worker in workers(driver)[kill % 2 :][:1]:
                worker.kill()
                deaths += 1
        reach(driver, output, IMAGES * 6 // 10, log)
        assert driver.is_running(), log.read_text()[-3000:]
        half = {path for path in source.rglob("*") if (output / path.relative_to(source)).exists()}
    assert deaths == KILLS
    assert IMAGES // 2 < len(half) < IMAGES
    with running(source, output, tiny_model, log) as driver:
        reach(driver, output, IMAGES + 1, log)  # the record comes last
        assert driver.wait(timeout=STALLED_S) == 0, log.read_text()[-3000:]
    rows = {row.source: row for row in read_record(open_storage(str(output)))}
    assert sorted(rows) == sorted(names)
    assert {row.outcome for row in rows.values()} == {"restored"}, log.read_text()[-3000:]
    assert not (output / "_restoring").exists() or not any((output / "_restoring").rglob("*.parquet"))
