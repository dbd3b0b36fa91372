"""The metadata of a manifest file, checked before anything is built from it: whoever can write a bucket can write this.

Raises are ``DamagedManifest``: one line that names what is wrong and the limit.
"""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.storage import Storage
from pipeline.storage.base import checked_key
from pipeline.storage.ranged_file import RangedFile

FORMAT_VERSION = 1
METADATA_KEY = b"semanir.dataset"
MAX_FOOTER_BYTES = 1 << 28
MAX_SHARDS = 1_000_000
LEAST_SAMPLE_BYTES = 1024  # a tar header and one block
MAX_SIDE = 1_000_000  # pixels

Count = Annotated[int, Field(ge=0, lt=2**53)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Pair = tuple[Annotated[str, Field(max_length=10_000)], Annotated[str, Field(max_length=100_000)]]


class DamagedManifest(ValueError):
    """The file is not what ``write_manifest`` writes."""


class ShardTable(BaseModel):
    """One entry per shard in each list."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: list[Annotated[str, Field(max_length=1024)]] = Field(max_length=MAX_SHARDS)
    size: list[Count]
    sha256: list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]
    samples: list[Annotated[int, Field(ge=1, le=2**40)]]

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, names: list[str]) -> list[str]:
        for name in names:
            checked_key(name)
        if len(set(names)) != len(names):
            raise ValueError("a shard is listed twice")
        return names

    @model_validator(mode="after")
    def _hangs_together(self) -> ShardTable:
        if len({len(self.name), len(self.size), len(self.sha256), len(self.samples)}) != 1:
            raise ValueError("the columns of the shard table have different lengths")
        for name, size, samples in zip(self.name, self.size, self.samples, strict=True):
            if samples * LEAST_SAMPLE_BYTES > size:
                raise ValueError(f"{name} of {size} bytes cannot hold {samples} samples")
        return self


class Footer(BaseModel):
    """What ``manifest.write_manifest`` writes beside the rows."""

    model_config = ConfigDict(frozen=True, strict=True)

    version: int
    shards: ShardTable
    min_height: Side
    min_width: Side
    decoded_bytes: Count
    has_degraded: bool
    fingerprint: Annotated[str, Field(max_length=1024)]
    skipped: list[Pair] = Field(max_length=10_000_000)
    credits: list[Pair] = Field(max_length=10_000_000)


def read_footer(storage: Storage, name: str) -> Footer:
    """The metadata of the manifest ``name``.

    Raises:
        FileNotFoundError: there is none.
        DamagedManifest: it is something else, or absurd.
    """
    size = storage.size(name)
    length = int.from_bytes(storage.read_range(name, size - 8, 4), "little") if size >= 12 else size
    if length > min(MAX_FOOTER_BYTES, size):
        raise DamagedManifest(f"a footer of {length} bytes in a file of {size}; at most {MAX_FOOTER_BYTES} are read")
    try:
        schema = pq.read_schema(RangedFile(storage, name))
        return Footer.model_validate_json((schema.metadata or {})[METADATA_KEY])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "metadata"
        raise DamagedManifest(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    except KeyError:
        raise DamagedManifest("it has no metadata of a data set") from None
    except Exception as error:
        raise damaged(error) from None


def damaged(error: Exception) -> Exception:
    """``error`` as DamagedManifest when Arrow means the file by it; else itself: the store's, the program's."""
    # Arrow raises plain OSError for pages and footers that do not decode; a store's errors are of classes of their own.
    means_the_file = isinstance(error, (pa.ArrowException, UnicodeDecodeError, MemoryError, OverflowError))
    if means_the_file or type(error) in (OSError, ValueError, IndexError):
        return DamagedManifest(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
    return error


def check_row_group(parquet: pq.ParquetFile, schema: pa.Schema, group: int, samples: int) -> None:
    """Raise DamagedManifest unless row group ``group`` holds ``samples`` rows of ``schema``, of a size that is read."""
    found: Any = parquet.schema_arrow
    if not found.remove_metadata().equals(schema):
        raise DamagedManifest("its columns are not those of a manifest")
    if group >= parquet.num_row_groups:
        raise DamagedManifest(f"it has the rows of {parquet.num_row_groups} shards, but lists more")
    row_group = parquet.metadata.row_group(group)
    if row_group.num_rows != samples:
        raise DamagedManifest(f"shard {group} has {row_group.num_rows} rows, but lists {samples} samples")
    # A key has at most the 256 bytes that a tar header gives a path, times four for UTF-8; the rest is numbers.
    limit = samples * 2048 + (1 << 20)
    if row_group.total_byte_size > limit:
        raise DamagedManifest(f"the {samples} rows of shard {group} claim {row_group.total_byte_size} bytes")
