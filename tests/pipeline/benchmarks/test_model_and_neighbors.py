"""The benchmarks of whole models and of fewer neighbors, on a small scale, through their job."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs import benchmark
from pipeline.benchmarks import model_run, neighbors_run
from pipeline.benchmarks.table import format_table
from semanir.ops.attention import backends


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_model_rows(tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    arguments = ["--models", "ushape_tiny", "--size", "16", "--rounds", "1", "--k", "8", "--output", str(output)]
    assert benchmark.main(["model", *arguments]) == 0
    rows = read(output)
    assert [(row["backend"], row["status"], row["parameters"], row["k"]) for row in rows] == [
        ("mask", "ok", 65_851, 8),
        ("dense", "ok", 65_851, 8),
    ]
    assert rows[0]["error"] == 0
    assert 0 < rows[1]["error"] < 1e-4
    assert all(row["train_ms"] > 0 and row["forward_mib"] > 0 for row in rows)


def test_a_backend_whose_gradient_alone_is_wrong_has_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, output = backends.BACKENDS["dense"], tmp_path / "rows.jsonl"

    def wrong(query: Tensor, key: Tensor, value: Tensor, *others: Tensor) -> Tensor:
        return right.attend(query, key, 1.01 * value - 0.01 * value.detach(), *others)

    monkeypatch.setitem(backends.BACKENDS, "dense", replace(right, attend=wrong))
    arguments = ["--models", "ushape_tiny", "--size", "16", "--rounds", "1", "--output", str(output)]
    assert benchmark.main(["model", *arguments]) == 1
    exact, spoiled = read(output)
    assert exact["status"] == "ok"
    assert spoiled["status"].startswith("wrong: gradient of ")
    assert not {"forward_ms", "train_ms"} & set(spoiled)


def test_what_is_no_model_is_one_line_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model_run, "measure", lambda *_: pytest.fail("measured"))
    assert benchmark.main(["model", "--models", "ushape_tiny", "swinir"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown model 'swinir'; known models: columnar_base")
    assert benchmark.main(["model", "--models", "ushape_base", "ushape_tiny", "--k", "900"]) == 2
    assert "900" in capsys.readouterr().err


def test_neighbors_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(neighbors_run, "CROP", 48)
    output = tmp_path / "rows.jsonl"
    assert benchmark.main(["neighbors", "--steps", "2", "--output", str(output)]) == 0
    rows = read(output)
    assert [(row["model"], row["k"]) for row in rows] == [
        (model, k) for model in ("semanir, random k", "twin, k = N") for k in (64, 32, 16, 8)
    ]
    assert all(15 < row["psnr"] < 30 for row in rows)
    assert "noisy input 20." in capsys.readouterr().out


def test_both_models_see_the_same_data_and_start_alike() -> None:
    images = [np.random.default_rng(0).random((60, 70, 3), dtype=np.float32)]
    first, again = (next(neighbors_run.batches(images, 25.0, np.random.default_rng([0, 0]))) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    starts = [neighbors_run.train_model(images, shares, 0, 25.0, seed=3) for shares in ((0.5,), (1.0,))]
    for a, b in zip(starts[0].parameters(), starts[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_table_aligns_numbers() -> None:
    text = format_table({"name": "name", "ms": "ms"}, [{"name": "a", "ms": 1.23456}, {"name": "bcdefg", "ms": 1234.5}])
    assert text.splitlines() == ["name      ms", "------  ----", "a       1.23", "bcdefg  1234"]
