"""The benchmark of restoring a large photograph, on a small one, through its job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs import benchmark
from pipeline.benchmarks import restoring_run


def test_every_way_is_compared_and_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "rows.jsonl"
    arguments = ["--models", "ushape_tiny", "--megapixels", "0.07", "--rounds", "1", "--runtimes", "onnxruntime"]
    assert benchmark.main(["restore", *arguments, "--output", str(output)]) == 0
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["way"] for row in rows] == ["tiles in turn", "side by side", "onnxruntime"]
    assert all(row["status"] == "ok" and row["image"] == "216 x 324" for row in rows)
    assert rows[0]["ratio"] == 1
    assert all(0 < row["share_of_limit"] < 1 for row in rows)
    assert "convolution: " in capsys.readouterr().out


@pytest.mark.parametrize("error", [0.01, float("nan")])
def test_a_way_that_differs_has_no_figure(error: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, output, calls = restoring_run.restore_tiled, tmp_path / "rows.jsonl", []
    monkeypatch.setattr(restoring_run, "restore_tiled", lambda *given: calls.append(given) or right(*given) + error)
    arguments = ["--models", "ushape_tiny", "--megapixels", "0.01", "--rounds", "1", "--output", str(output)]
    assert benchmark.main(["restore", *arguments]) == 1
    exact, spoiled = (json.loads(line) for line in output.read_text(encoding="utf-8").splitlines())
    assert exact["status"] == "ok"
    assert spoiled["status"] == "wrong: at least 60 dB is asked"
    assert [spoiled[name] for name in ("seconds_per_megapixel", "ratio", "share_of_limit")] == [None] * 3
    assert len(calls) == 1  # compared, never timed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--megapixels", "0"], "argument --megapixels: 0 is not above 0"),
        (["--megapixels", "nan"], "argument --megapixels: nan is no number"),
        (["--runtimes", "tvm"], "unknown 'tvm'; known: onnxruntime, openvino"),
        (["--models", "ushape_tiny", "swinir"], "unknown model 'swinir'"),
        (["--output", "."], "--output . is a folder"),
        (["--output", "no/rows.jsonl"], "the folder no does not exist"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_measured(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restoring_run, "limit", lambda *_: pytest.fail("measured"))
    assert benchmark.main(["restore", "--rounds", "1", "--megapixels", "0.01", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_photograph_has_the_size_and_no_new_values() -> None:
    image = restoring_run.photograph(1.0)
    assert tuple(image.shape) == (1, 3, 816, 1224)
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
