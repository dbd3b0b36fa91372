"""Decode PNG, JPEG, TIFF and WebP files of 8 to 16 bits, and for training BMP and PPM.

Pillow does most, from the bytes that make pixels alone: an odd tag, text or profile never keeps a picture from
being read. It reduces 16-bit color to 8 bits silently, so those are decoded by imagecodecs (PNG) and tifffile (TIFF).
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from pipeline.errors import first_line
from pipeline.images import tiff
from pipeline.images.ifd import orientation
from pipeline.images.jpeg import exif_of, split_jpeg
from pipeline.images.levels import Decoded, Piece, UnsupportedImageError, UnusableImageError, check_pixels
from pipeline.images.png import MOST_OF_16_BITS, SIGNATURE, split_png
from pipeline.images.sniff import kind_of

RESTORED_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
_WEBP_PIXELS = frozenset(("VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF"))
_MAX_FILE_BYTES_PER_PIXEL = 16  # four channels of 16 bits, twice
_FILE_BYTES_BESIDE = 256 << 20

# The limit of whoever calls decides, and is checked before decoding: not a second one of the library's.
Image.MAX_IMAGE_PIXELS = None


def read_file(path: Path, max_pixels: int) -> bytes:
    """The bytes of a regular file that an image of ``max_pixels`` may have. Raises UnusableImageError otherwise."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnusableImageError("it is no regular file")
            limit = max_pixels * _MAX_FILE_BYTES_PER_PIXEL + _FILE_BYTES_BESIDE
            if status.st_size > limit:
                raise UnusableImageError(f"a file of {status.st_size:,} bytes; at most {limit:,} are read")
            return file.read(limit)
    except OSError as error:
        raise UnusableImageError(f"it cannot be read ({error.strerror or error})") from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would wait for ever


def decode(
    data: bytes | memoryview,
    max_pixels: int,
    formats: Collection[str] = RESTORED_FORMATS,
    *,
    accept_cmyk: bool = False,
) -> Decoded:
    """Decode a file's bytes; more than ``max_pixels`` pixels are refused before decoding.

    accept_cmyk: convert print colors to RGB by rule of thumb, as training may, instead of refusing them.

    Raises UnusableImageError for a file that is damaged or too large, and UnsupportedImageError, one of those, for
    a kind not supported: animations and multi-page files, CMYK, Lab, floating-point and 32-bit samples.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of what they then raise for, or read all the same
            return _decode(bytes(data), max_pixels, formats, accept_cmyk)
    except UnusableImageError:
        raise
    except MemoryError:
        raise UnusableImageError("not enough memory to decode it") from None
    except Exception as error:  # on damaged data decoders raise anything: struct.error, SyntaxError, their own
        kind = kind_of(bytes(data[:32]))
        if kind is not None:
            known = ", ".join(formats)
            raise UnsupportedImageError(f"{kind} files are not supported; convert it to one of {known}") from None
        raise UnusableImageError(f"damaged or not an image ({first_line(error)[:200]})") from None


def _decode(data: bytes, max_pixels: int, formats: Collection[str], accept_cmyk: bool) -> Decoded:
    if data[:8] == SIGNATURE and "PNG" in formats:
        return _decode_png(data, max_pixels)
    if data[:2] == b"\xff\xd8" and "JPEG" in formats:
        return _decode_jpeg(data, max_pixels, accept_cmyk)
    if data[:4] in tiff.MAGIC and "TIFF" in formats:
        file = io.BytesIO(data)
        decoded = tiff.read_tiff(file, max_pixels)
        if decoded is not None:
            return decoded
        levels = _by_pillow(data, max_pixels, "TIFF", accept_cmyk)
        return tiff.upright(Decoded(levels=levels, file_format="TIFF", directory=tiff.read_tags(file)))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and "WEBP" in formats:
        return _decode_webp(data, max_pixels)
    for name, magic in (("BMP", b"BM"), ("PPM", b"P")):
        if name in formats and data.startswith(magic):
            levels = _by_pillow(data, max_pixels, name, accept_cmyk)
            return Decoded(levels=levels, file_format=name, notes=_behind(_rest_of_rows(data, name)))
    raise ValueError("its first bytes are of no kind that is read")


def _decode_png(data: bytes, max_pixels: int) -> Decoded:
    parts = split_png(data)
    check_pixels(parts.width, parts.height, max_pixels)
    if parts.frames > 1:
        raise UnsupportedImageError(f"it holds {parts.frames} pages or frames; split it into single images")
    if parts.depth == 16:
        if max(parts.width, parts.height) > MOST_OF_16_BITS:
            raise UnsupportedImageError(
                f"{parts.width}x{parts.height}: PNG files of 16 bits are read up to {MOST_OF_16_BITS:,} pixels a side;"
                " convert it to TIFF"
            )
        import imagecodecs

        levels = imagecodecs.png_decode(parts.picture)
        levels = levels.astype(levels.dtype.newbyteorder("="), copy=False)
    else:
        levels = _by_pillow(parts.picture, max_pixels, "PNG", False)
    levels = levels.reshape(parts.height, parts.width, -1)
    if parts.transparent is not None:
        most = (1 << parts.depth) - 1
        key = [value * int(np.iinfo(levels.dtype).max) // most for value in parts.transparent]
        alpha = np.where((levels == key).all(axis=2), 0, np.iinfo(levels.dtype).max).astype(levels.dtype)
        levels = np.concatenate([levels, alpha[:, :, None]], axis=2)
    exif = next((piece.content for piece in parts.pieces if piece.name == "eXIf"), None)
    notes = (*_chunks_left_out(parts.left_out), *_behind(parts.rest))
    return Decoded(levels=levels, file_format="PNG", orientation=orientation(exif), pieces=parts.pieces, notes=notes)


def _decode_jpeg(data: bytes, max_pixels: int, accept_cmyk: bool) -> Decoded:
    parts = split_jpeg(data)
    others = "further pictures inside (preview, depth or gain map) are left out"
    return Decoded(
        levels=_by_pillow(parts.picture, max_pixels, "JPEG", accept_cmyk),
        file_format="JPEG",
        quantization=_quantization(parts.picture),
        orientation=orientation(exif_of(parts.pieces)),
        pieces=parts.pieces,
        notes=(others,) if parts.has_other_pictures else _behind(parts.rest),
    )


def _behind(rest: int) -> tuple[str, ...]:
    return (f"{rest:,} bytes behind the picture (a video, or a second picture) are left out",) if rest else ()


def _chunks_left_out(names: Collection[str]) -> tuple[str, ...]:
    return (f"chunks left out: {', '.join(sorted(set(names)))[:100]}",) if names else ()


def _quantization(data: bytes) -> dict[int, list[int]]:
    """The tables of a JPEG file; only its header is read."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as opened:
        return dict(getattr(opened, "quantization", {}))


def _decode_webp(data: bytes, max_pixels: int) -> Decoded:
    pieces, left_out, frames, at = [], [], 0, 12
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    while at + 8 <= end:
        name, length = data[at : at + 4].decode("latin-1"), int.from_bytes(data[at + 4 : at + 8], "little")
        if name in ("ICCP", "EXIF", "XMP "):
            pieces.append(Piece(name, data[at + 8 : at + 8 + length]))
        elif name not in _WEBP_PIXELS:
            left_out.append(name if name.isprintable() else repr(name))
        frames += name == "ANMF"
        at += 8 + length + length % 2
    if frames > 1:
        raise UnsupportedImageError(f"it holds {frames} pages or frames; split it into single images")
    exif = next((piece.content for piece in pieces if piece.name == "EXIF"), None)
    levels = _by_pillow(data, max_pixels, "WEBP", False)
    return Decoded(
        levels=levels,
        file_format="WEBP",
        orientation=orientation(exif),
        pieces=tuple(pieces),
        notes=(*_chunks_left_out(left_out), *_behind(len(data[end:].strip(b"\0")))),
    )


def _by_pillow(data: bytes, max_pixels: int, name: str, accept_cmyk: bool) -> Any:
    """(H, W, 1..4) uint8."""
    with Image.open(io.BytesIO(data), formats=(name,)) as opened:
        check_pixels(*opened.size, max_pixels)
        if name == "PPM" and _ppm_levels(opened) > 255:
            raise UnsupportedImageError("PNM files of more than 8 bits are not supported; convert it to PNG or TIFF")
        image: Image.Image = opened
        if image.mode in ("1", "P", "PA"):
            has_alpha = image.mode == "PA" or "transparency" in image.info
            image = image.convert("L" if image.mode == "1" else "RGBA" if has_alpha else "RGB")
        elif image.mode == "RGB" and "transparency" in image.info:
            image = image.convert("RGBA")
        elif image.mode in ("CMYK", "YCbCr") and accept_cmyk:
            image = image.convert("RGB")
        if image.mode not in ("L", "LA", "RGB", "RGBA"):
            raise UnsupportedImageError(
                f"{image.mode} images are not supported; convert it to gray or RGB, 8 or 16 bits"
            )
        levels = np.asarray(image)
        return levels.reshape(*levels.shape[:2], -1)


def _rest_of_rows(data: bytes, name: str) -> int:
    """How many bytes lie behind the rows of a BMP or PPM file; none where the rows are no plain bytes."""
    with Image.open(io.BytesIO(data), formats=(name,)) as opened:
        codec, _, offset, arguments = opened.tile[0]
        width, height = opened.size
    if name == "BMP":  # its header's length counts a profile behind the rows, but is not always right
        stride = int(arguments[1]) if codec == "raw" and isinstance(arguments, tuple) else 0
        stated = int.from_bytes(data[2:6], "little")
        end = max(offset + stride * height, stated) if stride or stated > offset else len(data)
    else:
        mode = arguments if isinstance(arguments, str) else (arguments or ("",))[0]
        bits = {"1;I": 1, "L": 8, "RGB": 24}.get(mode, 0) if codec in ("raw", "ppm") else 0
        end = offset + (width * bits + 7) // 8 * height if bits else len(data)
    return len(data[end:].strip(b"\0"))


def _ppm_levels(image: ImageFile.ImageFile) -> int:
    arguments = image.tile[0].args if image.tile else ()
    return max((value for value in arguments if isinstance(value, int)), default=0) if arguments else 0
