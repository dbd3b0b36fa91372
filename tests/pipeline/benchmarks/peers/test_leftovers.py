"""Only what appeared meanwhile, and only of that kind, is removed."""

from __future__ import annotations

from pathlib import Path

from pipeline.benchmarks.peers.leftovers import cleared_after


def test_new_segments_are_removed_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "000001_barrier").touch()
    with cleared_after(tmp_path):
        for name in ("000002_shard_states", "psm_other", "1_barrier"):
            (tmp_path / name).touch()
    assert {path.name for path in tmp_path.iterdir()} == {"000001_barrier", "psm_other", "1_barrier"}


def test_a_machine_without_that_folder_has_none(tmp_path: Path) -> None:
    with cleared_after(tmp_path / "none"):
        pass
