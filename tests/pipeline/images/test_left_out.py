"""What a file holds beside its picture, and is left out, is said: chunks of unknown kinds, and bytes behind."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images import FORMATS, decode_noted
from pipeline.data.png_rows import plain_png_shape
from pipeline.images.levels import Piece
from pipeline.images.read import RESTORED_FORMATS, decode
from pipeline.restoring.read import read_picture
from pipeline.restoring.write import left_out

MAX = 10_000
SECOND = b"a second picture, or a video"
SAID = (f"{len(SECOND)} bytes behind the picture (a video, or a second picture) are left out",)


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    levels = np.random.default_rng(0).integers(0, 256, (12, 13, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(levels).convert(mode).save(out, kind, **options)
    return out.getvalue()


FILES = {
    "plain PNG": saved("PNG"),
    "PNG with text": saved("PNG", dpi=(72, 72)),
    "palette PNG": saved("PNG", "P"),
    "JPEG": saved("JPEG"),
    "WebP": saved("WEBP"),
    "lossless WebP": saved("WEBP", lossless=True),
    "WebP with tags": saved("WEBP", xmp=b"<x/>"),
    "BMP": saved("BMP"),
    "gray BMP": saved("BMP", "L"),
    "BMP of unstated length": saved("BMP")[:2] + bytes(4) + saved("BMP")[6:],
    "PPM": saved("PPM"),
    "PGM": saved("PPM", "L"),
    "PBM": saved("PPM", "1"),
    "PGM of 100 levels": b"P5 13 7 100\n" + bytes(91),
}


@pytest.mark.parametrize("name", FILES)
def test_bytes_behind_the_picture_are_said_where_it_is_packed(name: str) -> None:
    data = FILES[name]
    levels, notes = decode_noted(data)
    assert notes == ()
    assert decode_noted(data + bytes(3))[1] == ()  # padding is nothing that anybody misses
    again, said = decode_noted(data + SECOND)
    assert said == SAID
    np.testing.assert_array_equal(again, levels)


@pytest.mark.parametrize("name", [name for name in FILES if any(kind in name for kind in ("PNG", "JPEG", "WebP"))])
def test_and_where_it_is_restored(name: str) -> None:
    assert left_out(read_picture(FILES[name]), 1) == ()
    assert left_out(read_picture(FILES[name] + SECOND), 1) == SAID


def test_a_second_ppm_behind_the_first_is_said() -> None:
    (said,) = decode(FILES["PPM"] * 2, MAX, FORMATS).notes
    assert said.startswith(f"{len(FILES['PPM'])} bytes behind the picture")


def test_a_plain_png_is_decoded_by_rows_only_where_nothing_lies_behind() -> None:
    assert plain_png_shape(FILES["plain PNG"]) == (12, 13, 3)
    assert plain_png_shape(FILES["plain PNG"] + b"x") is None


def test_chunks_of_webp_that_nobody_knows_are_said_and_those_behind_its_end_are_not_its_own() -> None:
    tags = b"XMP " + (4).to_bytes(4, "little") + b"<y/>"
    unknown = b"abcd" + (3).to_bytes(4, "little") + b"123\0"
    inside = FILES["WebP with tags"] + unknown
    data = inside[:4] + (len(inside) - 8).to_bytes(4, "little") + inside[8:] + tags
    decoded = decode(data, MAX, RESTORED_FORMATS)
    assert decoded.pieces == (Piece("XMP ", b"<x/>"),)
    assert decoded.notes == (
        "chunks left out: abcd",
        "12 bytes behind the picture (a video, or a second picture) are left out",
    )
