from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from pipeline.restoring.picture import UnusableImageError
from pipeline.restoring.read import read_picture
from pipeline.restoring.write import write_picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, EXIF_FOLDER, EXIF_WIDTH, MAKER = 0x0112, 0x8769, 0xA002, 0x010F


def levels(rng: np.random.Generator, channels: int, bits: int) -> np.ndarray:
    kind = np.uint8 if bits == 8 else np.uint16
    return rng.integers(0, 2**bits, (11, 13, channels), dtype=kind)[:, :, slice(None) if channels > 1 else 0]


def save(path: Path, values: np.ndarray) -> None:
    if path.suffix == ".tif":
        channels = values.shape[2] if values.ndim == 3 else 1
        tifffile.imwrite(
            path,
            values,
            photometric="rgb" if channels >= 3 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
        )
    elif values.dtype == np.uint16:
        path.write_bytes(imagecodecs.png_encode(values))
    else:
        Image.fromarray(values).save(path, lossless=True, exact=True)


@pytest.mark.parametrize(
    ("suffix", "channels", "bits"),
    [
        *((suffix, c, bits) for suffix in (".png", ".tif") for c in (1, 2, 3, 4) for bits in (8, 16)),
        *((".webp", c, 8) for c in (3, 4)),
    ],
)
def test_lossless_files_come_back_equal(
    tmp_path: Path, rng: np.random.Generator, suffix: str, channels: int, bits: int
) -> None:
    values = levels(rng, channels, bits)
    save(tmp_path / f"in{suffix}", values)
    picture = read_picture(tmp_path / f"in{suffix}")
    assert picture.pixels.shape == (11, 13, 1 if channels < 3 else 3)
    assert (picture.alpha is not None) == (channels in (2, 4))
    assert picture.bits == bits
    stored = values.reshape(11, 13, channels)[:, :, : picture.pixels.shape[2]]
    np.testing.assert_array_equal(np.rint(picture.pixels * (2**bits - 1)), stored)

    write_picture(tmp_path / f"out{suffix}", picture)
    again = read_picture(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(picture.pixels, again.pixels)
    assert (picture.alpha is None) == (again.alpha is None)
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, again.alpha)
    assert (again.bits, again.file_format) == (picture.bits, picture.file_format)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_profile_and_tags_are_kept_and_the_stated_size_follows(
    tmp_path: Path, rng: np.random.Generator, suffix: str
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    if suffix != ".tif":
        exif[MAKER] = "a camera"
        exif.get_ifd(EXIF_FOLDER)[EXIF_WIDTH] = 999
    Image.fromarray(levels(rng, 3, 8)).save(tmp_path / f"in{suffix}", icc_profile=ICC, exif=exif)
    write_picture(tmp_path / f"out{suffix}", read_picture(tmp_path / f"in{suffix}"))
    with Image.open(tmp_path / f"out{suffix}") as opened:
        assert opened.info["icc_profile"] == ICC
        tags = opened.getexif()
        assert tags[ORIENTATION] == 6
        # Stored pixels are not turned; viewers do that by the tag.
        assert read_picture(tmp_path / f"out{suffix}").pixels.shape == (11, 13, 3)
        if suffix != ".tif":
            assert tags[MAKER] == "a camera"
            assert tags.get_ifd(EXIF_FOLDER)[EXIF_WIDTH] == 13


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_files_keep_profile_and_orientation(tmp_path: Path, rng: np.random.Generator, suffix: str) -> None:
    save(tmp_path / f"in{suffix}", levels(rng, 3, 16))
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    tagged = io.BytesIO()
    Image.new("RGB", (2, 2)).save(tagged, {".png": "PNG", ".tif": "TIFF"}[suffix], icc_profile=ICC, exif=exif)
    donor = read_picture(tagged.getvalue())
    picture = replace(read_picture(tmp_path / f"in{suffix}"), pieces=donor.pieces, directory=donor.directory)
    write_picture(tmp_path / f"out{suffix}", picture)
    again = read_picture(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    with Image.open(tmp_path / f"out{suffix}") as opened:
        assert opened.getexif()[ORIENTATION] == 8
        assert opened.info["icc_profile"] == ICC


def test_palettes_become_rgb_and_keep_their_transparency(tmp_path: Path, rng: np.random.Generator) -> None:
    image = Image.fromarray(levels(rng, 3, 8)).quantize(16)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=3)
    plain, clear = read_picture(tmp_path / "plain.png"), read_picture(tmp_path / "clear.png")
    np.testing.assert_array_equal(plain.pixels, np.asarray(image.convert("RGB"), np.float32) / 255)
    assert plain.alpha is None
    np.testing.assert_array_equal(clear.alpha, (np.asarray(image) != 3).astype(np.float32))


def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, rng: np.random.Generator) -> None:
    image = Image.fromarray(levels(rng, 3, 8))
    whole = io.BytesIO()
    image.resize((200, 200)).save(whole, "PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:2000])
    (tmp_path / "text.jpg").write_text("no image at all")
    (tmp_path / "empty.png").write_bytes(b"")
    image.convert("CMYK").save(tmp_path / "print.jpg")
    image.save(tmp_path / "moving.webp", save_all=True, append_images=[image.rotate(90)])
    tifffile.imwrite(tmp_path / "float.tif", rng.random((5, 5), np.float32))
    deep = imagecodecs.png_encode(levels(rng, 3, 16))
    (tmp_path / "cut16.png").write_bytes(deep[: len(deep) // 2])
    for name, reason in (
        ("cut.png", "damaged"),
        ("cut16.png", "damaged"),
        ("text.jpg", "damaged or not an image"),
        ("empty.png", "damaged or not an image"),
        ("print.jpg", "CMYK images are not supported"),
        ("moving.webp", "2 pages or frames"),
        ("float.tif", "32"),
    ):
        with pytest.raises(UnusableImageError, match=reason):
            read_picture(tmp_path / name)
    image.save(tmp_path / "fine.png")
    with pytest.raises(UnusableImageError, match="13x11 is more than 142 pixels"):
        read_picture(tmp_path / "fine.png", max_pixels=142)
    assert read_picture(tmp_path / "fine.png", max_pixels=143)


def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path, rng: np.random.Generator) -> None:
    save(tmp_path / "in.png", levels(rng, 3, 8))
    picture = read_picture(tmp_path / "in.png")
    target = tmp_path / "deep" / "er" / "out.png"
    write_picture(target, picture)
    first = target.read_bytes()
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_picture(target, picture)
    assert target.read_bytes() == b"mine"
    write_picture(target, picture, overwrite=True)
    assert target.read_bytes() == first
    assert [path.name for path in target.parent.iterdir()] == ["out.png"]
