"""One worker in this process, with a real model and real files: what Ray Data calls for each part of the plan."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.restoring.read import SUFFIXES, read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import encode
from pipeline.serving.batch.journal import Journal, fold, journal_key, journal_rows
from pipeline.serving.batch.names import Name, list_names
from pipeline.serving.batch.outcomes import Row, read_record
from pipeline.serving.batch.parts import with_known, write_plan
from pipeline.serving.batch.worker import THREADS, Order, Worker
from pipeline.storage import open_storage
from pipeline.storage.lease import HeldElsewhere, take
from tests.pipeline.serving.conftest import make_images


class Ears:
    """In place of the board that tells the driver."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def post(self, topic: str, news: dict[str, int]) -> None:
        for outcome, count in news.items():
            self.counts[outcome] = self.counts.get(outcome, 0) + count


def plan(source: Path, output: Path, per_part: int, anew: bool = False) -> int:
    names, store = list_names(open_storage(str(source))), open_storage(str(output))
    return write_plan(store, with_known(names, read_record(store), "s", anew), per_part)[0]


def worker(source: Path, output: Path, model: Path, lease: Any, overwrite: bool = False) -> Worker:
    order = Order(
        source=str(source), output=str(output), model=str(model), settings="s", k=3, tile=None, overlap=32,
        max_pixels=10**6, device="cpu", lease=lease.to_pass_on(), overwrite=overwrite,
    )  # fmt: skip
    return Worker(order, Ears())  # type: ignore[arg-type]


@pytest.fixture
def lease(tmp_path: Path) -> Any:
    held = take(open_storage(str(tmp_path / "out")), "the output")
    yield held
    held.release()


def rows_of(output: Path) -> dict[str, Row]:
    return {row.source: row for row in journal_rows(open_storage(str(output)))}


def test_parts_are_read_restored_and_noted(tiny_model: Path, tmp_path: Path, lease: Any) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    names = make_images(source, 7)
    (source / "odd\\name.png").write_bytes((source / names[0]).read_bytes())
    (source / "z.png").write_bytes(b"no image")
    (source / "_restoring").mkdir()
    (source / "_restoring/mine.png").write_bytes((source / names[0]).read_bytes())
    assert plan(source, output, per_part=4) == 3
    answer = worker(source, output, tiny_model, lease)(pa.table({"part": [0, 2, 1]}))
    assert answer.to_pylist() == [{"part": 0, "names": 4}, {"part": 2, "names": 2}, {"part": 1, "names": 4}]
    rows = rows_of(output)
    assert {name for name, row in rows.items() if row.outcome == "restored"} == set(names)
    assert rows["z.png"].kind == "unusable image"
    assert "leaves its folder" in rows["odd\\name.png"].why
    assert "rename that folder" in rows["_restoring/mine.png"].why
    restorer = Restorer(tiny_model, k=3, device="cpu")
    for name in names[::3]:
        assert (output / name).read_bytes() == encode(restorer.restore(read_picture(source / name)))


def test_a_folder_that_could_not_be_listed_is_a_failure_beside_the_others(
    tiny_model: Path, tmp_path: Path, lease: Any
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    (name,) = make_images(source, 1)
    found = [*list_names(open_storage(str(source))), Name("zz locked/", "zz locked/"), Name("zz\ud7ff%DF.png", "")]
    write_plan(open_storage(str(output)), with_known(found, [], "s"))
    worker(source, output, tiny_model, lease)(pa.table({"part": [0]}))
    rows = rows_of(output)
    assert rows[name].outcome == "restored"
    assert (rows["zz locked/"].kind, rows["zz locked/"].outcome) == ("unreadable folder", "failed")
    assert "its images are not restored" in rows["zz locked/"].why
    assert (rows["zz\ud7ff%DF.png"].kind, rows["zz\ud7ff%DF.png"].outcome) == ("odd name", "failed")
    assert "not UTF-8" in rows["zz\ud7ff%DF.png"].why


def test_a_picture_that_memory_does_not_hold_takes_no_other_of_its_batch_with_it(
    tiny_model: Path, tmp_path: Path, lease: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    names = make_images(source, 3)
    Image.new("RGB", (24, 16)).save(source / "wide.png")
    parts = plan(source, output, per_part=4)
    at_work = worker(source, output, tiny_model, lease)
    at_work._tiles, at_work._pixels = 8, 10**6  # as on a GPU: all four in one batch
    model = at_work._restorer.model
    forward = model.forward

    def forward_or_fail(x: torch.Tensor, **options: Any) -> torch.Tensor:
        return torch.empty(1 << 50) if x.shape[3] == 24 else forward(x, **options)

    monkeypatch.setattr(model, "forward", forward_or_fail)
    at_work(pa.table({"part": list(range(parts))}))
    rows = rows_of(output)
    assert {name for name, row in rows.items() if row.outcome == "restored"} == set(names)
    assert (rows["wide.png"].kind, rows["wide.png"].outcome) == ("out of memory", "failed")


def test_a_worker_keeps_its_threads(
    tiny_model: Path, tmp_path: Path, lease: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With threads of each part's own, memory grew by 4 MiB with every thousand images in a process of many threads."""
    reading: set[str] = set()

    def noted(data: bytes, max_pixels: int) -> Any:
        reading.add(threading.current_thread().name)
        return read_picture(data, max_pixels)

    monkeypatch.setattr("pipeline.serving.batch.reading.read_picture", noted)
    make_images(tmp_path / "in", 8)
    parts = plan(tmp_path / "in", tmp_path / "out", per_part=2)
    worker(tmp_path / "in", tmp_path / "out", tiny_model, lease)(pa.table({"part": list(range(parts))}))
    assert parts == 4
    assert 1 <= len(reading) <= THREADS


def test_a_packed_data_set_gives_a_file_for_each_key(tiny_model: Path, tmp_path: Path, lease: Any) -> None:
    images, source, output = tmp_path / "images", tmp_path / "in", tmp_path / "out"
    names = make_images(images, 5)
    pack_dataset(folder_sources(str(images)), str(source), PackSettings(shard_bytes=4000))
    parts = plan(source, output, per_part=64)
    worker(source, output, tiny_model, lease)(pa.table({"part": list(range(parts))}))
    assert {row.outcome for row in rows_of(output).values()} == {"restored"}
    made = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.png"))
    assert made == sorted(f"{name.rpartition('.')[0]}.png" for name in names)
    with Image.open(output / made[0]) as restored:
        assert np.asarray(restored).shape == (16, 16, 3)


def test_a_worker_goes_on_where_a_dead_one_was(tiny_model: Path, tmp_path: Path, lease: Any) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    names = make_images(source, 6)
    plan(source, output, per_part=64)
    dead = Journal(open_storage(str(output)), 0)  # an attempt that never ended
    dead.begin(names[0])
    first = worker(source, output, tiny_model, lease)
    first(pa.table({"part": [0]}))
    assert {row.outcome for row in rows_of(output).values()} == {"restored"}
    before = {name: (output / name).stat().st_mtime_ns for name in names}
    first(pa.table({"part": [0]}))  # Ray Data may ask for a part again
    assert {name: (output / name).stat().st_mtime_ns for name in names} == before
    assert (output / journal_key(0)).is_file()


def test_a_worker_whose_run_lost_the_output_writes_nothing(tiny_model: Path, tmp_path: Path, lease: Any) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    make_images(source, 2)
    plan(source, output, per_part=64)
    other = take(open_storage(str(output)), "the output", force="a test")
    with pytest.raises(HeldElsewhere, match="taken over by"):
        worker(source, output, tiny_model, lease)(pa.table({"part": [0]}))
    other.release()
    assert rows_of(output) == {}
    assert not list(output.rglob("*.png"))


def outcomes(output: Path) -> dict[str, tuple[str, str]]:
    return {row.source: (row.outcome, row.kind) for row in rows_of(output).values()}


def test_a_file_of_another_is_never_replaced_unless_it_is_said(tiny_model: Path, tmp_path: Path, lease: Any) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    first, second, third, *_ = make_images(source, 4)
    whole = encode(Restorer(tiny_model, k=3, device="cpu").restore(read_picture(source / second)))
    for name, content in ((first, b"mine"), (second, whole), (third, (source / third).read_bytes())):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(content)
    for _ in range(2):  # a failure must not make it ours
        plan(source, output, per_part=64)
        worker(source, output, tiny_model, lease)(pa.table({"part": [0]}))
        rows = rows_of(output)
        assert {name for name, row in rows.items() if row.outcome == "failed"} == {first, third}
        assert rows[first].kind == "in the way"
        assert "--overwrite" in rows[first].why
        assert (output / first).read_bytes() == b"mine"
        fold(open_storage(str(output)))
    plan(source, output, per_part=64, anew=True)
    worker(source, output, tiny_model, lease, overwrite=True)(pa.table({"part": [0]}))
    assert set(outcomes(output).values()) == {("restored", "")}
    assert (output / first).read_bytes() != b"mine"


class Killed(BaseException):
    """In place of a signal that nothing catches."""


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "packed"])
@pytest.mark.parametrize("driver", [False, True], ids=["worker killed", "driver killed"])
def test_a_result_without_its_row_is_the_run_s_own(
    packed: bool, driver: bool, tiny_model: Path, tmp_path: Path, lease: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after it wrote results and before it noted them; what it wrote differs, as on another kind of machine."""
    images, source, output = tmp_path / "in", tmp_path / "in", tmp_path / "out"
    make_images(images, 6)
    if packed:
        source = tmp_path / "packed"
        pack_dataset(folder_sources(str(images)), str(source), PackSettings())
    plan(source, output, per_part=64)
    dying = worker(source, output, tiny_model, lease)

    def killed(outcome: str) -> None:
        raise Killed

    monkeypatch.setattr(dying, "_tell", killed)  # called with the first row, before anything is stored of it
    monkeypatch.setattr("pipeline.serving.batch.worker.encode", lambda picture: b"other bits")
    with pytest.raises(Killed):
        dying(pa.table({"part": [0]}))
    monkeypatch.setattr("pipeline.serving.batch.worker.encode", encode)
    assert {outcome for outcome, _ in outcomes(output).values()} == {"begun"}
    written = [path for path in output.rglob("*") if path.suffix in SUFFIXES]
    assert written
    if driver:
        fold(open_storage(str(output)))
        plan(source, output, per_part=64)
    worker(source, output, tiny_model, lease)(pa.table({"part": [0]}))
    assert set(outcomes(output).values()) == {("restored", "")}
    assert b"other bits" not in {path.read_bytes() for path in written}


def test_a_result_that_was_cut_since_is_made_again_and_overwriting_makes_all(
    tiny_model: Path, tmp_path: Path, lease: Any
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    cut, *others = make_images(source, 3)

    def run(anew: bool = False) -> dict[str, tuple[str, str]]:
        plan(source, output, per_part=64, anew=anew)
        worker(source, output, tiny_model, lease, overwrite=anew)(pa.table({"part": [0]}))
        made = outcomes(output)
        fold(open_storage(str(output)))
        return made

    run()
    whole = (output / cut).read_bytes()
    (output / cut).write_bytes(b"")
    assert run() == {cut: ("restored", ""), **dict.fromkeys(others, ("kept", ""))}
    assert (output / cut).read_bytes() == whole
    assert set(run().values()) == {("kept", "")}
    assert set(run(anew=True).values()) == {("restored", "")}
    assert {row.size for row in read_record(open_storage(str(output)))} == {
        (output / name).stat().st_size for name in (cut, *others)
    }


def test_a_source_that_failed_in_between_still_owns_its_result(tiny_model: Path, tmp_path: Path, lease: Any) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    (name,) = make_images(source, 1)
    whole = (source / name).read_bytes()
    for content, outcome in ((whole, "restored"), (b"no image", "failed"), (whole, "restored")):
        (source / name).write_bytes(content)
        plan(source, output, per_part=64)
        worker(source, output, tiny_model, lease)(pa.table({"part": [0]}))
        assert rows_of(output)[name].outcome == outcome
        fold(open_storage(str(output)))
