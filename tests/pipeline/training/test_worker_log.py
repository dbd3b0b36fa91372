"""A worker leaves one line when it starts, resumes, meets a fault, leaves: with its rank and step."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.training.context import Interrupted, PlainContext
from pipeline.training.worker_log import WorkerLog, logger, show_lines


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logger, "propagate", True)  # another test may have shown the lines
    caplog.set_level(logging.INFO, logger=logger.name)
    return caplog


def test_every_line_names_rank_and_step(lines: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    log = WorkerLog(PlainContext(tmp_path, rank=1, world_size=4))
    log.says("starts")
    log.step = 120
    log.ends(Interrupted("asked to leave at step 120 of 200, which is saved"))
    log.ends(RuntimeError("Connection closed by peer\nand a long story"))
    assert [(record.levelname, record.getMessage()) for record in lines.records] == [
        ("INFO", "rank 1 of 4, step 0: starts"),
        ("INFO", "rank 1 of 4, step 120: leaves: asked to leave at step 120 of 200, which is saved"),
        ("ERROR", "rank 1 of 4, step 120: fault: RuntimeError: Connection closed by peer"),
    ]


def test_the_lines_reach_standard_error_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = logger.handlers[:], logger.propagate, logger.level
    logger.handlers = []
    try:
        show_lines()
        show_lines()
        WorkerLog(PlainContext(tmp_path)).says("starts")
        assert capsys.readouterr().err.count("rank 0 of 1, step 0: starts") == 1
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
