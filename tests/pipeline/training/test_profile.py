"""A profile on request: a trace that can be opened, and which names what the step did."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipeline.config import RunConfig, resolve
from pipeline.errors import UserError
from pipeline.training.context import PlainContext
from pipeline.training.loop import train


def config(shards: Path, *overrides: str) -> RunConfig:
    document = {
        "defaults": {
            "storage": "unused",
            "model": {"name": "ushape_tiny"},
            "data": {"train": str(shards), "val": str(shards), "patch_size": 16, "streams": 4, "block_size": 2},
            "training": {"steps": 3, "global_batch_size": 2, "num_workers": 1, "log_every": 1},
        }
    }
    return resolve(document, "denoising_color", overrides)


@pytest.mark.slow
def test_the_steps_asked_for_are_traced_and_change_nothing(shards: Path, tmp_path: Path) -> None:
    plain, profiled = PlainContext(tmp_path / "plain"), PlainContext(tmp_path / "profiled")
    train(config(shards), plain)
    train(config(shards, "training.profile_steps=[2, 3]"), profiled)
    assert plain.files == {}
    assert sorted(profiled.files) == ["profile/steps-2-3.operators.txt", "profile/steps-2-3.trace.json.gz"]
    trace = json.loads(gzip.decompress(profiled.files["profile/steps-2-3.trace.json.gz"]))
    names = [event.get("name", "") for event in trace["traceEvents"] if event.get("ph") == "X"]
    assert [names.count(part) for part in ("forward", "backward", "optimizer step")] == [2, 2, 2]
    table = profiled.files["profile/steps-2-3.operators.txt"].decode()
    assert "Self CPU time total" in table
    assert "conv" in table
    losses = [[metrics["loss"] for _, metrics in run.logged if "loss" in metrics] for run in (plain, profiled)]
    assert losses[0] == losses[1]
    assert config(shards).fingerprint() == config(shards, "training.profile_steps=[2, 3]").fingerprint()


@pytest.mark.parametrize("steps", ["[0, 1]", "[3, 2]", "[2, 4]", "[1, 11]"])
def test_other_steps_are_refused(shards: Path, steps: str) -> None:
    with pytest.raises(UserError, match=r"profile_steps .* at most 10 steps within 1\.\.3"):
        config(shards, f"training.profile_steps={steps}")
