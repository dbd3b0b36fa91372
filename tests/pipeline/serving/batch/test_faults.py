"""Thousands of images with workers and the driver killed in between: each is restored once, and the record is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.serving.batch.driver import IMAGES, results, rows_by_source, running
from tests.pipeline.serving.conftest import make_images

KILLS = 5

pytestmark = pytest.mark.slow


def test_killed_workers_and_a_killed_driver_lose_no_image(tiny_model: Path, tmp_path: Path) -> None:
    source, output, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    names = make_images(source, IMAGES)
    output.mkdir()
    deaths = 0
    with running(str(source), str(output), tiny_model, log) as driver:
        for kill in range(1, KILLS + 1):
            driver.reach(kill * IMAGES // (2 * KILLS))
            for worker in driver.workers()[kill % 2 :][:1]:
                worker.kill()
                deaths += 1
        driver.reach(IMAGES * 6 // 10)
        assert driver.alive(), driver.printed()
        half = results(str(output))
    assert deaths == KILLS
    assert IMAGES // 2 < len(half) < IMAGES
    with running(str(source), str(output), tiny_model, log) as driver:
        driver.reach(IMAGES + 1)  # the record comes last
        assert driver.end() == 0, driver.printed()
    rows = rows_by_source(str(output))
    assert sorted(rows) == results(str(output)) == names
    assert {row.outcome for row in rows.values()} == {"restored"}, driver.printed()
    assert not (output / "_restoring").exists()
