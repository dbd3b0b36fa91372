"""Rows of a manifest at each of their limits, and a manifest that travels: what is kept, and what is read again."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import manifest
from pipeline.data.manifest import (
    DatasetSummary,
    Manifest,
    Row,
    Shard,
    dataset_digest,
    encode_manifest,
    load_manifest,
    open_manifest,
)
from pipeline.data.manifest_footer import METADATA_KEY, DamagedManifest
from pipeline.errors import UserError

SIZE = 1 << 22  # bytes of each shard
SHARDS = tuple(Shard(f"00{number}.tar", SIZE, str(number) * 64, 2) for number in range(3))
FACTS: dict[str, Any] = {
    "min_height": 16, "min_width": 20, "decoded_bytes": 5760, "has_degraded": True, "fingerprint": "f" * 12,
    "skipped": (("c.png", "too small"),), "credits": (("a", "somebody"),),
}  # fmt: skip


def row(key: str = "a", **values: Any) -> Row:
    usual = {"offset": 0, "length": 1024, "digest": 32 * b"\1", "height": 16, "width": 20, "channels": 3}
    return Row(key=key, **{**usual, "degraded": True, **values})


def write(folder: Path, *rows: tuple[Row, ...], name: str = "manifest.parquet", **facts: Any) -> str:
    shards = tuple(Shard(each.name, each.size, each.sha256, len(own)) for each, own in zip(SHARDS, rows, strict=False))
    (folder / name).write_bytes(encode_manifest(DatasetSummary(shards, **{**FACTS, **facts}), rows))
    return str(folder)


def test_what_was_written_is_read_with_every_value(tmp_path: Path) -> None:
    rows = (
        row(),
        row("b", offset=1024, length=3072, digest=32 * b"\2", height=17, width=21, channels=1, degraded=False),
    )
    others = (row("c", offset=512), row("d", offset=2048))
    manifest = load_manifest(write(tmp_path, rows, others))
    assert [manifest.rows(0), manifest.rows(1)] == [rows, others]
    assert manifest.summary == DatasetSummary(SHARDS[:2], **FACTS)
    assert (manifest.uri, manifest.name, manifest.digest) == (
        str(tmp_path),
        "manifest.parquet",
        dataset_digest(SHARDS[:2]),
    )
    assert (manifest.num_samples, manifest.samples_per_shard.tolist()) == (4, [2, 2])
    assert (manifest.min_height, manifest.min_width, manifest.has_degraded) == (16, 20, True)


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ({"length": 1}, True),
        ({"length": 0}, False),
        ({"offset": -1}, False),
        ({"offset": SIZE - 1024}, True),  # to the shard's last byte
        ({"offset": SIZE - 1023}, False),
        ({"length": SIZE + 1}, False),
        ({"height": 1, "width": 1, "channels": 1}, True),
        ({"height": 0}, False),
        ({"width": 0}, False),
        ({"channels": 0}, False),
        ({"height": 1_000_000, "width": 1_000_000, "channels": 4}, True),
        ({"height": 1_000_001}, False),
        ({"width": 1_000_001}, False),
        ({"channels": 5}, False),
    ],
)
def test_each_limit_of_a_row_is_taken_and_one_more_refused(tmp_path: Path, values: dict[str, Any], taken: bool) -> None:
    manifest = load_manifest(write(tmp_path, (row(**values),)))
    if taken:
        assert manifest.rows(0) == (row(**values),)
        return
    with pytest.raises(UserError, match=r"does not follow the one before it|no such image"):
        manifest.rows(0)


def test_rows_may_touch_and_not_overlap(tmp_path: Path) -> None:
    (tmp_path / "over").mkdir()
    assert len(load_manifest(write(tmp_path, (row(), row("b", offset=1024)))).rows(0)) == 2
    with pytest.raises(UserError, match=r"at bytes 1023\+1024 of .* which ends at 1024"):
        load_manifest(write(tmp_path / "over", (row(), row("b", offset=1023)))).rows(0)


def test_a_manifest_travels_without_its_rows(tmp_path: Path) -> None:
    opened = load_manifest(write(tmp_path, (row(),), (row("b"),), name="other.parquet"), name="other.parquet")
    manifest = Manifest(opened.uri, opened.summary, opened.digest, opened.name, cached_shards=1)
    assert [manifest.rows(number)[0].key for number in (0, 1, 0)] == ["a", "b", "a"]
    assert list(manifest._rows) == [0]  # the last that was asked for
    there = pickle.loads(pickle.dumps(manifest))  # noqa: S301 - our own
    kept = ("uri", "summary", "digest", "name", "cached_shards")
    assert [getattr(there, name) for name in kept] == [getattr(manifest, name) for name in kept]
    assert (dict(there._rows), there._parquet) == ({}, None)
    assert there.rows(1) == manifest.rows(1)


def test_the_shard_that_was_asked_for_last_stays(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path, (row(),), (row("b"),), (row("c"),)))
    manifest.cached_shards = 2
    first = manifest.rows(0)
    manifest.rows(1)
    assert manifest.rows(0) is first
    manifest.rows(2)
    assert list(manifest._rows) == [0, 2]


def test_an_open_manifest_is_taken_as_it_is_and_an_address_opened(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path, (row(),)))
    assert open_manifest(manifest) is manifest
    assert open_manifest(str(tmp_path)).summary == manifest.summary


def test_the_file_is_small_and_proves_its_pages(tmp_path: Path) -> None:
    many = tuple(row(f"{number:04d}", offset=2 * number, length=1) for number in range(2000))
    file = pq.ParquetFile(Path(write(tmp_path, many)) / "manifest.parquet")
    columns = [file.metadata.row_group(0).column(number) for number in range(file.metadata.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    assert not any(column.is_stats_set for column in columns)
    text = file.schema_arrow.metadata[METADATA_KEY].decode()
    assert text == json.dumps(json.loads(text), separators=(",", ":"))
    assert file.metadata.num_row_groups == 1
    assert file.metadata.metadata is not None
    assert b"ARROW:schema" in file.metadata.metadata


def test_a_digest_that_was_altered_where_no_compression_shows_it_is_seen(tmp_path: Path) -> None:
    """Random bytes are stored as they are: only the page's checksum tells that one is another."""
    rng = np.random.default_rng(0)
    many = tuple(row(f"{number:04d}", offset=1024 * number, digest=rng.bytes(32)) for number in range(1000))
    path = Path(write(tmp_path, many)) / "manifest.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(4)
    assert column.path_in_schema == "digest"
    data = bytearray(path.read_bytes())
    data[column.dictionary_page_offset + 16_000] ^= 1
    path.write_bytes(data)
    manifest = load_manifest(str(tmp_path))
    with pytest.raises(UserError, match=r"is damaged \(OSError: .*CRC checksum"):
        manifest.rows(0)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ConnectionError("S3 is away"), ConnectionError, r"^S3 is away$"),  # no damage: reading again may do
        (pa.ArrowInvalid("not a page"), UserError, r"is damaged \(.*not a page"),
        (DamagedManifest("rows that are none"), UserError, r"is damaged \(rows that are none\)"),
    ],
)
def test_an_outage_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], said: str
) -> None:
    def fail(*args: Any) -> None:
        raise error

    opened = load_manifest(write(tmp_path, (row(),)))
    monkeypatch.setattr(manifest, "_rows_of", fail)
    with pytest.raises(kind, match=said):
        opened.rows(0)
