"""The same command where the cluster's GPUs are gone: refused in one line, unless it goes on or nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import RunConfig, resolve
from pipeline.errors import UserError
from pipeline.runs.gpus_away import check_gpus_are_there
from pipeline.training.devices import with_devices
from pipeline.training.shelf import checkpoint_name

CPUS, GPUS = {"CPU": 8.0, "GPU": 0.0}, {"CPU": 8.0, "GPU": 2.0}


def given(storage: Path, **training: object) -> RunConfig:
    settings = {"steps": 8, "global_batch_size": 8, "num_workers": 2, **training}
    return resolve(
        {"defaults": {"storage": str(storage), "data": {"train": "a", "val": "b"}, "training": settings}}, "jpeg_color"
    )


def name(config: RunConfig) -> str:
    return f"jpeg_color-{config.fingerprint()}-12345678"


def leave_checkpoint(storage: Path, run_name: str) -> None:
    folder = storage / run_name / checkpoint_name(4)
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")


def test_what_was_trained_on_gpus_is_not_begun_anew_on_cpus(tmp_path: Path) -> None:
    run = given(tmp_path)
    here, there = with_devices(run, CPUS), with_devices(run, GPUS)
    check_gpus_are_there(run, here, name(here))  # nothing was trained yet
    leave_checkpoint(tmp_path, name(there))
    check_gpus_are_there(run, there, name(there))
    with pytest.raises(UserError, match=r"too few GPUs now: .* training\.use_gpu=false") as raised:
        check_gpus_are_there(run, here, name(here))
    assert str(tmp_path / name(there)) in str(raised.value)
    leave_checkpoint(tmp_path, name(here))
    check_gpus_are_there(run, here, name(here))  # it was begun there too, and goes on


@pytest.mark.parametrize("training", [{"use_gpu": False}, {"precision": "bf16"}])
def test_who_said_which_is_not_asked(tmp_path: Path, training: dict[str, object]) -> None:
    leave_checkpoint(tmp_path, name(with_devices(given(tmp_path), GPUS)))
    here = with_devices(given(tmp_path, **training), CPUS)
    check_gpus_are_there(given(tmp_path, **training), here, name(here))
