"""What a file says beside its pixels comes back byte for byte, or is named as left out."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.images.ifd import EXIF, Field, read_directory
from pipeline.images.jpeg import split_jpeg
from pipeline.images.levels import UnsupportedImageError, UnusableImageError
from pipeline.images.png import split_png
from pipeline.images.read import decode
from pipeline.images.sniff import kind_of
from pipeline.restoring.read import read_picture
from pipeline.restoring.write import check_fits, encode, left_out

MAX = 10_000


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (image or Image.new("RGB", (16, 12), "orange")).save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def exif(*entries: tuple[int, int, int, bytes], extra: bytes = b"") -> bytes:
    """EXIF data of one directory; ``extra`` lies behind it."""
    packed = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + b"\0\0\0\0" + extra


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


ARTIST = "Jürgen Müller 写真\0".encode()
NAMED = exif((0x13B, 2, len(ARTIST), struct.pack("<I", 26)), extra=ARTIST)


@pytest.mark.parametrize("name", ["gAMA", "cICP", "sRGB", "pHYs", "cHRM", "iTXt", "tEXt", "eXIf", "zzzz", "tIME"])
def test_png_chunks_travel_byte_for_byte(name: str) -> None:
    content = NAMED if name == "eXIf" else bytes(range(1, 33 if name == "cHRM" else 10))
    data = saved("PNG")
    data = data[:33] + chunk(name.encode(), content) + data[33:]
    out = encode(read_picture(data))
    assert [(p.name, p.content) for p in split_png(out).pieces] == [(name, content)]
    assert Image.open(io.BytesIO(saved("PNG"))).tobytes() == Image.open(io.BytesIO(out)).tobytes()


def test_png_chunks_that_are_unsafe_to_copy_are_named() -> None:
    data = saved("PNG")
    picture = read_picture(data[:33] + chunk(b"zzzZ", b"1") + data[33:])
    assert picture.notes == ("chunks left out: zzzZ",)


def test_jpeg_segments_travel_byte_for_byte() -> None:
    segments = [
        (0xE1, b"Exif\0\0" + NAMED),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        (0xED, b"Photoshop 3.0\0 by"),
        (0xE2, b"ICC_PROFILE\0\1\1" + bytes(200)),
        (0xFE, "Größe".encode()),
    ]
    data = saved("JPEG", dpi=(300, 240))
    for marker, content in segments:
        data = with_segment(data, marker, content)
    source, result = split_jpeg(data), split_jpeg(encode(read_picture(data)))
    assert sorted(result.pieces, key=repr) == sorted(source.pieces, key=repr)
    with Image.open(io.BytesIO(encode(read_picture(data)))) as image:
        assert image.info["dpi"] == (300, 240)
        image.load()


def test_long_exif_in_two_segments_travels() -> None:
    tags = exif((0x10F, 2, 100_000, struct.pack("<I", 26)), extra=b"M" * 100_000)
    data = saved("JPEG")
    for part in (tags[65_000:], tags[:65_000]):  # the first goes in front
        data = with_segment(data, 0xE1, b"Exif\0\0" + part)
    out = split_jpeg(encode(read_picture(data)))
    parts = [p.content for p in out.pieces if p.name == "APP1"]
    assert parts == [b"Exif\0\0" + tags[:65_000], b"Exif\0\0" + tags[65_000:]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("number", [3, 4])
def test_the_stated_size_follows_and_no_other_byte_changes(kind: str, number: int) -> None:
    inner = struct.pack("<H", 2) + struct.pack("<HHII", 0xA002, number, 1, 999) + struct.pack("<HHII", 0x9000, 7, 4, 3)
    tags = exif((EXIF, 4, 1, struct.pack("<I", 26)), extra=inner + bytes(4) + b"maker")
    out = encode(read_picture(saved(kind, exif=b"Exif\0\0" + tags, lossless=True)))
    with Image.open(io.BytesIO(out)) as image:
        assert image.getexif().get_ifd(EXIF)[0xA002] == 16
        found = image.info["exif"].removeprefix(b"Exif\0\0")
    assert len(found) == len(tags)
    assert found[:28] == tags[:28]
    assert found[40:] == tags[40:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_tags_travel_byte_for_byte(order: str, big: bool) -> None:
    out = io.BytesIO()
    tags = [(271, "s", 0, "cam", True), (315, "s", 0, "Jane", True), (33432, "s", 0, "(c) Jane", True),
            (65000, "d", 3, (1.5, 2.5, 3.5), True), (274, "H", 1, 6, True)]  # fmt: skip
    tifffile.imwrite(
        out, np.arange(192, dtype=np.uint16).reshape(12, 16) * 300, byteorder=order, bigtiff=big, extratags=tags,
        resolution=(300, 300), resolutionunit=2, metadata=None, description="a scan", iccprofile=b"profile" * 9,
        photometric="minisblack",
    )  # fmt: skip
    picture = read_picture(out.getvalue())
    result = read_picture(encode(picture))
    assert picture.directory is not None
    assert result.directory == picture.directory
    assert {271, 315, 33432, 65000, 274, 282, 296, 270, 34675} <= {field.tag for field in result.directory.fields}
    np.testing.assert_array_equal(result.pixels, picture.pixels)


def test_tiff_exif_folders_travel() -> None:
    taken = b"2020:01:01 00:00:00\0"
    inner = Field(EXIF, 4, 1, children=(Field(0x9003, 2, len(taken), taken), Field(0xA002, 3, 1, b"\x10\0")))
    picture = read_picture(saved("TIFF"))
    assert picture.directory is not None
    picture = replace(picture, directory=replace(picture.directory, fields=(*picture.directory.fields, inner)))
    with Image.open(io.BytesIO(encode(picture))) as image:
        assert image.getexif().get_ifd(EXIF)[0x9003] == "2020:01:01 00:00:00"
        assert image.getexif().get_ifd(EXIF)[0xA002] == 16
    again = read_directory(io.BytesIO(encode(read_picture(encode(picture)))))
    assert any(field.tag == EXIF and field.children and len(field.children) == 2 for field in again.fields)


def test_a_place_on_the_earth_is_left_out_of_an_enlarged_picture_and_said() -> None:
    out = io.BytesIO()
    place = [(33550, "d", 3, (1.0, 1.0, 0.0), True)]
    tifffile.imwrite(out, np.zeros((4, 4), np.uint8), extratags=place, metadata=None, photometric="minisblack")
    picture = read_picture(out.getvalue())
    assert left_out(picture, 1) == ()
    assert "place on the Earth" in left_out(picture, 2)[0]
    enlarged = replace(picture, pixels=picture.pixels.repeat(2, 0).repeat(2, 1))
    directory = read_picture(encode(enlarged)).directory
    assert directory is not None
    assert 33550 not in {field.tag for field in directory.fields}


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_tiffs_own_bits_and_its_white_decide(bits: int, photometric: str) -> None:
    most = 2**bits - 1
    values = np.linspace(0, most, 64).astype(np.uint8 if bits == 8 else np.uint16).reshape(4, 16)
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric=photometric, bitspersample=bits)
    picture = read_picture(out.getvalue())
    expected = values / most if photometric == "minisblack" else 1 - values / most
    np.testing.assert_allclose(picture.pixels[:, :, 0], expected, atol=1e-5)
    assert picture.notes == ((f"its {bits} bits become 16",) if 8 < bits < 16 else ())
    np.testing.assert_array_equal(read_picture(encode(picture)).pixels, picture.pixels)


def test_pages_are_refused_and_smaller_copies_named() -> None:
    page = np.zeros((8, 8), np.uint8)
    pages, copies = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(pages, np.stack([page] * 7), photometric="minisblack")
    with pytest.raises(UnusableImageError, match="7 pages"):
        read_picture(pages.getvalue())
    with tifffile.TiffWriter(copies) as writer:
        writer.write(page, photometric="minisblack")
        writer.write(page[::2, ::2], photometric="minisblack", subfiletype=1)
    assert read_picture(copies.getvalue()).notes == ("1 smaller copies inside are left out",)


def test_a_phone_picture_is_the_first_and_the_others_are_named() -> None:
    image = Image.new("RGB", (16, 12), "orange")
    picture = read_picture(saved("MPO", image, save_all=True, append_images=[image.resize((4, 4))]))
    assert picture.pixels.shape == (12, 16, 3)
    assert "left out" in picture.notes[0]
    assert "5 bytes behind" in read_picture(saved("JPEG") + b"video").notes[0]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_one_transparent_gray_is_kept_at_every_depth(depth: int) -> None:
    most = (1 << depth) - 1
    row = b"\0" + bytes([0b00_01_10_11]) if depth == 2 else b"\0" + (b"\x5a" if depth < 8 else bytes(range(8)))
    width = 8 // depth if depth < 8 else 8
    header = struct.pack(">IIBBBBB", width, 1, depth, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", 1))
    picture = read_picture(data + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b""))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha == 0, np.rint(picture.pixels[:, :, 0] * most) == 1)


def test_odd_tags_never_keep_a_picture_from_being_read() -> None:
    odd = exif((0x112, 3, 1, struct.pack("<HH", 6, 0)), (0x128, 2, 2, b"2\0\0\0"))
    data = with_segment(saved("JPEG"), 0xE1, b"Exif\0\0" + odd)
    assert decode(data, MAX).orientation == 6
    cut = with_segment(saved("JPEG"), 0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(cut, MAX).orientation == 1


def test_a_result_that_its_format_cannot_hold_is_known_before() -> None:
    wide = read_picture(saved("WEBP", Image.new("RGB", (8200, 4)), lossless=True), 10**6)
    check_fits(wide, 1)
    with pytest.raises(UnusableImageError, match=r"16400x8 pixels does not fit into WEBP.*16,383"):
        check_fits(wide, 2)
    with pytest.raises(UnusableImageError, match="JPEG"):
        check_fits(replace(wide, file_format="JPEG"), 8)
    check_fits(replace(wide, file_format="PNG"), 200)
    deep = replace(wide, file_format="PNG", bits=16)
    check_fits(deep, 121)
    with pytest.raises(UnusableImageError, match=r"1000400x488 .* PNG file of 16 bits.*1,000,000 a side; convert it"):
        check_fits(deep, 122)
    check_fits(replace(deep, file_format="TIFF"), 122)
    header = chunk(b"IHDR", (1).to_bytes(4, "big") + (1_000_001).to_bytes(4, "big") + b"\x10\0\0\0\0")
    lines = bytes(3 * 1_000_001)
    tall = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    with pytest.raises(UnsupportedImageError, match=r"1x1000001: PNG files of 16 bits .* 1,000,000 pixels a side"):
        decode(tall, 10**7)


def test_the_callers_limit_decides_beyond_the_librarys() -> None:
    raw = zlib.compressobj(9)
    body = b"".join(raw.compress(bytes(1 + 19_000 // 8)) for _ in range(10_000)) + raw.flush()
    header = struct.pack(">IIBBBBB", 19_000, 10_000, 1, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert decode(data, 200_000_000).levels.shape == (10_000, 19_000, 1)
    with pytest.raises(UnusableImageError, match="is more than 189,999,999 pixels"):
        decode(data, 189_999_999)


@pytest.mark.parametrize(("kind", "name"), [("GIF", "GIF"), ("BMP", "BMP"), ("PPM", "PNM"), ("JPEG2000", "JPEG 2000")])
def test_a_sound_file_of_another_kind_is_not_called_damaged(kind: str, name: str) -> None:
    data = saved(kind)
    assert kind_of(data[:32]) == name
    with pytest.raises(UnusableImageError, match=f"{name} files are not supported"):
        read_picture(data)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    for path, reason in (
        (tmp_path / "pipe.png", "no regular"),
        (Path("/dev/zero"), "no regular"),
        (tmp_path, "direct"),
    ):
        with pytest.raises(UnusableImageError, match=reason):
            read_picture(path)
