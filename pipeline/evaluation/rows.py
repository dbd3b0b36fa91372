"""The per-image results: one row per image and method, kept as Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

RESTORED = "restored"  # the model's method name; the others are names of baselines

SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("k", pa.int32()),  # null for baselines
        pa.field("psnr_db", pa.float64(), nullable=False),
        pa.field("ssim_valid", pa.float64(), nullable=False),
        pa.field("ssim_same", pa.float64(), nullable=False),
        pa.field("psnr_b_db", pa.float64()),  # null where the task's tables have none
        pa.field("lpips", pa.float64()),  # null where no weights were given
    ]
)


@dataclass(frozen=True)
class Row:
    """Figures of one method on one image; columns as in ``SCHEMA``."""

    index: int
    key: str
    method: str
    k: int | None
    psnr_db: float
    ssim_valid: float
    ssim_same: float
    psnr_b_db: float | None
    lpips: float | None = None  # the default reads parts of before there was a column


def encode_rows(rows: Sequence[Row], metadata: dict[str, str] | None = None) -> bytes:
    """A Parquet file of the rows, with ``metadata`` in its schema."""
    sink = io.BytesIO()
    schema = SCHEMA.with_metadata(metadata or {})
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), sink)
    return sink.getvalue()


def decode_rows(data: bytes) -> list[Row]:
    """The rows of a file written by ``encode_rows``. Raises pyarrow.ArrowInvalid when it is none."""
    return [Row(**values) for values in pq.read_table(io.BytesIO(data)).to_pylist()]
