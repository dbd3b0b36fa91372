"""Which images a folder, an S3 prefix or a packed data set holds, one after the other and never all in memory."""

from __future__ import annotations

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

    Files that are no images by their suffix are passed over.

    Raises:
        UserError: a name that is not UTF-8, which neither the record nor S3 can hold.
    """
    if storage.exists(MANIFEST_NAME):
        yield from _packed(storage)
        return
    for entry in storage.list():
        if PurePosixPath(entry.key).suffix.lower() in SUFFIXES:
            if (shown := printable(entry.key)) != entry.key:
                raise UserError(f"the name of image {shown!r} in {storage.uri!r} is not UTF-8; rename it")
            yield Name(entry.key, entry.key)


def _packed(storage: Storage) -> Iterator[Name]:
    manifest = load_manifest(storage.uri, storage)
    for number in sorted(range(len(manifest.shards)), key=lambda shard: manifest.shards[shard].name):
        shard = manifest.shards[number].name
        for row in sorted(manifest.rows(number), key=lambda row: row.key):
            yield Name(f"{shard}/{row.key}", shard, row.offset, row.length, row.digest)


def check_places(source: str, output: str) -> None:
    """Raises UserError when the source is no folder, or when results would be listed as sources the next time."""
    if "://" not in source and not Path(source).expanduser().is_dir():
        raise UserError(f"image folder {source!r} does not exist; --on-ray takes one folder or S3 prefix")
    inner, outer = (_parts(address) for address in (output, source))
    if inner[: len(outer)] == outer:
        raise UserError(
            f"output {output!r} lies in {source!r}: results would be restored again; choose another --output"
        )


def _parts(address: str) -> tuple[str, ...]:
    uri = open_storage(address).uri
    return tuple(uri.split("/")) if "://" in uri else Path(uri).resolve().parts
