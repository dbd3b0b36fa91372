"""How a checkpoint proves itself whole: every rank's part ends with a list of its files, their lengths and SHA-256.

A checkpoint of W ranks holds ``parts/<rank>-of-<W>.json`` of each rank. A rank's list is written when its other files
are safe, last of all, so nobody needs to know when the others are done: **whole** means that the lists of all W ranks
are there, come from one saving (the same step, and the same ``attempt``, a number drawn once for all ranks each time),
and that every file they name has the length and the digest they say. A list carries a digest of itself. So a bit that
flipped anywhere, a file that was cut, emptied or lost, a rank that died while it sent its part, and parts of two
attempts at one step are all seen, with nothing but the files at hand, in any store, in any order of arrival.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.storage.base import checked_key

PARTS = "parts"
LARGEST_LIST = 4 << 20  # bytes: some 20,000 files of a rank
_LIST_NAME = re.compile(rf"{PARTS}/(\d{{5}})-of-(\d{{5}})\.json")


class Unfinished(Exception):
    """A checkpoint of which not every rank's part has arrived: a crash left it."""


class Damaged(Exception):
    """A checkpoint all of whose parts were there once, and which is not what they say it is."""


@dataclass(frozen=True)
class FileProof:
    """What a file must be: its length in bytes and its SHA-256 in hexadecimal."""

    length: int
    sha256: str


@dataclass(frozen=True)
class Saving:
    """One rank's share of one saving of a checkpoint."""

    rank: int
    world_size: int
    step: int
    attempt: int

    @property
    def list_name(self) -> str:
        """The file that ends this rank's part, relative to the checkpoint."""
        return list_name(self.rank, self.world_size)


def list_name(rank: int, world_size: int) -> str:
    """The list of ``rank``, relative to the checkpoint's folder."""
    return f"{PARTS}/{rank:05d}-of-{world_size:05d}.json"


def prove(folder: Path, saving: Saving) -> Path:
    """Write this rank's list of all other files under ``folder``, and return its path."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: proof_of(folder / name) for name in names if name != saving.list_name}
    path = folder / saving.list_name
    path.parent.mkdir(exist_ok=True)
    path.write_text(list_text(saving, files), encoding="utf-8")
    return path


def list_text(saving: Saving, files: Mapping[str, FileProof]) -> str:
    """What a list says; ``files`` in the order of their names."""
    body = {**asdict(saving), "files": {name: asdict(proof) for name, proof in files.items()}}
    return json.dumps({**body, "sha256": _digest(body)}, indent=1)


def proof_of(path: Path) -> FileProof:
    """Length and digest of a local file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileProof(file.tell(), digest.hexdigest())


def worlds_of(names: Sequence[str]) -> list[int]:
    """The world sizes of which all ranks' lists are among ``names``; empty: the checkpoint is unfinished."""
    found: dict[int, set[int]] = {}
    for name in names:
        if match := _LIST_NAME.fullmatch(name):
            found.setdefault(int(match[2]), set()).add(int(match[1]))
    return sorted(world for world, ranks in found.items() if world > 0 and ranks >= set(range(world)))


def agreed_files(lists: Mapping[str, bytes], world_size: int, step: int) -> dict[str, FileProof]:
    """Every file of a checkpoint after ``step`` steps, from the lists of its ``world_size`` ranks by name.

    Raises:
        Damaged: a list is not what was written, or the lists come from different savings.
    """
    files: dict[str, FileProof] = {}
    savings = set()
    for rank in range(world_size):
        name = list_name(rank, world_size)
        saving, own = _read_list(name, lists[name])
        if (saving.rank, saving.world_size, saving.step) != (rank, world_size, step):
            raise Damaged(f"{name} is another checkpoint's")
        savings.add(saving.attempt)
        files |= own
    if len(savings) > 1:
        raise Damaged("its parts come from different savings")
    return files


def _read_list(name: str, content: bytes) -> tuple[Saving, dict[str, FileProof]]:
    try:
        if len(content) > LARGEST_LIST:
            raise ValueError(f"{len(content)} bytes")
        values = json.loads(content)
        digest = values.pop("sha256")
        if digest != _digest(values):
            raise ValueError("altered")
        files = {checked_key(key): FileProof(**proof) for key, proof in values.pop("files").items()}
        return Saving(**values), files
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{name} is not the list that was written ({error})") from None


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
