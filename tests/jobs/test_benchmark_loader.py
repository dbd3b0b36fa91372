"""The loader benchmark measures nothing before all loaders gave the same pixels, and keeps its rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark import main
from pipeline.benchmarks.feed import feed
from pipeline.benchmarks.loader_run import _compare
from pipeline.data.images import encode_image


def test_rows_of_all_loaders_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    for number in range(2):
        ramp = np.add.outer(np.arange(480), np.arange(480 + number))[:, :, None] * np.array([1, 2, 3])
        (tmp_path / "images" / f"{number}.png").write_bytes(encode_image((ramp % 256).astype(np.uint8)))
    output = tmp_path / "rows.jsonl"
    arguments = ["loader", "--images", str(tmp_path / "images"), "--samples", "16", "--rounds", "1"]
    # How fast this machine is decides between 0 and 1: both are whole runs.
    assert main([*arguments, "--output", str(output)]) in (0, 1)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    loaders = {row["loader"]: row for row in rows if row["kind"] == "rate"}
    assert {"ours", "webdataset", "folder of PNGs", "ours, 4 crops per image", "ours, lossless WebP"} == set(loaders)
    assert all(row["per_core"] > 0 and row["images"] == 3 for row in loaders.values())
    assert sum(row["kind"] == "promise" for row in rows) == 7
    assert "parity: all 3 images the same in every loader" in capsys.readouterr().out


def test_other_pixels_stop_the_run() -> None:
    _compare("same", {"a": "1"}, {"a": "1"})
    for found in ({"a": "2"}, {}, {"a": "1", "b": "1"}):
        with pytest.raises(RuntimeError, match="other delivers other images"):
            _compare("other", found, {"a": "1"})


def test_the_arithmetic_of_feeding_a_gpu() -> None:
    demand = feed("ushape_tiny", 64, tflops=6.0)
    assert demand.samples_per_second == pytest.approx(6e12 / (2 * demand.gmacs_training * 1e9))
    assert 2.5 < demand.gmacs_training / demand.gmacs < 3  # dictionaries have no backward pass
    assert demand.to_row(per_core=demand.samples_per_second / 5)["cores"] == pytest.approx(5)


def test_numbers_that_measure_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["loader", "--samples", "3"]) == 2
    assert "--samples must be at least 16" in capsys.readouterr().err
