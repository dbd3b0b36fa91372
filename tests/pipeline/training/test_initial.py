"""Weights that a run is to start from, and that are no weights: one line on the worker, which no restart repeats."""

from __future__ import annotations

from pathlib import Path

import pytest

import semanir
from pipeline.errors import UserError
from pipeline.training.training_plan import load_initial

SMALL = {"embed_dim": 8, "depths": (1, 1, 1), "window_size": 4, "k": 4, "bias_hidden_dim": 8}


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"damaged"), ("model.safetensors", None), ("config.json", b"{"), ("config.json", b"[1]")],
    ids=["damaged", "gone", "cut", "list"],
)
def test_a_damaged_start_is_named(file: str, content: bytes | None, tmp_path: Path) -> None:
    model = semanir.create_model("ushape_tiny", **SMALL)
    folder = semanir.save(model, tmp_path / "start")
    load_initial(model, str(folder))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=rf"model\.init {folder}: .*{file}") as refusal:
        load_initial(model, str(folder))
    assert "\n" not in str(refusal.value)
