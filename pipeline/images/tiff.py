"""Read gray and RGB TIFF files of 8 to 16 bits, which Pillow would reduce to 8 bits, turn, or not know."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import tifffile

from pipeline.images.ifd import ORIENTATION, BadDirectoryError, Directory, read_directory, stated_orientation
from pipeline.images.levels import Decoded, Levels, UnsupportedImageError, check_pixels

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXTRA_SAMPLES = 338
_PREMULTIPLIED = 1
_REDUCED = 1  # bit of NewSubfileType: a smaller copy of another page
# How the pixels lie in the file, and what they are numbers of: stated anew for every file that is written.
STORAGE_TAGS = frozenset(
    (
        *(*range(254, 260), 262, 263, 264, 265, 266, 273, *range(277, 282), 284, 290, 291, 292, 293, 297, 317),
        *(*range(320, 329), 330, 332, 333, 334, 336, *range(338, 348), *range(512, 522), *range(529, 533), 559),
    )
)
# Where a picture lies on the Earth, in its own pixels: untrue of an enlarged one.
PLACE_TAGS = frozenset((33550, 33922, 34264))
_TRANSFER_FUNCTION = 301  # a table with an entry per level
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what it finds odd, also where it raises


def read_tiff(file: BinaryIO, max_pixels: int) -> Decoded | None:
    """The picture; None for kinds that Pillow reads well (palettes, bilevel, YCbCr).

    Raises UnsupportedImageError for what is not supported; tifffile's exceptions for damaged files.
    """
    directory = read_tags(file)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        assert isinstance(page, tifffile.TiffPage)
        check_pixels(page.imagewidth, page.imagelength, max_pixels)
        # Of bytes behind the picture nothing is said: a TIFF file states no end, its parts lie in any order, and tags
        # that only their makers can read (of cameras' notes, raw data) point anywhere into it.
        notes = _other_pages(tiff)
        color = page.photometric == tifffile.PHOTOMETRIC.RGB
        white_is_zero = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        gray = white_is_zero or page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        bits = page.bitspersample
        if not (color or gray) or bits < 8:
            if bits > 8:
                raise UnsupportedImageError(
                    f"TIFF of kind {page.photometric!r} with {bits} bits is not supported; use gray or RGB"
                )
            return None
        if page.dtype not in (np.uint8, np.uint16):
            raise UnsupportedImageError(f"samples of {page.dtype or bits} are not supported; use 8 to 16 bits")
        extra = page.tags.valueof(_EXTRA_SAMPLES, default=())
        alpha = page.samplesperpixel - (3 if color else 1)
        if alpha > 1 or _PREMULTIPLIED in (extra if isinstance(extra, tuple) else (extra,)):
            raise UnsupportedImageError("premultiplied alpha and further channels are not supported; use plain RGBA")
        raw = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
            raw = np.moveaxis(raw, 0, 2)
        levels = raw.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
        if white_is_zero:
            levels = levels.copy()
            levels[:, :, 0] = (1 << bits) - 1 - levels[:, :, 0]
        if 8 < bits < 16:
            levels = widen(levels, bits)
            directory = directory.without([_TRANSFER_FUNCTION])
            notes.append(f"its {bits} bits become 16")
        return Decoded(
            levels=np.ascontiguousarray(levels),
            file_format="TIFF",
            orientation=stated_orientation(directory),
            directory=directory,
            notes=tuple(notes),
        )


def widen(levels: Levels, bits: int) -> Levels:
    """Levels of ``bits`` bits over the whole range of 16, rounded: full stays full."""
    most = (1 << bits) - 1
    return ((levels.clip(0, most).astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)


def read_tags(file: BinaryIO) -> Directory:
    """The tags that travel: all but those that say how the pixels are stored."""
    try:
        return read_directory(file).without(STORAGE_TAGS)
    except BadDirectoryError:
        return Directory("<", ())


def upright(decoded: Decoded) -> Decoded:
    """Tags of a picture that Pillow has turned upright."""
    assert decoded.directory is not None
    return replace(decoded, orientation=1, directory=decoded.directory.without([ORIENTATION]))


def _other_pages(tiff: tifffile.TiffFile) -> list[str]:
    count = len(tiff.pages)
    if count == 1:
        return []
    others = [page for page in tiff.pages[1:] if isinstance(page, tifffile.TiffPage)]
    if len(others) == count - 1 and all(page.subfiletype & _REDUCED for page in others):
        return [f"{count - 1} smaller copies inside are left out"]
    raise UnsupportedImageError(f"it holds {count} pages or frames; split it into single images")
