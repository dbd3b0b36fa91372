from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.images.ifd import orientation
from pipeline.restoring.convert import as_format
from pipeline.restoring.picture import UnusableImageError
from pipeline.restoring.read import read_picture
from pipeline.restoring.write import encode

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def made(kind: str, mode: str = "RGB", turned: int = 6) -> bytes:
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    levels = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8).squeeze()
    exif = Image.Exif()
    exif[0x0112] = turned
    file = BytesIO()
    Image.fromarray(levels).save(
        file, kind, icc_profile=PROFILE, exif=exif, **({"lossless": True} if kind == "WEBP" else {})
    )
    return file.getvalue()


@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("target", ["PNG", "JPEG", "WEBP"])
def test_pixels_profile_and_orientation_travel(source: str, target: str) -> None:
    picture = read_picture(made(source))
    opened = Image.open(BytesIO(encode(as_format(picture, target))))  # type: ignore[arg-type]
    assert opened.format == target
    assert opened.info["icc_profile"] == PROFILE
    stored = Image.open(BytesIO(encode(picture)))
    if source != "TIFF":
        assert opened.getexif()[0x0112] == stored.getexif()[0x0112] == 6
    if target != "JPEG":
        again = read_picture(encode(as_format(picture, target)))  # type: ignore[arg-type]
        np.testing.assert_array_equal(again.pixels, picture.pixels)


def test_a_tiff_s_orientation_becomes_exif() -> None:
    import tifffile

    file = BytesIO()
    levels = np.zeros((9, 7, 3), np.uint8)
    tifffile.imwrite(file, levels, photometric="rgb", extratags=[(274, 3, 1, 8, True)])
    converted = as_format(read_picture(file.getvalue()), "PNG")
    (exif,) = [piece.content for piece in converted.pieces if piece.name == "eXIf"]
    assert orientation(exif) == 8


def test_what_the_other_kind_cannot_hold() -> None:
    with pytest.raises(UnusableImageError, match="no transparency"):
        as_format(read_picture(made("PNG", "RGBA")), "JPEG")
    deep = read_picture(made("PNG"))
    deep = type(deep)(**{**deep.__dict__, "bits": 16})
    as_webp = as_format(deep, "WEBP")
    assert (as_webp.bits, as_format(deep, "PNG")) == (8, deep)
    assert "16 bits became 8" in as_webp.notes[-1]
