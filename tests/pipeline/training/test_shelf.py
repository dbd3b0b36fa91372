"""The newest whole checkpoint of a run, whatever lies beside it; leftovers never fail anything."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from pipeline.training.proof import Saving
from pipeline.training.resume import newest_checkpoint
from pipeline.training.send import send
from pipeline.training.shelf import Shelf, checkpoint_name
from pipeline.training.upload import Uploads
from tests.pipeline.training.checkpoint_harm import HARMS

FILE = "engine/00000-of-00002.safetensors"


def put(shelf: Path, scratch: Path, step: int, ranks: tuple[int, ...] = (0, 1)) -> None:
    """A checkpoint, of two ranks unless one never came."""
    for rank in ranks:
        folder = scratch / f"{step}-{rank}"
        (folder / "engine").mkdir(parents=True)
        (folder / "engine" / f"{rank:05d}-of-00002.safetensors").write_bytes(bytes([step, rank]) * 50)
        if rank == 0:
            (folder / "state.json").write_text(f'{{"step": {step}}}')
        send(folder, Saving(rank, 2, step, step), str(shelf))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for step in (2, 4, 6):
        put(tmp_path / "run", tmp_path / "scratch", step)
    return tmp_path / "run"


def test_the_newest_is_fetched_with_all_its_files(three: Path, tmp_path: Path) -> None:
    found = Shelf(str(three)).fetch_newest(tmp_path / "copy")
    assert (found.name, found.unusable) == ("step-000000006", [])
    assert found.folder is not None
    assert (found.folder / FILE).read_bytes() == bytes([6, 0]) * 50
    assert (found.folder / "state.json").read_text() == '{"step": 6}'


def test_a_run_that_is_not_there_has_none(tmp_path: Path) -> None:
    found = Shelf(str(tmp_path / "nothing")).fetch_newest(tmp_path / "copy")
    assert (found.name, found.folder, found.unusable) == ("", None, [])


@pytest.mark.parametrize("what", HARMS)
@pytest.mark.parametrize("file", [FILE, "state.json"])
def test_a_damaged_one_is_passed_over_named_and_set_aside(file: str, what: str, three: Path, tmp_path: Path) -> None:
    HARMS[what](three / checkpoint_name(6) / file)
    before = {path.name: path.read_bytes() for path in (three / checkpoint_name(6)).rglob("*") if path.is_file()}
    shelf = Shelf(str(three))
    found = shelf.fetch_newest(tmp_path / "copy")
    assert found.name == "step-000000004"
    (unusable,) = found.unusable
    line = shelf.put_away(unusable)
    assert line.startswith("checkpoint step-000000006 is damaged (")
    assert file in line
    assert "\n" not in line
    aside = three / "damaged-step-000000006"
    assert line.endswith(str(aside))
    assert {path.name: path.read_bytes() for path in aside.rglob("*") if path.is_file()} == before
    assert not (three / checkpoint_name(6)).exists()
    shelf.put_away(unusable)  # again: nothing is there any more
    # The next one of this name finds another place.
    put(three, tmp_path / "again", 6)
    HARMS[what](three / checkpoint_name(6) / file)
    (unusable,) = shelf.fetch_newest(tmp_path / "copy-2").unusable
    assert shelf.put_away(unusable).endswith("damaged-step-000000006-2")


def test_what_a_crash_left_is_deleted_and_is_no_failure(three: Path, tmp_path: Path) -> None:
    put(three, tmp_path / "scratch", 8, ranks=(1,))
    shelf = Shelf(str(three))
    found = shelf.fetch_newest(tmp_path / "copy")
    assert found.name == "step-000000006"
    (unusable,) = found.unusable
    for _ in range(2):
        assert "unfinished" in shelf.put_away(unusable)
        assert not (three / checkpoint_name(8)).exists()


def test_a_folder_that_holds_something_else_is_not_deleted(three: Path, tmp_path: Path) -> None:
    (three / checkpoint_name(8)).mkdir()
    (three / checkpoint_name(8) / "thesis.tex").write_text("x")
    shelf = Shelf(str(three))
    (unusable,) = shelf.fetch_newest(tmp_path / "copy").unusable
    shelf.put_away(unusable)
    assert (three / "damaged-step-000000008" / "thesis.tex").read_text() == "x"


def test_only_the_newest_complete_ones_are_kept(three: Path, tmp_path: Path) -> None:
    put(three, tmp_path / "scratch", 8, ranks=(0,))  # on its way
    put(three, tmp_path / "scratch", 1, ranks=(0,))  # left long ago
    for _ in range(2):
        Shelf(str(three)).keep_newest(2)
        assert sorted(path.name for path in three.iterdir()) == [checkpoint_name(step) for step in (4, 6, 8)]


@pytest.mark.parametrize(
    ("steps_back", "kept"), [(1, (6, 8)), (2, (6, 8)), (3, (5, 6, 8)), (4, (4, 6, 8)), (6, (2, 6, 8)), (99, (2, 6, 8))]
)
def test_one_from_so_many_steps_before_is_kept_too(
    three: Path, tmp_path: Path, steps_back: int, kept: tuple[int, ...]
) -> None:
    for step in (5, 8):
        put(three, tmp_path / "scratch", step)
    Shelf(str(three)).keep_newest(2, steps_back)
    assert sorted(path.name for path in three.iterdir()) == [checkpoint_name(step) for step in kept]


def test_a_store_that_refuses_to_delete_fails_nothing(
    three: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Shelf, name: str) -> None:
        raise OSError("AWS Error ACCESS_DENIED")

    monkeypatch.setattr(Shelf, "_delete", refuse)
    with caplog.at_level("WARNING", logger="semanir.worker"):
        Shelf(str(three)).keep_newest(1)
    assert len(list(three.iterdir())) == 3
    assert "ACCESS_DENIED" in caplog.text


def test_checking_the_last_one_sees_its_weights(three: Path, tmp_path: Path) -> None:
    shelf = Shelf(str(three))
    shelf.check(checkpoint_name(6), "engine/", tmp_path / "a")
    HARMS["bit flipped"](three / checkpoint_name(6) / FILE)
    with pytest.raises(Exception, match="another digest"):
        shelf.check(checkpoint_name(6), "engine/", tmp_path / "b")
    shelf.check(checkpoint_name(6), "state", tmp_path / "c")
    shutil.rmtree(three / checkpoint_name(6))
    with pytest.raises(Exception, match="list"):
        shelf.check(checkpoint_name(6), "engine/", tmp_path / "d")


def test_a_run_that_goes_back_waits_for_what_is_under_way(three: Path, tmp_path: Path) -> None:
    """What arrives while it waits counts where it is old enough, and is removed where it is of the history given up."""
    told: list[str] = []

    def settle() -> None:
        put(three, tmp_path / "late", 7)
        put(three, tmp_path / "later", 9)

    with newest_checkpoint(Shelf(str(three)), 0, told.append, at_most=8, settle=settle) as folder:
        assert folder is not None
        assert folder.name == checkpoint_name(7)
    assert told == []
    assert max(Shelf(str(three)).contents()) == checkpoint_name(7)
    with newest_checkpoint(Shelf(str(three)), 0, told.append, at_most=0) as folder:
        assert folder is None
    assert Shelf(str(three)).contents() == {}


def test_uploads_are_waited_for() -> None:
    uploads, seen = Uploads(), threading.Event()
    uploads.settle()
    for _ in range(2):
        uploads.begins()
    waiting = threading.Thread(target=lambda: (uploads.settle(), seen.set()))
    waiting.start()
    uploads.ends()
    assert not seen.wait(0.05)
    uploads.ends()
    assert seen.wait(30)
    waiting.join()
