"""Damage is where it is said to be: between two samples, inside one, in a picture."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import pytest

from pipeline.benchmarks.peers.damage import cut_between, cut_inside, flip_byte, sample_ends, shard_of

PICTURES = [bytes([number]) * (700 + number) for number in range(5)]


def tar_of(pictures: list[bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for number, content in enumerate(pictures):
            info = tarfile.TarInfo(f"k{number}.png")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def table_of(pictures: list[bytes]) -> bytes:
    """As MDS and LitData begin: how many, and where each starts and ends."""
    offsets = [4 + 4 * (len(pictures) + 1)]
    for content in pictures:
        offsets.append(offsets[-1] + len(content))
    return struct.pack(f"<{len(offsets) + 1}I", len(pictures), *offsets) + b"".join(pictures)


@pytest.mark.parametrize("make", [tar_of, table_of])
def test_a_cut_between_samples_leaves_whole_ones(make) -> None:
    content = make(PICTURES)
    ends = sample_ends(content)
    assert len(ends) == len(PICTURES)
    cut = cut_between(content)
    assert len(cut) in ends
    assert 0 < len(cut) < len(content)
    assert content.startswith(cut)
    kept = [picture for picture in PICTURES if picture in cut]
    assert kept == PICTURES[: len(kept)]
    assert len(kept) >= 1


def test_a_tar_cut_between_samples_reads_as_a_shorter_one() -> None:
    with tarfile.open(fileobj=io.BytesIO(cut_between(tar_of(PICTURES)))) as tar:
        assert 1 <= len(tar.getnames()) < len(PICTURES)


def test_a_cut_inside_is_another_length() -> None:
    content = table_of(PICTURES)
    assert len(cut_inside(content)) not in sample_ends(content)


def test_one_bit_of_the_picture_is_flipped() -> None:
    content = tar_of(PICTURES)
    altered = flip_byte(content, PICTURES[3])
    different = [at for at, pair in enumerate(zip(content, altered, strict=True)) if pair[0] != pair[1]]
    assert len(different) == 1
    start = content.index(PICTURES[3])
    assert start <= different[0] < start + len(PICTURES[3])
    with pytest.raises(ValueError, match="does not hold"):
        flip_byte(content, b"no picture")


def test_the_shard_that_holds_a_picture_is_found(tmp_path: Path) -> None:
    for name, part in (("a.tar", PICTURES[:2]), ("b.tar", PICTURES[2:])):
        (tmp_path / name).write_bytes(tar_of(part))
    assert shard_of(tmp_path, PICTURES[4]).name == "b.tar"
    with pytest.raises(ValueError, match="no file"):
        shard_of(tmp_path, b"no picture")
