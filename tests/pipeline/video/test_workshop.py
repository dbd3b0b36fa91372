"""The folder of segments: what counts as finished, and for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.video.clip import inspect
from pipeline.video.encoding import choose_encoding
from pipeline.video.frames import decode
from pipeline.video.workshop import Workshop
from tests.pipeline.video.clips import make_clip, times


@pytest.fixture
def segments(tmp_path):
    """A workshop's folder with two finished segments of two frames, and what made them."""
    clip = inspect(make_clip(tmp_path / "clip.mp4", 4, size=(32, 16)), 10_000)
    encoding = choose_encoding(clip, 1)
    target = tmp_path / "out" / "clip.mp4"
    with Workshop(target, {"k": 1}) as workshop:
        frames = list(decode(clip))
        for number in range(2):
            workshop.write(number, frames[2 * number : 2 * number + 2], encoding, clip, lambda frame: frame)
    return target


def test_finished_segments_are_found_with_their_times(segments: Path) -> None:
    with Workshop(segments, {"k": 1}) as workshop:
        assert workshop.count() == 2
        found = [pts for number in range(2) for pts, _ in workshop.times(number)]
    assert found == times(4)
    assert not workshop.started_over


@pytest.mark.parametrize("spoil", ["segment", "index", "index's text", "digest"])
def test_a_segment_that_is_not_whole_does_not_count(segments: Path, spoil: str) -> None:
    folder = segments.parent / ".clip.mp4.restoring"
    if spoil == "segment":
        (folder / "000001.mkv").unlink()
    elif spoil == "index":
        (folder / "000001.json").unlink()
    elif spoil == "index's text":
        (folder / "000001.json").write_text("[1, 2")
    else:
        with (folder / "000001.mkv").open("ab") as file:
            file.write(b"\0")
    with Workshop(segments, {"k": 1}) as workshop:
        assert workshop.count() == 1


def test_segments_of_another_plan_are_removed(segments: Path) -> None:
    with Workshop(segments, {"k": 2}) as workshop:
        assert workshop.started_over
        assert workshop.count() == 0
    with Workshop(segments, {"k": 2}) as workshop:
        assert not workshop.started_over


def test_one_process_at_a_time(segments: Path) -> None:
    with Workshop(segments, {"k": 1}), pytest.raises(UserError, match="another process is at work"):
        Workshop(segments, {"k": 1}).__enter__()
