"""The plan of a restoring run: all names, in parts that workers take, written to the output's store before it begins.

A part is read by whoever restores it, so a worker that died is replaced by one that sees the very same names, and the
driver never holds more than one part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.serving.batch.names import Name
from pipeline.serving.batch.outcomes import UNKNOWN_SIZE, Outcome, Row
from pipeline.serving.batch.rows_file import read_rows
from pipeline.storage import Storage

PLAN = "_restoring/plan"
# Small enough that a worker's death costs seconds, and a million names are some thousand parts.
NAMES_PER_PART = 64
SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("key", pa.string()),
        ("start", pa.int64()),
        ("length", pa.int64()),
        ("span_sha256", pa.binary()),
        ("known_digest", pa.string()),
        ("known_target", pa.string()),
        ("known_size", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Planned:
    """One image to restore. known_digest: of the bytes that were restored before with the same settings, or empty.

    known_target: the result that a run of this output made of it, or empty; known_size: its bytes.
    """

    source: str
    key: str
    start: int
    length: int | None
    span_sha256: bytes | None
    known_digest: str
    known_target: str = ""
    known_size: int = UNKNOWN_SIZE


def with_known(names: Iterable[Name], record: Iterable[Row], settings: str, anew: bool = False) -> Iterator[Planned]:
    """Join two ascending streams: what each name's digest was when it was last restored with these settings.

    anew: nothing that was done counts as done; which results are this output's own is known all the same.
    """
    rows = iter(record)
    row = next(rows, None)
    before = ""
    for name in names:
        if name.source <= before:
            raise UserError(f"the listing is out of order at {name.source!r}, or names it twice; is it one folder?")
        before = name.source
        while row is not None and row.source < name.source:
            row = next(rows, None)
        place = (name.source, name.key, name.start, name.length, name.span_sha256)
        if row is None or row.source != name.source:
            yield Planned(*place, "")
            continue
        same = row.settings == settings and row.outcome == Outcome.RESTORED and not anew
        yield Planned(*place, row.digest if same else "", row.made(), row.size)


def write_plan(storage: Storage, planned: Iterable[Planned], per_part: int = NAMES_PER_PART) -> tuple[int, int]:
    """Store the parts; returns how many parts and how many names there are."""
    source = iter(planned)
    parts = names = 0
    while rows := list(islice(source, per_part)):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA), sink)
        storage.write(part_key(parts), bytes(sink.getvalue()))
        parts, names = parts + 1, names + len(rows)
    return parts, names


def read_part(storage: Storage, number: int) -> list[Planned]:
    """The images of one part. Raises UserError when they are not what was written."""
    rows = read_rows(storage, part_key(number), SCHEMA, "run the same command again", ("length", "span_sha256"))
    return [Planned(**row) for row in rows]


def part_key(number: int) -> str:
    """Its place in the output's store; parts sort by number."""
    return f"{PLAN}/{number:08d}.parquet"
