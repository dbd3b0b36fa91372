"""The record of a restoring run: a Parquet row per source, in the order of their names, merged as a stream."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.serving.batch.names import stands_for_none
from pipeline.serving.batch.rows_file import ROW_GROUP, read_rows
from pipeline.storage import Storage

RECORD_NAME = "record.parquet"


class Outcome(StrEnum):
    """What became of a source; ``KEPT`` stands only in journals: the record keeps the earlier row instead.

    ``BEGUN`` says that a run may have written the result: nothing was there before, or what was there was its own. It
    is in a record only after a run that was killed, so that the next one takes that result for its own.
    """

    RESTORED = "restored"
    KEPT = "kept"
    FAILED = "failed"
    BEGUN = "begun"


ENDS = (Outcome.RESTORED, Outcome.KEPT, Outcome.FAILED)
UNKNOWN_SIZE = -1  # of rows that were written before results had their sizes noted


@dataclass(frozen=True, kw_only=True)
class Row:
    """One source. target: where its result lies, empty where none of ours does. digest: SHA-256 of its bytes, empty
    when they could not be read. settings: of model and arguments; equal digest and settings give equal results.
    seconds: of its restoring. kind, why: of a failure, else empty. size: of the result in bytes, 0 where there is none.
    """

    source: str
    target: str
    digest: str
    model: str
    settings: str
    k: int
    seconds: float
    outcome: str
    kind: str = ""
    why: str = ""
    size: int = UNKNOWN_SIZE

    def made(self) -> str:
        """The result that may be replaced, since a run of this output made it; empty where there is none."""
        # Failures of earlier programs name a place, whoever's the file there is.
        return "" if self.outcome == Outcome.FAILED and self.size == UNKNOWN_SIZE else self.target


SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("target", pa.string()),
        ("digest", pa.string()),
        ("model", pa.string()),
        ("settings", pa.string()),
        ("k", pa.int32()),
        ("seconds", pa.float32()),
        ("outcome", pa.string()),
        ("kind", pa.string()),
        ("why", pa.string()),
        ("size", pa.int64()),
    ]
)
_ADDED = ("size",)  # columns that records of earlier programs lack; their rows take the default


_REMEDY = "move it away, and give --overwrite to restore all anew"


def read_record(storage: Storage, key: str = RECORD_NAME) -> Iterator[Row]:
    """The rows in order; none when there is no record. Raises UserError when it is not one of ours, or damaged."""
    if not storage.exists(key):
        return
    for values in read_rows(storage, key, SCHEMA, _REMEDY, added=_ADDED):
        yield Row(**values)


def write_rows(storage: Storage, key: str, rows: Iterable[Row]) -> None:
    """Store rows as one Parquet file, in one step, never more than a row group of them in memory."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.parquet"
        source = iter(rows)
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            while group := list(islice(source, ROW_GROUP)):
                columns = {field.name: [getattr(row, field.name) for row in group] for field in fields(Row)}
                writer.write_table(pa.Table.from_pydict(columns, schema=SCHEMA))
        storage.write_file(key, path)


def encode_rows(rows: Iterable[Row]) -> bytes:
    """A few rows as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def merge(earlier: Iterable[Row], later: Iterable[Row]) -> Iterator[Row]:
    """One row per source from two streams in ascending order: the later row where there is one.

    A later row that says ``kept`` gives way to the earlier one. Rows of sources that are gone stay, but for those that
    stand for none: a folder that may be read now has rows for its images instead.
    """
    old, new = iter(earlier), iter(later)
    a, b = next(old, None), next(new, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a.source < b.source):
            assert a is not None
            if not stands_for_none(a.source):
                yield a
            a = next(old, None)
        elif a is None or b.source < a.source:
            yield b
            b = next(new, None)
        else:
            yield a if b.outcome == Outcome.KEPT else b
            a, b = next(old, None), next(new, None)
