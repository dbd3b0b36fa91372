"""The folder beside a result in which its segments are made, so that whatever is killed can be continued."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import av

from pipeline.errors import UserError
from pipeline.registry.sealed import file_digest
from pipeline.video.clip import Clip
from pipeline.video.encoding import Encoding

# A segment begins with a key frame; so much work is lost at most when a process is killed.
SEGMENT_FRAMES = 48
_PLAN = "plan.json"
_STEP = Callable[[av.VideoFrame], av.VideoFrame]


class Workshop:
    """The segments of one result, in ``.NAME.restoring`` beside it.

    plan: all that the frames of the result depend on. Segments of another plan are removed. As a context manager it
    is locked: raises UserError where another process works there. A segment counts once its index is there, which is
    written last, names the segment's digest, and appears in one step.
    """

    def __init__(self, target: Path, plan: Mapping[str, Any]) -> None:
        self.folder = target.parent / f".{target.name}.restoring"
        self._plan = json.dumps(plan, indent=1, sort_keys=True)
        self._lock: BinaryIO | None = None
        self.started_over = False
        """Whether there were segments of another plan."""

    def __enter__(self) -> Workshop:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UserError(f"another process is at work in {self.folder}; wait for it, or stop it") from None
        record = {"digest": hashlib.sha256(self._plan.encode()).hexdigest(), "plan": json.loads(self._plan)}
        if _read_object(self.folder / _PLAN).get("digest") != record["digest"]:
            old = [path for path in self.folder.iterdir() if path.name != "lock"]
            self.started_over = any(path.name == _PLAN for path in old)
            for path in old:
                path.unlink()
            _write_in_one_step(self.folder / _PLAN, json.dumps(record, indent=1).encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None
        self._lock.close()

    def remove(self) -> None:
        """Remove the folder: the result is in its place, or can never be."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def segment(self, number: int) -> Path:
        """Where a segment lies."""
        return self.folder / f"{number:06d}.mkv"

    def count(self) -> int:
        """How many segments from the first on are finished and unaltered."""
        number = 0
        while self._is_whole(number):
            number += 1
        return number

    def times(self, number: int) -> list[tuple[int, int]]:
        """(time, duration) of each frame of a finished segment, in the clip's ticks."""
        return [(pts, length) for pts, length in _read_object(self._index(number))["times"]]

    def write(self, number: int, frames: Iterable[av.VideoFrame], encoding: Encoding, clip: Clip, step: _STEP) -> None:
        """Make a segment of ``step(frame)`` of each frame."""
        scratch = self.folder / "segment.part"
        times, packets = [], 0
        with av.open(str(scratch), "w", "matroska") as container:
            stream = encoding.add_stream(container, clip)
            for place, frame in enumerate(frames):
                times.append((frame.pts, frame.duration))
                made = step(frame)
                made.pts, made.time_base = place, 1 / encoding.rate
                for packet in stream.encode(made):
                    packets += 1
                    container.mux(packet)
            for packet in stream.encode():
                packets += 1
                container.mux(packet)
        if packets != len(times):
            raise UserError(f"the encoder {encoding.encoder} made {packets} packets of {len(times)} frames")
        _keep(scratch)
        digest = file_digest(scratch)
        os.replace(scratch, self.segment(number))
        index = json.dumps({"sha256": digest, "times": times}).encode()
        _write_in_one_step(self._index(number), index)

    def _index(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"

    def _is_whole(self, number: int) -> bool:
        index, segment = _read_object(self._index(number)), self.segment(number)
        return bool(index) and segment.is_file() and file_digest(segment) == index.get("sha256")


def _read_object(path: Path) -> dict[str, Any]:
    """A file of ours; {} where it is missing or no JSON object."""
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _write_in_one_step(path: Path, content: bytes) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_bytes(content)
    _keep(scratch)
    os.replace(scratch, path)


def _keep(path: Path) -> None:
    """Onto the disk, so that a name never outlives its content when the power fails."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
