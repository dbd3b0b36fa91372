"""Write a restored picture in the format it came in, with its profile, tags and transparency."""

from __future__ import annotations

import os
import tempfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.restoring.picture import Picture, to_levels

JPEG_QUALITY = 98  # with full color resolution: saving again should not undo the restoration
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 6},
    "JPEG": {"quality": JPEG_QUALITY, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
}
_ORIENTATION = 0x0112
_EXIF_FOLDER, _EXIF_WIDTH, _EXIF_HEIGHT = 0x8769, 0xA002, 0xA003


def write_picture(path: Path, picture: Picture, overwrite: bool = False) -> None:
    """Write the file in one step: a reader sees all of it or none.

    Raises FileExistsError when it exists and ``overwrite`` is false, OSError when the folder cannot be
    written.
    """
    encoded = encode(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(encoded)
        os.chmod(scratch, 0o666 & ~_umask())
        if overwrite:
            os.replace(scratch, path)
        else:
            os.link(scratch, path)  # fails when the target exists, also when it appeared a moment ago
    finally:
        Path(scratch).unlink(missing_ok=True)


def encode(picture: Picture) -> bytes:
    """The file's bytes. JPEG: quality 98, 4:4:4; WebP: lossless; TIFF: deflate; 16 bits where it had them."""
    levels = to_levels(picture)
    exif = _with_size(picture.exif, levels.shape[1], levels.shape[0])
    if picture.bits == 16 and picture.file_format == "PNG":
        return _png16(levels, picture.icc, exif)
    if picture.file_format == "TIFF":
        return _tiff(levels, picture.icc, exif)
    extra: dict[str, Any] = {"icc_profile": picture.icc} if picture.icc else {}
    if exif is not None:
        extra["exif"] = exif
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(levels)).save(
        out, format=picture.file_format, **_OPTIONS[picture.file_format], **extra
    )
    return out.getvalue()


def _png16(levels: np.ndarray, icc: bytes | None, exif: bytes | None) -> bytes:
    import imagecodecs

    encoded = bytes(imagecodecs.png_encode(np.ascontiguousarray(levels), level=6))
    header_end = 8 + 25  # signature and IHDR chunk; the PNG specification wants both chunks before the pixels
    chunks = b""
    if icc is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif is not None:
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    return encoded[:header_end] + chunks + encoded[header_end:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _tiff(levels: np.ndarray, icc: bytes | None, exif: bytes | None) -> bytes:
    import tifffile

    tags = Image.Exif()
    tags.load(exif or b"")
    orientation = tags.get(_ORIENTATION)
    color = levels.ndim == 3 and levels.shape[2] >= 3
    has_alpha = levels.ndim == 3 and levels.shape[2] in (2, 4)
    out = BytesIO()
    tifffile.imwrite(
        out,
        levels,
        photometric="rgb" if color else "minisblack",
        planarconfig="contig" if levels.ndim == 3 else None,
        extrasamples=["unassalpha"] if has_alpha else None,
        compression="zlib",
        iccprofile=icc,
        metadata=None,
        extratags=[] if orientation is None else [(_ORIENTATION, "H", 1, orientation, True)],
    )
    return out.getvalue()


def _with_size(exif: bytes | None, width: int, height: int) -> bytes | None:
    """The tags, with the picture's size in pixels brought up to date where they state one."""
    if exif is None:
        return None
    tags = Image.Exif()
    tags.load(exif)
    inner = tags.get_ifd(_EXIF_FOLDER)
    for tag, value in ((_EXIF_WIDTH, width), (_EXIF_HEIGHT, height)):
        if tag in inner:
            inner[tag] = value
    return tags.tobytes()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
