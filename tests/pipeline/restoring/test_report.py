"""What a person sees while pictures are restored."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import torch
from rich.console import Console

import semanir
from pipeline.restoring.files import Job
from pipeline.restoring.report import report
from pipeline.restoring.restore_files import Outcome
from pipeline.restoring.restorer import Restorer


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
        yield Outcome(Job(Path("photo.png"), Path("restored/photo.png")))

    screen = StringIO()
    assert report(outcomes(), 1, Console(file=screen, force_terminal=True, width=100), restorer) == 0
    assert seen == [(1, 2), (2, 2)]
    assert "tiles of this image" in screen.getvalue()
    assert "skipped" in screen.getvalue()
