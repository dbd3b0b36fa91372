"""An image of a plan as a worker reads it: its bytes, where its result goes, and whether that place is free."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pipeline.data.members import plain_members
from pipeline.errors import first_line
from pipeline.restoring.picture import Picture, UnusableImageError
from pipeline.restoring.read import read_picture
from pipeline.serving.batch.failure import CAUGHT, OddNameError, UnreadableFolderError
from pipeline.serving.batch.journal import NOTES, Journal
from pipeline.serving.batch.outcomes import UNKNOWN_SIZE
from pipeline.serving.batch.parts import Planned
from pipeline.storage import Storage
from pipeline.storage.base import checked_key


@dataclass(frozen=True)
class Read:
    """An image as it was read, or why it was not; ``picture`` is None when digest and size show that it is done.

    made: the result that an earlier run or attempt has made, or empty. ours: what lies at ``target`` may be replaced;
    to_claim: so it is, since nothing lies there, and no note says so yet.
    """

    planned: Planned
    digest: str = ""
    picture: Picture | None = None
    target: str = ""
    made: str = ""
    ours: bool = False
    to_claim: bool = False
    error: BaseException | None = None


class Reader:
    """Reads images of one source, for results in one output. overwrite: whatever lies at a result's place may go."""

    def __init__(self, source: Storage, output: Storage, max_pixels: int, overwrite: bool) -> None:
        self._source, self._output = source, output
        self._max_pixels, self._overwrite = max_pixels, overwrite

    def read(self, planned: Planned, journal: Journal) -> Read:
        """The image, or the error of ``CAUGHT`` for which it is not restored."""
        digest, made = "", journal.made(planned)
        try:
            data, name = self._bytes(planned)
            digest = hashlib.sha256(data).hexdigest()
            target = _target(planned, name)
            if digest == planned.known_digest and target == planned.known_target and self._is_whole(planned):
                return Read(planned, digest, target=target, made=made)
            picture = read_picture(data, self._max_pixels)
            owned = journal.owns(planned, target)
            free = not owned and self._is_free(target)
            return Read(planned, digest, picture, target, made, ours=owned or free, to_claim=free)
        except CAUGHT as error:
            return Read(planned, digest, made=made, error=error)

    def place(self, planned: Planned, journal: Journal) -> str:
        """Where the result goes, known before the bytes are; empty where another's file lies, or none is known yet."""
        try:
            if planned.length is not None or planned.key.endswith("/"):
                return ""
            _check_name(planned.key)
            target = _target(planned, planned.key)
            return target if journal.owns(planned, target) or self._is_free(target) else ""
        except CAUGHT:
            return ""  # reading it says the same, in its row

    def _is_free(self, target: str) -> bool:
        return self._overwrite or not self._output.exists(target)

    def _is_whole(self, planned: Planned) -> bool:
        """Whether the result is still there, and as long as it was written: a cut one is made again."""
        try:
            if planned.known_size == UNKNOWN_SIZE:
                return self._output.exists(planned.known_target)
            return self._output.size(planned.known_target) == planned.known_size
        except FileNotFoundError:
            return False

    def _bytes(self, planned: Planned) -> tuple[bytes, str]:
        """The file's bytes, and its name; of a packed sample the member that is to be restored."""
        if planned.key.endswith("/"):
            raise UnreadableFolderError("it may not be read or entered; its images are not restored")
        if not planned.key:
            raise OddNameError("its name is not UTF-8, which neither the record nor S3 can hold; rename it")
        _check_name(planned.key)
        if planned.length is None:
            return self._source.read(planned.key), planned.key
        span = self._source.read_range(planned.key, planned.start, planned.length)
        if hashlib.sha256(span).digest() != planned.span_sha256:
            raise UnusableImageError(f"its bytes in {planned.key} are not those that the manifest states")
        members = plain_members(span)
        if members is None:
            raise UnusableImageError(f"its span in {planned.key} is no plain tar")
        kinds = {name.rpartition(".")[0].rpartition(".")[2]: (bytes(content), name) for name, content in members}
        member = kinds.get("degraded") or kinds.get("clean")
        if member is None:
            raise UnusableImageError(f"its span in {planned.key} has no member that is called clean or degraded")
        _check_name(member[1])
        return member


def _target(planned: Planned, name: str) -> str:
    """Where the result goes: the source's own place in the tree; for a packed sample its key with a suffix."""
    target = planned.source
    if planned.length is not None:
        stem, _, suffix = name.rsplit(".", 2)
        target = f"{stem}.{suffix}"
    if target.startswith(NOTES):
        raise UnusableImageError(f"its result would lie in {NOTES}, which a run empties; rename that folder")
    return target


def _check_name(name: str) -> None:
    """Raises UnusableImageError for a name that would leave the folder: S3 keys and tar members may have any."""
    try:
        checked_key(name)
    except ValueError as error:
        raise UnusableImageError(first_line(error)) from None
