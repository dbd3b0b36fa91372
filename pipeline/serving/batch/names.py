"""Which images a folder, an S3 prefix or a packed data set holds, one after the other and never all in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.addresses import printable
from pipeline.data.manifest import MANIFEST_NAME, load_manifest
from pipeline.errors import UserError
from pipeline.restoring.read import SUFFIXES
from pipeline.storage import Storage, open_storage


@dataclass(frozen=True)
class Name:
    """One image. source: what people call it, in ascending order over a listing. key, start, length: where its bytes
    lie; a length of None means the whole object. span_sha256: of these bytes, where a manifest states it.
    """

    source: str
    key: str
    start: int = 0
    length: int | None = None
    span_sha256: bytes | None = None


def list_names(storage: Storage) -> Iterator[Name]:
    """The images of a store by ascending source name: those of its manifest where it is a packed data set.

    Files that are no images by their suffix are passed over. A folder that may not be read stands for its images, with
    a slash at its end: whoever reads them says so of it, and the others are restored.

    Raises:
        UserError: a name that is not UTF-8, which neither the record nor S3 can hold.
    """
    if storage.exists(MANIFEST_NAME):
        yield from _packed(storage)
        return
    closed: deque[str] = deque()
    for entry in storage.list(unreadable=closed.append):
        while closed:
            yield _named(storage, "folder", closed.popleft())
        if PurePosixPath(entry.key).suffix.lower() in SUFFIXES:
            yield _named(storage, "image", entry.key)
    while closed:
        yield _named(storage, "folder", closed.popleft())


def _named(storage: Storage, kind: str, key: str) -> Name:
    if (shown := printable(key)) != key:
        raise UserError(f"the name of {kind} {shown!r} in {storage.uri!r} is not UTF-8; rename it")
    return Name(key, key)


def _packed(storage: Storage) -> Iterator[Name]:
    manifest = load_manifest(storage.uri, storage)
    for number in sorted(range(len(manifest.shards)), key=lambda shard: manifest.shards[shard].name):
        shard = manifest.shards[number].name
        for row in sorted(manifest.rows(number), key=lambda row: row.key):
            yield Name(f"{shard}/{row.key}", shard, row.offset, row.length, row.digest)


def check_places(source: str, output: str) -> None:
    """Raises UserError when the source is no folder that may be read, or where results and sources would mix.

    An output inside the source would be restored again; one that contains it would have results fall on sources.
    """
    if "://" not in source:
        folder = Path(source).expanduser()
        if not folder.is_dir():
            raise UserError(f"image folder {source!r} does not exist; --on-ray takes one folder or S3 prefix")
        if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            raise UserError(f"image folder {source!r} may not be read or entered by this user")
    results, sources = (_parts(address) for address in (output, source))
    if results[: len(sources)] == sources:
        raise UserError(
            f"output {output!r} lies in {source!r}: results would be restored again; choose another --output"
        )
    if sources[: len(results)] == results:
        raise UserError(
            f"output {output!r} contains {source!r}: results could replace what is restored; choose another --output"
        )


def _parts(address: str) -> tuple[str, ...]:
    uri = open_storage(address).uri
    return tuple(uri.split("/")) if "://" in uri else Path(uri).resolve().parts
