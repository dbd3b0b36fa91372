"""The checkpoints of one run in its storage: which is the newest whole one, and what becomes of the others.

Only the files themselves are asked (pipeline.training.proof), never what Ray Train noted of them. What is not whole is
named, and put out of the way: a damaged checkpoint is renamed, so that a person can look at it, one that a crash left
unfinished is deleted. Neither can fail a run: what cannot be put away is only not used.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.fs

from pipeline.errors import first_line
from pipeline.storage import StorageUnavailable, arrow_filesystem, open_storage
from pipeline.training.proof import (
    LARGEST_LIST,
    Damaged,
    FileProof,
    Unfinished,
    agreed_files,
    list_name,
    proof_of,
    worlds_of,
)

logger = logging.getLogger("semanir.worker")

PREFIX = "step-"
SET_ASIDE = "damaged-"
AT_ONCE = 4  # files fetched side by side
PIECE = 8 << 20
_NAME = re.compile(rf"{PREFIX}(\d{{9}})")
# What a checkpoint is made of; a folder that holds anything else is not deleted.
_OURS = re.compile(r"parts/[^/]+|engine/[^/]+\.safetensors|best/[^/]+|(state|figures|config)\.json")


def checkpoint_name(step: int) -> str:
    """Folder of the checkpoint after ``step`` optimizer steps: a resumed run writes a lost one under its name."""
    return f"{PREFIX}{step:09d}"


def _steps(name: str) -> int:
    return int(name.removeprefix(PREFIX))


@dataclass(frozen=True)
class Unusable:
    """A checkpoint that is not whole, why, and whether a crash left it so."""

    name: str
    why: str
    unfinished: bool


@dataclass
class Found:
    """The newest whole checkpoint, fetched and proven in ``folder`` (None: there is none), and what was passed over."""

    name: str = ""
    folder: Path | None = None
    unusable: list[Unusable] = field(default_factory=list)


class Shelf:
    """The folder ``uri`` of a run.

    Args:
        uri: ``s3://bucket/prefix/run`` or a local folder.
        deadline_s: how long an outage of S3 is waited out; None takes the storage's default.
    """

    def __init__(self, uri: str, deadline_s: float | None = None) -> None:
        self.uri, self._deadline_s = uri.rstrip("/"), deadline_s
        self._store = open_storage(self.uri, deadline_s)

    def contents(self) -> dict[str, dict[str, int]]:
        """Checkpoint → its files with their sizes, newest first, whole or not."""
        found: dict[str, dict[str, int]] = {}
        for entry in self._store.list(PREFIX):
            name, _, file = entry.key.partition("/")
            if _NAME.fullmatch(name) and file:
                found.setdefault(name, {})[file] = entry.size
        return dict(sorted(found.items(), reverse=True))

    def fetch_newest(self, scratch: Path, no_newer_than: str | None = None) -> Found:
        """Copy the newest whole checkpoint below ``scratch``; every byte of it has been checked.

        Raises:
            StorageUnavailable: S3 stayed silent.
        """
        found = Found()
        for name, files in self.contents().items():
            if no_newer_than is not None and name > no_newer_than:
                continue
            try:
                self._fetch(name, files, scratch / name)
            except (Unfinished, Damaged) as error:
                found.unusable.append(Unusable(name, str(error), isinstance(error, Unfinished)))
            else:
                found.name, found.folder = name, scratch / name
                break
        return found

    def check(self, name: str, files_below: str, scratch: Path) -> None:
        """Prove that checkpoint ``name`` has all its files, and those below ``files_below`` to the last bit.

        Raises:
            Unfinished, Damaged: what is wrong.
        """
        sizes = self.contents().get(name, {})
        proofs = self._proofs(name, sizes)
        self._fetch_files(
            name, {file: proof for file, proof in proofs.items() if file.startswith(files_below)}, scratch
        )

    def put_away(self, unusable: Unusable) -> str:
        """Rename a damaged checkpoint, delete an unfinished one; returns the line that tells of it."""
        files = self.contents().get(unusable.name, {})
        if unusable.unfinished and all(map(_OURS.fullmatch, files)):
            self._quietly(f"deleting {unusable.name}", lambda: self._delete(unusable.name))
            return f"checkpoint {unusable.name} is unfinished ({unusable.why}): left by a crash, and deleted"
        new = self._free_name(SET_ASIDE + unusable.name)
        self._quietly(f"setting {unusable.name} aside", lambda: self._rename(unusable.name, new, files))
        return f"checkpoint {unusable.name} is damaged ({unusable.why}): not used, and set aside as {self.uri}/{new}"

    def keep_newest(self, number: int, steps_back: int = 0) -> None:
        """Delete what is older than the ``number`` newest checkpoints of which every rank's part is there.

        steps_back: one of so many steps before the newest, or the oldest, is kept besides: a run goes back so far when
        its loss stays up.
        """

        def tidy() -> None:
            contents = self.contents()
            complete = [name for name, files in contents.items() if worlds_of(list(files))]
            if len(complete) < number:
                return
            old_enough = [name for name in complete if _steps(name) <= _steps(complete[0]) - steps_back]
            kept = old_enough[0] if old_enough else complete[-1]
            for name in contents:
                if name < complete[number - 1] and name != kept:
                    self._quietly(f"deleting {name}", lambda name=name: self._delete(name))  # type: ignore[misc]

        self._quietly("looking for old checkpoints", tidy)

    def delete_newer_than(self, name: str) -> None:
        """Delete the checkpoints of more steps than ``name``: the run that wrote them went back."""
        for newer in self.contents():
            if newer > name:
                self._quietly(f"deleting {newer}", lambda newer=newer: self._delete(newer))  # type: ignore[misc]

    def _proofs(self, name: str, sizes: Mapping[str, int]) -> dict[str, FileProof]:
        """What each file of ``name`` must be; every length is seen to be right."""
        worlds = worlds_of(list(sizes))
        if not worlds:
            raise Unfinished("not every rank's list is there")
        error: Damaged | None = None
        for world in worlds:
            try:
                lists = {one: self._read_list(name, one) for one in (list_name(rank, world) for rank in range(world))}
                proofs = agreed_files(lists, world, _steps(name))
                for file, proof in proofs.items():
                    if file not in sizes:
                        raise Damaged(f"{file} is missing")
                    if sizes[file] != proof.length:
                        raise Damaged(f"{file} has {sizes[file]} bytes, not {proof.length}")
                return proofs
            except Damaged as reason:
                error = reason
        assert error is not None
        raise error

    def _read_list(self, name: str, file: str) -> bytes:
        try:
            return self._store.read_range(f"{name}/{file}", 0, LARGEST_LIST + 1)
        except FileNotFoundError:
            raise Unfinished(f"{file} is missing") from None

    def _fetch(self, name: str, sizes: Mapping[str, int], folder: Path) -> None:
        self._fetch_files(name, self._proofs(name, sizes), folder)

    def _fetch_files(self, name: str, proofs: Mapping[str, FileProof], folder: Path) -> None:
        def fetch(file: str) -> None:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as target:
                for start in range(0, proofs[file].length, PIECE):
                    length = min(PIECE, proofs[file].length - start)
                    try:
                        target.write(self._store.read_range(f"{name}/{file}", start, length))
                    except FileNotFoundError:
                        raise Damaged(f"{file} is missing") from None
            if proof_of(path) != proofs[file]:
                raise Damaged(f"{file} has another digest than when it was written")

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(fetch, proofs))

    def _delete(self, name: str) -> None:
        filesystem, path = arrow_filesystem(self.uri, self._deadline_s)
        filesystem.delete_dir(f"{path}/{name}")

    def _rename(self, name: str, new: str, files: Mapping[str, int]) -> None:
        if not self.uri.startswith("s3://"):
            filesystem, path = arrow_filesystem(self.uri, self._deadline_s)
            filesystem.move(f"{path}/{name}", f"{path}/{new}")
            return
        for file in files:  # S3 has no folders to rename
            self._store.copy(f"{name}/{file}", f"{new}/{file}")
        self._delete(name)

    def _free_name(self, wanted: str) -> str:
        taken = {entry.key.partition("/")[0] for entry in self._store.list(wanted)}
        names = [wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 2))]
        return next(name for name in names if name not in taken)

    def _quietly(self, what: str, act: Callable[[], None]) -> None:
        """Do it if it can be done: leftovers are no reason to fail a run, whatever the store says of them."""
        try:
            act()
        except FileNotFoundError:
            pass  # gone before: by an earlier attempt, or by another's
        except (OSError, StorageUnavailable, pyarrow.lib.ArrowException) as error:
            logger.warning("%s of %s failed (%s): left as it is", what, self.uri, first_line(error))
