"""Scores as Parquet: one row per image and method, a column per metric."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.metrics.catalog import METRICS
from pipeline.scoring.record import Score

SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("k", pa.int32()),  # null for baselines
        # Null where a metric does not apply.
        *(pa.field(name, pa.float64(), nullable=not metric.always) for name, metric in METRICS.items()),
    ]
)


def encode_scores(scores: Sequence[Score], metadata: dict[str, str] | None = None) -> bytes:
    """A Parquet file of the scores, with ``metadata`` in its schema."""
    rows = [{"index": s.index, "key": s.key, "method": s.method, "k": s.k, **s.values} for s in scores]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(metadata or {})), sink)
    return sink.getvalue()


def decode_scores(data: bytes) -> list[Score]:
    """The scores of a file written by ``encode_scores``; a file of before a metric existed has none of it.

    Raises pyarrow.ArrowInvalid when it is no such file.
    """
    return [
        Score(
            row["index"], row["key"], row["method"], row["k"],
            {name: row[name] for name in METRICS if row.get(name) is not None},
        )
        for row in pq.read_table(io.BytesIO(data)).to_pylist()
    ]  # fmt: skip
