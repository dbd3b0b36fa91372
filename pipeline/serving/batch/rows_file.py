"""Parquet files that a run finds in its own storage: read with limits, and never trusted to be what was written."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.manifest_footer import DamagedManifest, damaged
from pipeline.errors import UserError
from pipeline.storage import Storage
from pipeline.storage.ranged_file import RangedFile

ROW_GROUP = 16384
MAX_GROUP_BYTES = 256 << 20  # 16 KiB a row, before compression
_READ_AT_ONCE = 2048


def read_rows(
    storage: Storage,
    key: str,
    schema: pa.Schema,
    remedy: str,
    nullable: Collection[str] = (),
    added: Collection[str] = (),
) -> Iterator[dict[str, Any]]:
    """The rows of ``key`` as mappings, in order, a few thousand in memory at a time.

    added: columns at the schema's end which files of earlier programs lack, and then their mappings.

    Raises:
        UserError: other columns, a value that is missing where none may, an absurd size, or damage; ends in ``remedy``.
        FileNotFoundError: there is no such file.
    """
    try:
        file = pq.ParquetFile(RangedFile(storage, key))
        found = file.schema_arrow.remove_metadata()
        earlier = pa.schema([field for field in schema if field.name not in added])
        if not found.equals(schema) and not found.equals(earlier):
            columns = ", ".join(file.schema_arrow.names)
            raise UserError(f"{storage.uri}/{key} is another record (columns {columns:.200}); {remedy}")
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            if group.num_rows > ROW_GROUP or group.total_byte_size > MAX_GROUP_BYTES:
                raise DamagedManifest(f"{group.num_rows} rows of {group.total_byte_size} bytes in one group")
        for batch in file.iter_batches(batch_size=_READ_AT_ONCE, use_threads=False):
            for name in found.names:
                if name not in nullable and batch.column(name).null_count:
                    raise DamagedManifest(f"a row has no {name}")
            yield from batch.to_pylist()
    except Exception as error:
        known = damaged(error)
        if known is error and not isinstance(error, DamagedManifest):
            raise
        raise UserError(f"{storage.uri}/{key} is damaged ({known}); {remedy}") from None
