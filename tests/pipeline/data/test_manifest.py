"""A manifest that is not what was written: refused in one line, before it takes memory, whatever was done to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.manifest import MANIFEST_NAME, ROWS_SCHEMA, Shard, dataset_digest, load_manifest
from pipeline.data.manifest_footer import METADATA_KEY
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.errors import UserError


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipeline.data.images import encode_image

    folder, output = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("packed")
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 255, (16 + number, 20, 3), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(encode_image(image, "png"))
    manifest = pack_dataset(folder_sources(str(folder)), str(output), PackSettings(shard_bytes=5000))
    assert len(manifest.shards) > 1
    return output


def everything(folder: Path) -> list[Any]:
    """What a reader would read."""
    manifest = load_manifest(str(folder))
    return [manifest.rows(shard) for shard in range(len(manifest.shards))]


def rewrite(
    packed: Path, folder: Path, metadata: Callable[[dict[str, Any]], Any] = lambda found: found,
    rows: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> None:  # fmt: skip
    """The manifest in ``folder``, with another footer or other rows (of its first shard)."""
    file = pq.ParquetFile(packed / MANIFEST_NAME)
    changed = metadata(json.loads(file.schema_arrow.metadata[METADATA_KEY]))
    groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    groups[0] = rows(groups[0])
    schema = groups[0].schema.with_metadata({METADATA_KEY: json.dumps(changed).encode()})
    with pq.ParquetWriter(folder / MANIFEST_NAME, schema) as writer:
        for group in groups:
            writer.write_table(group.cast(schema), row_group_size=max(1, len(group)))


def test_what_was_written_is_read(packed: Path, tmp_path: Path) -> None:
    rewrite(packed, tmp_path)
    assert everything(tmp_path) == everything(packed)


def put(*keys: Any, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(found: dict[str, Any]) -> dict[str, Any]:
        place: Any = found
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return found

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: [], "metadata: Input should be an object"),
        (lambda found: {}, "version: Field required"),
        (put("version", value=2), "format version 2, this program reads 1"),
        (put("version", value="1"), "version: Input should be a valid integer"),
        (put("shards", value=[]), "shards: Input should be an object"),
        (put("shards", "name", 0, value="../../etc/passwd"), "leaves its folder"),
        (put("shards", "name", 0, value="shard-000001.tar"), "a shard is listed twice"),
        (put("shards", "size", 0, value=-1), r"shards\.size\.0: .*greater than or equal to 0"),
        (put("shards", "size", 0, value=10**30), r"shards\.size\.0"),
        (put("shards", "samples", 0, value=10**9), "cannot hold 1000000000 samples"),
        (put("shards", "samples", 0, value=0), r"shards\.samples\.0"),
        (put("shards", "samples", value=[1]), "different lengths"),
        (put("shards", "sha256", 0, value="x"), r"shards\.sha256\.0"),
        (put("min_height", value=0), "min_height"),
        (put("min_width", value=None), "min_width"),
        (put("decoded_bytes", value=1e300), "decoded_bytes"),
        (put("has_degraded", value=1), "has_degraded"),
        (put("skipped", value=[["a"]]), r"skipped\.0"),
        (put("credits", value=[[1, 2]]), r"credits\.0"),
        (put("shards", "samples", 0, value=1), "shard 0 has 3 rows, but lists 1 samples"),
        (
            lambda found: {
                **found, "shards": {key: [*each, "0" * 64 if key == "sha256" else "z.tar" if key == "name" else 1024
                if key == "size" else 1] for key, each in found["shards"].items()}
            },
            "it has the rows of 2 shards, but lists more",
        ),
    ],
)  # fmt: skip
def test_an_absurd_footer_is_refused_in_one_line(
    packed: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    rewrite(packed, tmp_path, change)
    with pytest.raises(UserError, match=said) as refusal:
        everything(tmp_path)
    assert "\n" not in str(refusal.value)
    assert MANIFEST_NAME in str(refusal.value)


def column(name: str, values: list[Any]) -> Callable[[pa.Table], pa.Table]:
    kind = ROWS_SCHEMA.field(name).type
    at = ROWS_SCHEMA.get_field_index(name)
    return lambda table: table.set_column(at, name, pa.array((values * len(table))[: len(table)], kind))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.take(list(range(len(table)))[::-1]), "does not follow the one before it"),
        (lambda table: table.take([1, 0, 2]), "does not follow the one before it"),
        (lambda table: table.take([0, 0, 1]), "does not follow the one before it"),
        (lambda table: table.slice(1), "shard 0 has 2 rows, but lists 3 samples"),
        (column("offset", [-512]), "does not follow"),
        (column("offset", [2**60]), "does not follow"),
        (column("length", [0]), "does not follow"),
        (column("height", [0]), "no such image"),
        (column("width", [2**31 - 1]), "no such image"),
        (column("channels", [99]), "no such image"),
        (column("key", [None]), "has no value in a column"),
        (column("shard", [1]), "name another shard"),
    ],
)
def test_rows_that_are_not_the_shards_are_refused(
    packed: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    """Above all rows in another order: the data set's digest knows the shards alone, a resume takes rows by number."""
    assert len(load_manifest(str(packed)).rows(0)) == 3
    rewrite(packed, tmp_path, rows=change)
    with pytest.raises(UserError, match=said) as refusal:
        everything(tmp_path)
    assert "\n" not in str(refusal.value)


def test_other_columns_are_refused(packed: Path, tmp_path: Path) -> None:
    file = pq.ParquetFile(packed / MANIFEST_NAME)
    metadata = {METADATA_KEY: file.schema_arrow.metadata[METADATA_KEY]}
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), tmp_path / MANIFEST_NAME)
    with pytest.raises(UserError, match="columns are not those of a manifest"):
        everything(tmp_path)


def test_a_flood_of_equal_rows_is_refused_unread(packed: Path, tmp_path: Path) -> None:
    """Ten million rows that a few bytes stand for."""
    many = 10_000_000
    table = pq.ParquetFile(packed / MANIFEST_NAME).read_row_group(0).slice(0, 1)
    flood = pa.table([pa.repeat(table.column(name)[0], many) for name in table.column_names], schema=table.schema)
    pq.write_table(flood, tmp_path / MANIFEST_NAME, row_group_size=many)
    assert (tmp_path / MANIFEST_NAME).stat().st_size < 1_000_000
    with pytest.raises(UserError, match="shard 0 has 10000000 rows, but lists 3 samples"):
        everything(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 8, b"\0" * 5000, b"PAR1\xff\xff\xff\x7fPAR1"])
def test_no_parquet_is_no_manifest(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(UserError, match="is damaged") as refusal:
        everything(tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_packer_is_refused_while_another_writes(packed: Path, tmp_path: Path) -> None:
    from pipeline.storage.lease import sole_writer

    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes((next(packed.glob("*.tar"))).read_bytes()[512:1024])
    with (
        sole_writer(str(tmp_path / "out"), "the dataset"),
        pytest.raises(UserError, match="is being written by process"),
    ):
        pack_dataset(folder_sources(str(folder)), str(tmp_path / "out"))


# As an earlier version wrote it: names of runs, tags of models and caches hold such digests.
TABLE = '[["000.tar",1024,"aa",3],["001.tar",2048,"bb",4]]'
TWO = (Shard("000.tar", 1024, "aa", 3), Shard("001.tar", 2048, "bb", 4))


def test_the_digest_of_a_data_set_is_pinned() -> None:
    assert dataset_digest(TWO) == hashlib.sha256(TABLE.encode()).hexdigest()
    assert dataset_digest(TWO) == "569ba6143a1178906863caf6678f425dea26f38967f72ef2d5799bf61abc648b"
    assert dataset_digest(()) == hashlib.sha256(b"[]").hexdigest()


def test_every_field_of_every_shard_is_in_the_digest_of_a_data_set() -> None:
    another = {"name": "002.tar", "size": 4096, "sha256": "cc", "samples": 5}
    assert set(another) == {field.name for field in fields(Shard)}, "add it to another: is it part of the data?"
    altered = [
        tuple(replace(shard, **{name: value}) if place == number else shard for place, shard in enumerate(TWO))
        for number in range(len(TWO))
        for name, value in another.items()
    ]
    tables = [TWO, *altered, TWO[:1], TWO[1:], TWO[::-1]]
    assert len({dataset_digest(table) for table in tables}) == len(tables)
