"""The matrix of damage again, with the checkpoints on a real S3 server, which can neither rename nor append."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.storage import Storage, open_storage
from pipeline.storage.fetch import fetch_folder
from pipeline.storage.lease import HeldElsewhere, sole_writer
from pipeline.training.context import PlainContext
from pipeline.training.loop import train
from tests.pipeline.training.checkpoint_harm import HARMS, files_of
from tests.pipeline.training.test_checkpoint_matrix import (
    LAST,
    WHERE,
    committed,
    config,
    digests,
    kind_of,
    outcome,
)

CELLS = [(file, what, where) for file in files_of(1) for what in HARMS for where in WHERE]
IN_CI = [("engine/00000-of-00001.safetensors", "bit flipped", "latest"), ("best/model.safetensors", "gone", "all")]


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of the uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    train(config(shards, 1), PlainContext(folder))
    return folder


def interrupted(whole: Path) -> Storage:
    """On S3, the checkpoints of a run that was killed in its fifth step."""
    store = open_storage(f"s3://tests/matrix-{os.getpid()}-{time.monotonic_ns()}")
    for path in whole.rglob("*"):
        if path.is_file() and LAST not in path.parts:
            store.write_file(path.relative_to(whole).as_posix(), path)
    return store


def harm(store: Storage, file: str, what: str, where: str, scratch: Path) -> None:
    folders = sorted({entry.key.partition("/")[0] for entry in store.list("step-")})
    for folder in folders if where == "all" else folders[-1:]:
        key, path = f"{folder}/{file}", scratch / "harmed"
        path.write_bytes(store.read(key))
        HARMS[what](path)
        if path.exists():
            store.write_file(key, path)
        else:
            store.delete(key)


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, marks=[] if cell in IN_CI else [pytest.mark.slow]) for cell in CELLS], ids=str
)
@pytest.mark.usefixtures("seaweed")
def test_a_damaged_checkpoint_on_s3(cell: tuple[str, str, str], whole: Path, shards: Path, tmp_path: Path) -> None:
    file, what, where = cell
    store = interrupted(whole)
    harm(store, file, what, where, tmp_path)
    context = PlainContext(store.uri)
    train(config(shards, 1), context)
    first = min(step for step, metrics in context.logged if "loss" in metrics)
    last = fetch_folder(f"{store.uri}/{LAST}", tmp_path / "last")
    assert (
        outcome(context.said, first, digests(last) == digests(whole / LAST)) == committed()[kind_of(file), what, where]
    )
    aside = {entry.key.partition("/")[0] for entry in store.list("damaged-")}
    named = [line for line in context.said if "set aside as" in line]
    assert {line.rpartition("/")[2] for line in named} == aside


@pytest.mark.usefixtures("seaweed")
def test_a_run_whose_lease_was_taken_stops_before_it_writes(whole: Path, shards: Path) -> None:
    store = interrupted(whole)
    before = {entry.key: entry.version for entry in store.list("step-")}
    with sole_writer(store.uri, "the run") as lease, sole_writer(store.uri, "the run", force="a test"):
        context = PlainContext(store.uri, lease=lease.to_pass_on())
        with pytest.raises(HeldElsewhere, match=r"the run was taken over by process .*a test"):
            train(config(shards, 1), context)
    assert min(step for step, metrics in context.logged if "loss" in metrics) == 5
    assert {entry.key: entry.version for entry in store.list("step-")} == before
