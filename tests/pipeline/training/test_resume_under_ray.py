"""The same command after its driver is gone, on Ray: the newest whole checkpoint counts, not what Ray Train noted."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.shelf import PREFIX
from tests.pipeline.training.checkpoint_harm import HARMS
from tests.pipeline.training.test_soak import config, losses, run

# Far apart: on a busy machine workers have trained some steps more when they hear that they are to stop.
STEPS, STOPPED_AT = 48, 5

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run without faults."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder / "run", config(shards, folder / "runs", STEPS), [])


def lose_the_latest(notes: Path) -> None:
    """As when the driver died after the last checkpoint was uploaded, and before Ray Train noted it."""
    values = json.loads(notes.read_text())
    values["checkpoint_results"].pop()
    values["checkpoint_report_indices"].pop()
    values["latest_checkpoint_result"] = values["checkpoint_results"][-1] if values["checkpoint_results"] else None
    notes.write_text(json.dumps(values))


def surprises(said: list[str], after: int) -> list[str]:
    """What was told, but for checkpoints after step ``after`` that an end of workers caught on their way to storage."""
    caught = re.compile(rf"checkpoint {PREFIX}(\d+) is unfinished|the run goes on from")
    found = [(line, caught.match(line)) for line in said]
    return [line for line, one in found if one is None or (one[1] is not None and int(one[1]) <= after)]


def test_a_latest_that_was_damaged_is_named_and_not_used(whole: dict[str, Any], shards: Path, tmp_path: Path) -> None:
    settings = config(shards, tmp_path / "runs", STEPS)
    first = run(tmp_path / "first", settings, [{"step": STOPPED_AT, "kind": "stop"}])
    assert "interrupted" in first
    folder = tmp_path / "runs" / "soak"
    latest = max(folder.glob("step-*"))
    HARMS["bit flipped"](latest / "engine" / "00001-of-00002.safetensors")
    second = run(tmp_path / "second", settings, [])
    assert second["said"][0].startswith(f"checkpoint {latest.name} is damaged (engine/00001-of-00002.safetensors")
    assert (folder / f"damaged-{latest.name}").is_dir()
    assert losses(first) | losses(second) == losses(whole)
    assert (second["steps"], second["best_psnr"]) == (whole["steps"], whole["best_psnr"])


@pytest.mark.parametrize("harm", [HARMS["cut"], HARMS["gone"], lose_the_latest], ids=["cut", "gone", "behind"])
def test_rays_notes_do_not_matter(harm: Any, whole: dict[str, Any], shards: Path, tmp_path: Path) -> None:
    """With a worker killed right after: what is in the way of nobody eats no failure (none is allowed but this one)."""
    settings = config(shards, tmp_path / "runs", STEPS, max_failures=1)
    first = run(tmp_path / "first", settings, [{"step": STOPPED_AT, "kind": "stop"}])
    at = int(first["interrupted"].split("step ")[1].split()[0])
    (notes,) = (tmp_path / "runs" / "soak").glob("*snapshot*.json")
    harm(notes)
    second = run(tmp_path / "second", settings, [{"step": at + 1, "kind": "kill", "worker": 0}])
    assert surprises(second["said"], after=at) == []
    assert min(losses(second)) == at + 1, "steps that were saved were trained again"
    assert losses(first) | losses(second) == losses(whole)


def test_workers_of_one_machine_meet_at_no_port(whole: dict[str, Any], shards: Path, tmp_path: Path) -> None:
    """Which another user would reach; anew after a kill, in a file that goes with the run."""
    (tmp_path / "tmp").mkdir()
    settings = config(shards, tmp_path / "runs", STEPS)
    kills = [{"step": step, "kind": "kill", "worker": 0} for step in (STOPPED_AT, STEPS // 2)]
    result = run(tmp_path / "first", settings, kills, TMPDIR=str(tmp_path / "tmp"), RAY_TMPDIR="/tmp")
    faults = [event for event in result["events"] if "fault" in event]
    for fault in faults:
        assert len(fault["meeting"]) == 1, "that of the group before is gone"
        assert fault["listening"]  # gloo's own
        assert not set(fault["meeting"]) & set(fault["listening"])
    assert faults[0]["meeting"] != faults[1]["meeting"]
    assert result["meeting"] == []
    assert losses(result) == losses(whole)


def test_a_run_that_lost_its_lease_ends_in_one_line_and_writes_no_checkpoint(
    whole: dict[str, Any], shards: Path, tmp_path: Path
) -> None:
    settings = config(shards, tmp_path / "runs", STEPS)
    lost = run(tmp_path / "lost", settings, [{"step": 5, "kind": "take"}])
    assert "was taken over by process" in lost["refused"]
    assert "\n" not in lost["refused"]
    lists = Counter(path.parts[-3] for path in (tmp_path / "runs" / "soak").glob("step-*/parts/*.json"))
    complete = [name for name, ranks in lists.items() if ranks == settings.training.num_workers]
    newest = int(max(complete).removeprefix(PREFIX))
    assert newest < STEPS
    assert losses(lost).items() <= losses(whole).items()
    second = run(tmp_path / "second", settings, [])
    assert surprises(second["said"], after=newest) == []
    assert min(losses(second)) == newest + 1
    assert losses(lost) | losses(second) == losses(whole)
