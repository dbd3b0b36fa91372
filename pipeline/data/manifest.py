"""The manifest: what every shard holds, where each sample lies in it, and the digests that prove it.

``manifest.parquet`` lies beside the shards and is written last, so a folder without it holds no dataset.
One row group per shard, read when that shard is first needed; the table of shards is in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.manifest_footer import (
    FORMAT_VERSION,
    MAX_SIDE,
    METADATA_KEY,
    DamagedManifest,
    check_row_group,
    damaged,
    read_footer,
)
from pipeline.errors import UserError
from pipeline.storage import Storage, open_storage
from pipeline.storage.ranged_file import RangedFile

MANIFEST_NAME = "manifest.parquet"
ROWS_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("key", pa.string()),
        ("offset", pa.int64()),  # of the sample's tar span: headers and padding included
        ("length", pa.int64()),
        ("digest", pa.binary(32)),  # SHA-256 of that span
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("channels", pa.int8()),
        ("degraded", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    name: str
    size: int
    sha256: str
    samples: int


@dataclass(frozen=True)
class Row:
    """One sample: its place in the shard, the SHA-256 of its span, and its pixels' shape."""

    key: str
    offset: int
    length: int
    digest: bytes
    height: int
    width: int
    channels: int
    degraded: bool


@dataclass(frozen=True)
class DatasetSummary:
    """What a reader must know before it reads any row."""

    shards: tuple[Shard, ...]
    min_height: int
    min_width: int
    decoded_bytes: int  # of all samples together, as 8- or 16-bit pixels
    has_degraded: bool
    fingerprint: str  # of the sources and settings that were packed
    skipped: tuple[tuple[str, str], ...] = ()  # (source, reason)
    credits: tuple[tuple[str, str], ...] = ()  # (key or number of images, whom to thank)


@dataclass(eq=False)
class Manifest:
    """A whole dataset: its shards, and its rows on demand. Safe to pickle and to share between threads."""

    uri: str
    summary: DatasetSummary
    digest: str
    name: str = MANIFEST_NAME
    cached_shards: int = 64
    _rows: OrderedDict[int, tuple[Row, ...]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _parquet: pq.ParquetFile | None = field(default=None, repr=False)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The tar files, in the order of their names."""
        return self.summary.shards

    @property
    def num_samples(self) -> int:
        """N: how many samples an epoch has."""
        return sum(shard.samples for shard in self.shards)

    @property
    def samples_per_shard(self) -> np.ndarray:
        """The shard table that the order needs: int64, one entry per shard."""
        return np.array([shard.samples for shard in self.shards], dtype=np.int64)

    @property
    def min_height(self) -> int:
        """Rows of the lowest image: the largest patch that fits everywhere."""
        return self.summary.min_height

    @property
    def min_width(self) -> int:
        """Columns of the narrowest image."""
        return self.summary.min_width

    @property
    def has_degraded(self) -> bool:
        """Whether every sample is a pair."""
        return self.summary.has_degraded

    def rows(self, shard: int) -> tuple[Row, ...]:
        """The rows of one shard, in stored order; the last ``cached_shards`` asked for stay in memory."""
        with self._lock:
            rows = self._rows.get(shard)
            if rows is None:
                rows = self._read_rows(shard)
                self._rows[shard] = rows
            self._rows.move_to_end(shard)
            while len(self._rows) > self.cached_shards:
                self._rows.popitem(last=False)
            return rows

    def _read_rows(self, shard: int) -> tuple[Row, ...]:
        try:
            if self._parquet is None:
                file = RangedFile(open_storage(self.uri), self.name)
                self._parquet = pq.ParquetFile(file, page_checksum_verification=True)
            return _rows_of(self._parquet, shard, self.shards[shard])
        except DamagedManifest as error:
            raise _unusable(self.name, self.uri, error) from None
        except Exception as error:
            known = damaged(error)
            if known is error:
                raise
            raise _unusable(self.name, self.uri, known) from error

    def __getstate__(self) -> dict[str, Any]:
        kept = ("uri", "summary", "digest", "name", "cached_shards")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _rows_of(parquet: pq.ParquetFile, number: int, shard: Shard) -> tuple[Row, ...]:
    check_row_group(parquet, ROWS_SCHEMA, number, shard.samples)
    table = parquet.read_row_group(number, use_threads=False)
    if any(column.null_count for column in table.columns):
        raise DamagedManifest(f"a row of {shard.name} has no value in a column")
    names = [name for name in ROWS_SCHEMA.names if name != "shard"]
    columns = (table.column(name).to_pylist() for name in names)
    rows = tuple(Row(*values) for values in zip(*columns, strict=True))
    _check_rows(rows, shard)
    if set(table.column("shard").to_pylist()) != {number}:
        raise DamagedManifest(f"the rows of {shard.name} name another shard")
    return rows


def _check_rows(rows: Sequence[Row], shard: Shard) -> None:
    """Rows stand in the order of the tar, which the shard's SHA-256 fixes: so equal digests mean equal orders."""
    end = 0
    for row in rows:
        if row.offset < end or row.length < 1 or row.offset + row.length > shard.size:
            raise DamagedManifest(
                f"sample {row.key!r:.80} at bytes {row.offset}+{row.length} of {shard.name} ({shard.size} bytes) does "
                f"not follow the one before it, which ends at {end}"
            )
        if not (1 <= row.height <= MAX_SIDE and 1 <= row.width <= MAX_SIDE and 1 <= row.channels <= 4):
            raise DamagedManifest(
                f"sample {row.key!r:.80} of {shard.name} is {row.height} x {row.width} x {row.channels}: no such image"
            )
        end = row.offset + row.length


def _unusable(name: str, uri: str, error: Exception) -> UserError:
    return UserError(f"{name} at {uri!r} is damaged ({error}); pack the dataset again")


def dataset_digest(shards: Sequence[Shard]) -> str:
    """SHA-256 over the shards' names, sizes, SHA-256s and sample counts: the identity of the data."""
    table = [[shard.name, shard.size, shard.sha256, shard.samples] for shard in shards]
    return hashlib.sha256(json.dumps(table, separators=(",", ":")).encode()).hexdigest()


def write_manifest(sink: Any, summary: DatasetSummary, rows_per_shard: Iterable[Sequence[Row]]) -> None:
    """Write the Parquet file: one row group per shard, in the order of ``summary.shards``, one in memory at a time.

    Args:
        sink: a path, or a binary file object.
        summary: what goes into the file's metadata.
        rows_per_shard: each shard's rows.
    """
    shards = summary.shards
    metadata = {
        "version": FORMAT_VERSION,
        "shards": {
            "name": [shard.name for shard in shards],
            "size": [shard.size for shard in shards],
            "sha256": [shard.sha256 for shard in shards],
            "samples": [shard.samples for shard in shards],
        },
        "min_height": summary.min_height,
        "min_width": summary.min_width,
        "decoded_bytes": summary.decoded_bytes,
        "has_degraded": summary.has_degraded,
        "fingerprint": summary.fingerprint,
        "skipped": summary.skipped,
        "credits": summary.credits,
    }
    schema = ROWS_SCHEMA.with_metadata({METADATA_KEY: json.dumps(metadata, separators=(",", ":")).encode()})
    with pq.ParquetWriter(
        sink, schema, compression="zstd", write_statistics=False, write_page_checksum=True, store_schema=True
    ) as writer:
        for number, rows in enumerate(rows_per_shard):
            columns: dict[str, list[Any]] = {"shard": [number] * len(rows)}
            for name in ROWS_SCHEMA.names[1:]:
                columns[name] = [getattr(row, name) for row in rows]
            writer.write_table(pa.Table.from_pydict(columns, schema=schema), row_group_size=max(1, len(rows)))


def encode_manifest(summary: DatasetSummary, rows_per_shard: Iterable[Sequence[Row]]) -> bytes:
    """``write_manifest`` as bytes, for few rows."""
    sink = pa.BufferOutputStream()
    write_manifest(sink, summary, rows_per_shard)
    return sink.getvalue().to_pybytes()


def load_manifest(uri: str, storage: Storage | None = None, name: str = MANIFEST_NAME) -> Manifest:
    """Open the dataset at a folder or S3 prefix; reads the manifest's footer, no row.

    Raises:
        UserError: no manifest there (so no dataset, or one half written), or one of another format.
    """
    storage = storage or open_storage(uri)
    try:
        footer = read_footer(storage, name)
    except FileNotFoundError as error:
        raise UserError(
            f"{uri!r} holds no {MANIFEST_NAME}, so no finished dataset: correct the address,"
            " or write the shards with jobs/prepare_data.py"
        ) from error
    except DamagedManifest as error:
        raise _unusable(MANIFEST_NAME, uri, error) from None
    if footer.version != FORMAT_VERSION:
        raise UserError(
            f"{MANIFEST_NAME} at {uri!r} has format version {footer.version}, this program reads {FORMAT_VERSION}"
        )
    table = footer.shards
    shards = tuple(Shard(*values) for values in zip(table.name, table.size, table.sha256, table.samples, strict=True))
    summary = DatasetSummary(
        shards=shards,
        min_height=footer.min_height,
        min_width=footer.min_width,
        decoded_bytes=footer.decoded_bytes,
        has_degraded=footer.has_degraded,
        fingerprint=footer.fingerprint,
        skipped=tuple(footer.skipped),
        credits=tuple(footer.credits),
    )
    return Manifest(uri=uri, summary=summary, digest=dataset_digest(shards), name=name)


def open_manifest(dataset: Manifest | str) -> Manifest:
    """The manifest itself, or the one at an address."""
    return load_manifest(dataset) if isinstance(dataset, str) else dataset
