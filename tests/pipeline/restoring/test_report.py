"""What a person sees while pictures are restored."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

import semanir
from pipeline.restoring import report as report_module
from pipeline.restoring.files import Job
from pipeline.restoring.report import report
from pipeline.restoring.restore_files import Outcome
from pipeline.restoring.restorer import Restorer
from pipeline.wording import duration

JOBS = [Job(Path(name), Path("restored") / name) for name in ("big.png", "small.png", "slow.png")]


def test_one_large_image_shows_its_tiles(tmp_path: Path) -> None:
    restorer = Restorer(semanir.save(semanir.create_model("ushape_tiny"), tmp_path / "model"), tile=48, overlap=16)
    seen: list[tuple[int, int]] = []

    def outcomes() -> Iterator[Outcome]:
        show = restorer.progress
        assert show is not None

        def watch(done: int, among: int) -> None:
            seen.append((done, among))
            show(done, among)

        restorer.progress = watch
        restorer.run(torch.rand(1, 3, 80, 40))
        yield Outcome(JOBS[0])

    screen = StringIO()
    assert report(outcomes(), JOBS, Console(file=screen, force_terminal=True, width=100), restorer) == 0
    assert seen == [(1, 2), (2, 2)]
    assert "tiles of this image" in screen.getvalue()
    assert "skipped" in screen.getvalue()


def test_without_a_terminal_a_large_image_says_a_line_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "threads_for", lambda *_: 2)
    restorer = Restorer(semanir.save(semanir.create_model("ushape_tiny"), tmp_path / "model"))
    now = [0.0]

    def work(tiles: int, seconds: float) -> None:
        assert restorer.progress is not None
        for done in range(1, tiles + 1):
            now[0] += seconds
            restorer.progress(done, tiles)

    def outcomes() -> Iterator[Outcome]:
        """Each when the next was computed, as restore_files gives them."""
        last: list[Outcome] = []
        for job, tiles, seconds in zip(JOBS, (60, 9, 4), (2.0, 0.5, 40.0), strict=True):
            assert restorer.begins is not None
            restorer.begins(job.source)
            work(tiles, seconds)
            yield from last
            last = [Outcome(job)]
        yield from last

    screen = StringIO()
    assert report(outcomes(), JOBS, Console(file=screen, width=100), restorer, lambda: now[0]) == 0
    assert screen.getvalue().splitlines() == [
        "big.png: 60 tiles, about 2 min 00 s",
        *(f"big.png: {done} of 60 tiles, {duration(2 * (60 - done))} left" for done in range(8, 60, 6)),  # every tenth
        "[1/3] big.png -> restored/big.png",
        "slow.png: 4 tiles, about 2 min 40 s",  # two at once: one alone says nothing of the time
        "slow.png: 3 of 4 tiles, 40 s left",
        "[2/3] small.png -> restored/small.png",  # done before a line is worth it
        "[3/3] slow.png -> restored/slow.png",
        "3 restored, 0 skipped",
    ]


def test_a_name_colors_no_terminal_and_forges_no_line() -> None:
    job = Job(Path("\x1b[31mred\n30 restored, 0 skipped.png"), Path("out/red.png"))
    screen = StringIO()
    assert report([Outcome(job, "no picture")], [job], Console(file=screen, width=100)) == 1
    assert screen.getvalue().splitlines()[-1] == "0 restored, 1 skipped"
    assert "skipped \\x1b[31mred\\n30 restored, 0 skipped.png: no picture" in screen.getvalue().replace("\n", "")
    assert "\x1b" not in screen.getvalue()
