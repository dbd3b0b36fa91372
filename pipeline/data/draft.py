"""A dataset being written: finished shards, each with a small record beside it, so that packing can go on.

The records lie in ``unfinished/`` and go away once the manifest is written.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace

import webdataset as wds

from pipeline.data.encode import Encoded, Skipped
from pipeline.data.manifest import DatasetSummary, Row, Shard, encode_manifest, load_manifest
from pipeline.errors import UserError
from pipeline.storage import Storage

SHARD_PREFIX = "shard-"
RECORDS = "unfinished/"


class ShardBuffer:
    """One tar being filled in memory; its size is bounded by the target size and one source's samples."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.decoded_bytes = 0
        self._buffer = io.BytesIO()
        # Fixed time and owner: equal images make equal bytes (a float time would add a PAX header each).
        self._writer = wds.TarWriter(self._buffer, encoder=False, compress=False, mtime=0, user="", group="")

    @property
    def length(self) -> int:
        """Bytes so far."""
        return self._writer.tarstream.offset

    def add(self, sample: Encoded) -> None:
        """Append one sample."""
        start = self.length
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

    def close(self) -> tuple[bytes, list[Row]]:
        """The tar's bytes, and its rows with the SHA-256 of their spans."""
        self._writer.close()
        data = self._buffer.getvalue()
        return data, [
            replace(row, digest=hashlib.sha256(data[row.offset : row.offset + row.length]).digest())
            for row in self.rows
        ]


@dataclass
class Draft:
    """What of a dataset is stored already.

    mark: fingerprint of sources and settings; records of other sources are not continued.
    sources_done: how many sources, from the first, the stored shards and the skipped images account for.
    """

    storage: Storage
    mark: str
    shards: list[Shard] = field(default_factory=list)
    rows: list[list[Row]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    decoded_bytes: int = 0
    sources_done: int = 0
    _recorded_skips: int = 0

    def restore(self) -> None:
        """Take over the shards that an interrupted packing of the same sources left."""
        while True:
            name = self._shard_name()
            try:
                record = load_manifest(self.storage.uri, self.storage, self._record_name(name))
                mark, _, done = record.summary.fingerprint.partition("/")
                if mark != self.mark or self.storage.size(name) != record.shards[0].size:
                    return
            except (UserError, FileNotFoundError):
                return
            self.shards.append(record.shards[0])
            self.rows.append(list(record.rows(0)))
            self.skipped += [Skipped(*item) for item in record.summary.skipped]
            self.decoded_bytes += record.summary.decoded_bytes
            self.sources_done = int(done)
            self._recorded_skips = len(self.skipped)

    def store(self, buffer: ShardBuffer, sources_done: int) -> None:
        """Write a filled shard, then its record."""
        data, rows = buffer.close()
        shard = Shard(self._shard_name(), len(data), hashlib.sha256(data).hexdigest(), len(rows))
        self.storage.write(shard.name, data)
        record = _summary(
            [shard],
            [rows],
            buffer.decoded_bytes,
            fingerprint=f"{self.mark}/{sources_done}",
            skipped=self.skipped[self._recorded_skips :],
        )
        self.storage.write(self._record_name(shard.name), encode_manifest(record, [rows]))
        self.shards.append(shard)
        self.rows.append(rows)
        self.decoded_bytes += buffer.decoded_bytes
        self.sources_done = sources_done
        self._recorded_skips = len(self.skipped)

    def summary(self, credits: tuple[tuple[str, str], ...]) -> DatasetSummary:
        """The whole dataset's summary."""
        whole = _summary(self.shards, self.rows, self.decoded_bytes, fingerprint=self.mark, skipped=self.skipped)
        return replace(whole, credits=credits)

    def sweep(self) -> None:
        """Remove the records, and shards of earlier attempts that the dataset does not have."""
        kept = {shard.name for shard in self.shards}
        for prefix in (RECORDS, SHARD_PREFIX):
            for entry in list(self.storage.list(prefix)):
                if entry.key not in kept:
                    self.storage.delete(entry.key)

    def _shard_name(self) -> str:
        return f"{SHARD_PREFIX}{len(self.shards):06d}.tar"

    @staticmethod
    def _record_name(shard: str) -> str:
        return f"{RECORDS}{shard}.parquet"


def _summary(
    shards: list[Shard],
    rows: list[list[Row]],
    decoded_bytes: int,
    *,
    fingerprint: str,
    skipped: list[Skipped],
) -> DatasetSummary:
    flat = [row for group in rows for row in group]
    return DatasetSummary(
        shards=tuple(shards),
        min_height=min(row.height for row in flat),
        min_width=min(row.width for row in flat),
        decoded_bytes=decoded_bytes,
        has_degraded=all(row.degraded for row in flat),
        fingerprint=fingerprint,
        skipped=tuple((item.source, item.reason) for item in skipped),
    )
