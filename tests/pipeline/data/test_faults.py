"""Damage of every kind is found against the manifest, named, counted and handled by policy."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.faults import DamagedSample, FaultCounts, FaultPolicy, TooMuchDamage, tally_metrics
from pipeline.data.images import encode_image
from pipeline.data.manifest import Row, load_manifest
from pipeline.data.reader import DatasetReader
from pipeline.data.spans import SpanReader
from pipeline.data.whole import iter_whole_images
from pipeline.errors import UserError


def shard_path(manifest, number: int) -> Path:
    return Path(manifest.uri) / manifest.shards[number].name


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


DAMAGES = {
    "cut at a sample boundary": (lambda p, row: cut(p, row.offset), "truncated", {2, 3}),
    "cut inside a header": (lambda p, row: cut(p, row.offset + 100), "truncated", {2, 3}),
    "cut inside data": (lambda p, row: cut(p, row.offset + 700), "truncated", {2, 3}),
    "flipped header byte": (lambda p, row: flip(p, row.offset + 3), "altered", {2}),
    "flipped data byte": (lambda p, row: flip(p, row.offset + 600), "altered", {2}),
    "flipped padding byte": (lambda p, row: flip(p, row.offset + row.length - 1), "altered", {2}),
    "removed shard": (lambda p, row: p.unlink(), "missing_shard", {0, 1, 2, 3}),
    "emptied shard": (lambda p, row: cut(p, 0), "truncated", {0, 1, 2, 3}),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_and_named(dataset, name):
    damage, kind, rows = DAMAGES[name]
    manifest = dataset(8, per_shard=4)
    damage(shard_path(manifest, 1), manifest.rows(1)[2])
    spans = DatasetReader(manifest).fetch([(shard, row) for shard in (0, 1) for row in range(4)])
    damaged = {cell: span.fault for cell, span in spans.items() if isinstance(span, DamagedSample)}
    assert set(damaged) == {(1, row) for row in rows}
    for (shard, row), fault in damaged.items():
        assert fault.kind == kind
        assert (fault.shard, fault.key) == ("shard-000001.tar", manifest.rows(shard)[row].key)


@pytest.mark.parametrize("name", DAMAGES)
def test_the_default_policy_stops_with_the_name(dataset, name):
    manifest = dataset(8, per_shard=4)
    DAMAGES[name][0](shard_path(manifest, 1), manifest.rows(1)[2])
    with pytest.raises(DamagedSample, match=r"shard-000001\.tar, sample 'img00[4-7]'.*on_damage='skip'"):
        list(iter_whole_images(manifest))


def test_skipping_puts_the_same_substitute_every_time_and_counts_once(dataset):
    manifest = dataset(8, per_shard=4)
    flip(shard_path(manifest, 1), manifest.rows(1)[2].offset + 600)
    reader = DatasetReader(manifest, FaultPolicy(on_damage="skip", max_skipped_share=0.5))
    keys = [reader.decode((1, 2), reader.fetch([(1, 2)])[1, 2]).key for _ in range(3)]
    assert keys == [manifest.rows(1)[3].key] * 3
    counts = FaultCounts()
    counts.add(reader.news())
    counts.add(reader.news())
    assert tally_metrics(counts.tally()) == {"damaged_samples": 1, "damaged_altered": 1, "storage_retries": 0}
    assert "img006" in str(counts.faults[0])


def test_a_missing_shard_is_replaced_from_another_up_to_the_allowed_share(dataset):
    manifest = dataset(8, per_shard=4)
    shard_path(manifest, 1).unlink()
    generous = DatasetReader(manifest, FaultPolicy(on_damage="skip", max_skipped_share=0.5))
    assert generous.decode((1, 1), generous.fetch([(1, 1)])[1, 1]).key == manifest.rows(0)[0].key
    assert len(generous.news()) == 4
    strict = DatasetReader(manifest, FaultPolicy(on_damage="skip", max_skipped_share=0.3))
    with pytest.raises(TooMuchDamage, match="3 of 8 samples"):
        strict.decode((1, 1), strict.fetch([(1, 1)])[1, 1])


def row(**changes) -> Row:
    return replace(Row("k", 0, 0, b"", 4, 4, 3, False), **changes)


def tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


PNG = encode_image(np.zeros((4, 4, 3), np.uint8))
READER = SpanReader("set", "shard", max_pixels=10_000)


@pytest.mark.parametrize(
    ("span", "kind"),
    [
        (tar(("k.clean.pyd", b"cos\nsystem\n")), "refused_member"),
        (tar(("k.clean.png", PNG), ("k.meta.pkl", b"\x80\x04.")), "refused_member"),
        (tar(("other.clean.png", PNG)), "refused_member"),
        (tar(("../k.clean.png", PNG)), "refused_member"),
        (tar(("k.clean.png", b""), kind=tarfile.SYMTYPE), "refused_member"),
        (tar(("k.clean.png", PNG), ("k.clean.png", PNG)), "duplicate_key"),
        (tar(("k.clean.png", PNG[:30])), "corrupt_member"),
        (tar(("k.degraded.png", PNG)), "corrupt_member"),
        (tar(), "corrupt_member"),
        (b"\xff" * 1024, "corrupt_member"),
        (tar(("k.clean.png", encode_image(np.zeros((5, 4, 3), np.uint8)))), "absurd_size"),
        (tar(("k.clean.png", encode_image(np.zeros((200, 200, 1), np.uint8)))), "corrupt_member"),
    ],
)
def test_members_that_no_packer_writes_are_refused(span, kind):
    with pytest.raises(DamagedSample) as caught:
        READER.decode(span, row())
    assert caught.value.fault.kind == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"key": "../k"}, "bad_key"),
        ({"key": "/k"}, "bad_key"),
        ({"key": "a\\..\\k"}, "bad_key"),
        ({"key": ""}, "bad_key"),
        ({"height": 200, "width": 200}, "absurd_size"),
        ({"height": 0}, "absurd_size"),
    ],
)
def test_rows_that_no_packer_writes_are_refused(changes, kind):
    with pytest.raises(DamagedSample) as caught:
        READER.check_row(row(**changes))
    assert caught.value.fault.kind == kind


def test_two_rows_with_one_key_are_one_sample_and_one_fault(dataset):
    manifest = dataset(4)
    rows = manifest.rows(0)
    manifest._rows[0] = (rows[0], rows[1], replace(rows[2], key=rows[0].key), rows[3])
    spans = DatasetReader(manifest).fetch([(0, number) for number in range(4)])
    assert [number for number in range(4) if isinstance(spans[0, number], DamagedSample)] == [2]
    assert spans[0, 2].fault.kind == "duplicate_key"


def test_a_damaged_manifest_is_one_clear_line(dataset):
    manifest = dataset(4)
    path = Path(manifest.uri) / "manifest.parquet"
    cut(path, path.stat().st_size - 20)
    with pytest.raises(UserError, match=r"manifest\.parquet at .* is damaged .*pack the dataset again"):
        load_manifest(manifest.uri)
