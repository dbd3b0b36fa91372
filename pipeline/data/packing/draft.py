"""A dataset being written: finished shards, each with a small record beside it, so that packing can go on.

The records lie in ``unfinished/`` and go away once the manifest is written.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import webdataset as wds

from pipeline.data.manifest import (
    MANIFEST_NAME,
    DatasetSummary,
    Row,
    Shard,
    encode_manifest,
    load_manifest,
    write_manifest,
)
from pipeline.data.packing.encode import Encoded, Skipped
from pipeline.errors import UserError
from pipeline.storage import Storage
from pipeline.storage.ranged_file import RangedFile

SHARD_PREFIX = "shard-"
RECORDS = "unfinished/"
PIECE_BYTES = 8 << 20  # of a shard that is read to compare its digest


@contextmanager
def naming(file: str) -> Iterator[None]:
    """A full disk does not say which one: name the file that was being written."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, file) from None


class ShardBuffer:
    """One tar being filled in a temporary file, so that a shard may be larger than memory."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.decoded_bytes = 0
        self._file = tempfile.NamedTemporaryFile(prefix="shard-", suffix=".tar")  # noqa: SIM115 - closed by close()
        # Fixed time and owner: equal images make equal bytes (a float time would add a PAX header each).
        self._writer = wds.TarWriter(self._file, encoder=False, compress=False, mtime=0, user="", group="")

    @property
    def length(self) -> int:
        """Bytes so far."""
        return self._writer.tarstream.offset

    def add(self, sample: Encoded) -> None:
        """Append one sample."""
        start = self.length
        with naming(self._file.name):
            self._writer.write({"__key__": sample.key, **sample.members})
        self.decoded_bytes += sample.decoded_bytes
        self.rows.append(
            Row(
                key=sample.key,
                offset=start,
                length=self.length - start,
                digest=b"",  # of the span, known when the tar is closed
                height=sample.height,
                width=sample.width,
                channels=sample.channels,
                degraded=any(name.startswith("degraded.") for name in sample.members),
            )
        )

    def finish(self) -> tuple[Path, int, str]:
        """Complete the tar: its file, size and SHA-256. The rows get the SHA-256 of their spans."""
        with naming(self._file.name):
            self._writer.close()
            self._file.flush()
        path, whole = Path(self._file.name), hashlib.sha256()
        with open(path, "rb") as file:
            for number, row in enumerate(self.rows):
                span = file.read(row.length)  # spans follow one another from the start
                whole.update(span)
                self.rows[number] = replace(row, digest=hashlib.sha256(span).digest())
            whole.update(file.read())  # the two empty blocks at the end
        return path, os.path.getsize(path), whole.hexdigest()

    def close(self) -> None:
        """Remove the temporary file, whatever of it could not be written."""
        with suppress(OSError):
            self._writer.close()
        with suppress(OSError):
            self._file.close()


@dataclass
class Draft:
    """What of a dataset is stored already.

    mark: fingerprint of sources and settings; records of other sources are not continued.
    min_height, min_width, all_degraded: over the rows, which stay in the records until the manifest is written.
    sources_done: how many sources, from the first, the stored shards and the skipped images account for.
    corrupt: how many of those were skipped as corrupt.
    """

    storage: Storage
    mark: str
    shards: list[Shard] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    decoded_bytes: int = 0
    min_height: int = 2**31 - 1
    min_width: int = 2**31 - 1
    all_degraded: bool = True
    sources_done: int = 0
    corrupt: int = 0
    _recorded_skips: int = 0

    def restore(self) -> None:
        """Take over the shards that an interrupted packing of the same sources left, up to the first altered since."""
        while True:
            name = self._shard_name()
            try:
                record = load_manifest(self.storage.uri, self.storage, self._record_name(name))
                mark, *counts = record.summary.fingerprint.split("/")
                if mark != self.mark or [shard.name for shard in record.shards] != [name]:
                    return
                if not self._is_whole(record.shards[0]):
                    return
                record.rows(0)  # checked, as they are taken into the manifest
                done, corrupt = map(int, counts)
            except (UserError, FileNotFoundError, ValueError):  # of nobody, damaged, or of an earlier program
                return
            self.skipped += [Skipped(*item) for item in record.summary.skipped]
            self._account(record.summary)
            self.sources_done, self.corrupt = done, corrupt
            self._recorded_skips = len(self.skipped)

    def _is_whole(self, shard: Shard) -> bool:
        """Whether the stored shard is what was written: the manifest is going to vouch for each of its bytes."""
        if self.storage.size(shard.name) != shard.size:
            return False
        file, digest = RangedFile(self.storage, shard.name), hashlib.sha256()
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
        return digest.hexdigest() == shard.sha256

    def store(self, buffer: ShardBuffer, sources_done: int) -> None:
        """Write a filled shard, then its record."""
        path, size, sha256 = buffer.finish()
        rows = buffer.rows
        shard = Shard(self._shard_name(), size, sha256, len(rows))
        with naming(f"{self.storage.uri}/{shard.name}"):
            self.storage.write_file(shard.name, path)
        buffer.close()
        record = DatasetSummary(
            shards=(shard,),
            min_height=min(row.height for row in rows),
            min_width=min(row.width for row in rows),
            decoded_bytes=buffer.decoded_bytes,
            has_degraded=all(row.degraded for row in rows),
            fingerprint=f"{self.mark}/{sources_done}/{self.corrupt}",
            skipped=_as_pairs(self.skipped[self._recorded_skips :]),
        )
        with naming(f"{self.storage.uri}/{self._record_name(shard.name)}"):
            self.storage.write(self._record_name(shard.name), encode_manifest(record, [rows]))
        self._account(record)
        self.sources_done = sources_done
        self._recorded_skips = len(self.skipped)

    def finish(self, credits: tuple[tuple[str, str], ...]) -> None:
        """Write the manifest of all shards, last and at once, then remove the records.

        The rows pass from the records to the manifest shard by shard: their number is not bounded by memory.
        """
        summary = DatasetSummary(
            shards=tuple(self.shards),
            min_height=self.min_height,
            min_width=self.min_width,
            decoded_bytes=self.decoded_bytes,
            has_degraded=self.all_degraded,
            fingerprint=self.mark,
            skipped=_as_pairs(self.skipped),
            credits=credits,
        )
        with tempfile.TemporaryDirectory(prefix="manifest-") as folder:
            path = Path(folder, MANIFEST_NAME)
            write_manifest(str(path), summary, self._recorded_rows())
            self.storage.write_file(MANIFEST_NAME, path)
        self.sweep()

    def _recorded_rows(self) -> Iterator[tuple[Row, ...]]:
        for shard in self.shards:
            yield load_manifest(self.storage.uri, self.storage, self._record_name(shard.name)).rows(0)

    def _account(self, record: DatasetSummary) -> None:
        self.shards += record.shards
        self.decoded_bytes += record.decoded_bytes
        self.min_height = min(self.min_height, record.min_height)
        self.min_width = min(self.min_width, record.min_width)
        self.all_degraded = self.all_degraded and record.has_degraded

    def sweep(self) -> None:
        """Remove the records, and shards of earlier attempts that the dataset does not have."""
        kept = {shard.name for shard in self.shards}
        for prefix in (RECORDS, SHARD_PREFIX):
            for entry in list(self.storage.list(prefix)):
                if entry.key not in kept:
                    self.storage.delete(entry.key)
        self.storage.prune(RECORDS.rstrip("/"))

    def _shard_name(self) -> str:
        return f"{SHARD_PREFIX}{len(self.shards):06d}.tar"

    @staticmethod
    def _record_name(shard: str) -> str:
        return f"{RECORDS}{shard}.parquet"


def _as_pairs(skipped: list[Skipped]) -> tuple[tuple[str, str], ...]:
    return tuple((item.source, item.reason) for item in skipped)
