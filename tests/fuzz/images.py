"""Small image files of all formats that are read, and a sample's part of a tar."""

from __future__ import annotations

import io
import tarfile

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from pipeline.data.images import decode_image
from pipeline.data.manifest import Row
from pipeline.data.spans import SpanReader
from pipeline.images.levels import UnusableImageError
from pipeline.restoring.read import read_picture
from pipeline.restoring.write import encode
from tests.fuzz.case import Case, check_line

MAX_PIXELS = 4096
SIDE = 12


def examples() -> dict[str, bytes]:
    """One small file of each kind that is read, with everything that travels in it."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    deep = rng.integers(0, 65536, (SIDE, SIDE, 3), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    exif.get_ifd(0x8769)[0xA002] = SIDE
    files: dict[str, bytes] = {}

    def save(name: str, picture: Image.Image, kind: str, **options: object) -> None:
        out = io.BytesIO()
        picture.save(out, kind, **options)
        files[name] = out.getvalue()

    save("png", image, "PNG", exif=exif, dpi=(72, 72), icc_profile=b"profile" * 20)
    save("png-palette", image.quantize(8), "PNG", transparency=1)
    save("jpeg", image, "JPEG", exif=exif, comment=b"a comment", dpi=(72, 72))
    save("jpeg-progressive", image.convert("L"), "JPEG", progressive=True)
    save("jpeg-print", image.convert("CMYK"), "JPEG")
    save("phone", image, "MPO", save_all=True, append_images=[image.resize((4, 4))])
    save("webp", image, "WEBP", lossless=True, exif=exif)
    save("webp-lossy", image.convert("RGBA"), "WEBP", quality=50)
    save("tiff-palette", image.quantize(8), "TIFF")
    save("tiff-jpeg", image, "TIFF", compression="jpeg")
    save("bmp", image, "BMP")
    save("ppm", image, "PPM")
    files["png16"] = bytes(imagecodecs.png_encode(deep))
    for name, options in {
        "tiff": {}, "tiff-lzw": {"compression": "lzw"}, "tiff-zlib": {"compression": "zlib", "predictor": True},
        "tiff-planes": {"planarconfig": "separate"}, "tiff-big": {"bigtiff": True, "byteorder": ">"},
        "tiff-tiles": {"tile": (16, 16)},
    }.items():  # fmt: skip
        out = io.BytesIO()
        values = deep.transpose(2, 0, 1) if name == "tiff-planes" else deep
        tifffile.imwrite(out, values, photometric="rgb", extratags=[(315, "s", 0, "Jane", True)], **options)
        files[name] = out.getvalue()
    out = io.BytesIO()
    tifffile.imwrite(out, deep[:, :, 0] >> 4, photometric="miniswhite", bitspersample=12)
    files["tiff-12"] = out.getvalue()
    return files


def span(content: bytes) -> bytes:
    """A sample's part of a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("k.clean.png")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        end = tar.offset
    return out.getvalue()[:end]


def read_all(data: bytes) -> None:
    """Restoring's reader and writer, then training's, which takes a few kinds more."""
    try:
        encode(read_picture(data, MAX_PIXELS))
    except UnusableImageError as error:
        check_line("restoring", str(error))
    decode_image(data, MAX_PIXELS)


def read_span(data: bytes) -> None:
    """A tar span as training reads it, after its digest was checked: so as if the packer had been fooled."""
    row = Row(key="k", offset=0, length=len(data), digest=b"", height=SIDE, width=SIDE, channels=3, degraded=False)
    SpanReader("set", "shard", MAX_PIXELS).decode(data, row)


def image_cases() -> list[Case]:
    """One case a format, and a sample's part of a tar."""
    cases = [Case(name, data, read_all) for name, data in examples().items()]
    return [*cases, Case("tar", span(examples()["png"]), read_span)]
