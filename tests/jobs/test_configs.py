"""The shipped configurations pass every check that needs no server, for every task."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import read_config, resolve
from pipeline.runs.preflight import check_config
from pipeline.tasks import TASKS

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"


@pytest.mark.parametrize("name", ["first_run.yaml", "quarter_hour.yaml"])
@pytest.mark.parametrize("task", TASKS)
def test_a_shipped_configuration_is_valid_for_every_task(name: str, task: str) -> None:
    config = resolve(read_config(CONFIGS / name), task)
    check_config(config)
    assert config.model.name == TASKS[task].tiny_model
