"""The benchmark of folders on Ray, through its job on a cluster of its own, and the arithmetic of its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import benchmark
from pipeline.benchmarks.batch_run import digests, make_pieces, pace, summary
from pipeline.benchmarks.rows import Row
from tests.tree import ROOT


@pytest.mark.slow
def test_one_and_two_workers_are_timed_and_give_the_same_bytes(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    words = ["--images", "80", "--size", "16", "--rounds", "1", "--output", str(rows)]  # two parts, so two workers
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_ADDRESS")}
    done = subprocess.run(
        [sys.executable, "jobs/benchmark.py", "batch", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (json.loads(line) for line in rows.read_text().splitlines())
    assert [row["workers"] for row in (one, two)] == [1, 2]
    assert {row["status"] for row in (one, two)} == {"ok"}
    assert all(row["images"] == 80 and row["images_per_second"] > 0 for row in (one, two))
    assert "images / s" in done.stdout


def test_the_pieces_are_all_different_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_pieces(tmp_path / name, 120, 16)
    assert len(set(digests(tmp_path / "a").values())) == 120
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_the_pace_is_that_of_the_middle() -> None:
    steady = [100 + 0.5 * number for number in range(100)]
    assert pace(steady) == pytest.approx(2.0)
    late = [0.0, *steady[1:99], 10_000.0]  # one worker was there long before, and one image took very long
    assert pace(late[::-1]) == pytest.approx(2.0)


def rounds(*cases: tuple[int, float | None, str]) -> list[Row]:
    return [
        {"workers": workers, "images_per_second": pace, "whole_per_second": pace and pace / 2, "status": status}
        for workers, pace, status in cases
    ]


def test_ratios_are_to_the_first_number() -> None:
    one, two = summary(rounds((1, 10.0, "ok"), (2, 19.0, "ok"), (1, 5.0, "ok"), (2, 9.0, "ok")), [1, 2])
    assert (one["ratio"], one["images_per_second"], one["status"]) == (1.0, 7.5, "ok")
    assert two["ratio"] == pytest.approx((1.9 + 1.8) / 2)
    assert (two["whole_ratio"], two["status"]) == (two["ratio"], "ok")


def test_a_wrong_round_leaves_no_figure() -> None:
    one, two = summary(rounds((1, 10.0, "ok"), (2, 19.0, "ok"), (1, 5.0, "ok"), (2, None, "wrong")), [1, 2])
    assert (one["images_per_second"], one["ratio"]) == (7.5, 1.0)
    assert two == {
        "workers": 2,
        "status": "wrong",
        **dict.fromkeys(("images_per_second", "ratio", "whole_per_second", "whole_ratio")),
    }
    one, two = summary(rounds((1, None, "wrong"), (2, 19.0, "ok")), [1, 2])
    assert one["images_per_second"] is one["ratio"] is two["ratio"] is None
    assert two["images_per_second"] == 19.0


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["batch", "--workers", "0"]) == 2
    assert "--workers: 0 is below 1" in capsys.readouterr().err
    assert benchmark.main(["batch", "--images", "8", "--size", "8", "--model", "shipped:nothing"]) == 2
    assert "nothing" in capsys.readouterr().err
