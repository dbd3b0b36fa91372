"""Which images a folder, an S3 prefix or a packed data set holds, one after the other and never all in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.addresses import printable
from pipeline.data.manifest import MANIFEST_NAME, load_manifest
from pipeline.entries import Kind, is_hidden, may_be_read
from pipeline.errors import UserError
from pipeline.images.folders import Found
from pipeline.restoring.read import SUFFIXES
from pipeline.storage import Storage, open_storage


@dataclass(frozen=True)
class Name:
    """One image. source: what people call it, in ascending order over a listing. key, start, length: where its bytes
    lie; a length of None means the whole object, an empty key that its name is not UTF-8. span_sha256: of these bytes,
    where a manifest states it.
    """

    source: str
    key: str
    start: int = 0
    length: int | None = None
    span_sha256: bytes | None = None


def list_names(storage: Storage, found: Found | None = None) -> Iterator[Name]:
    """The images of a store by ascending source name: those of its manifest where it is a packed data set.

    A folder that may not be read stands for its images, with a slash at its end, and a name that is not UTF-8, which
    neither the record nor S3 can hold, for its image: whoever reads them says so of it, and the others are restored.

    found: to count what is passed over: files that are no images by their suffix, hidden ones, linked folders.
    """
    if storage.exists(MANIFEST_NAME):
        yield from _packed(storage)
        return
    found = Found() if found is None else found
    closed: deque[str] = deque()
    for entry in storage.list(
        unreadable=closed.append, left_out=lambda name, kind: found.leave_out(name, kind, SUFFIXES)
    ):
        while closed:
            yield _named(closed.popleft())
        if entry.key.endswith("/"):
            continue  # the mark of an empty folder, as S3's consoles make it
        if is_hidden(entry.key):  # on S3; a folder's are not listed
            found.leave_out(entry.key, Kind.HIDDEN, SUFFIXES)
        elif PurePosixPath(entry.key).suffix.lower() in SUFFIXES:
            yield _named(entry.key)
        else:
            found.leave_out(entry.key, Kind.FILE, SUFFIXES)
    while closed:
        yield _named(closed.popleft())


# Before the code of an odd byte, as in "gru\ud7ff%DF.png": the last character below those that Python puts for such
# bytes, so that these names keep their places in the order. Unicode assigns it to nothing, and no name has it.
_ODD = "\ud7ff"


def stands_for_none(source: str) -> bool:
    """Whether a name of a listing is a folder's that may not be read, or not UTF-8, so that nothing can be read by it.

    Once it can be, it has other names, and what is recorded of it holds no longer.
    """
    return source.endswith("/") or _ODD in source


def _named(key: str) -> Name:
    if printable(key) == key:
        return Name(key, key)
    source = "".join(_ODD + printable(one) if printable(one) != one else one for one in key)
    return Name(source, "/" if key.endswith("/") else "")


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
        if not may_be_read(folder):
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
