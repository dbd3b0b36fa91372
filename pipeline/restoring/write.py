"""Write a restored picture in the format it came in, with its profile, tags and transparency."""

from __future__ import annotations

import errno
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.images.ifd import EXIF, Directory, merge, patch_size, with_size
from pipeline.images.jpeg import EXIF_PREFIX, exif_of, join_jpeg, with_exif
from pipeline.images.levels import Piece, UnusableImageError
from pipeline.images.png import MOST_OF_16_BITS, join_png
from pipeline.images.tiff import PLACE_TAGS, STORAGE_TAGS
from pipeline.restoring.picture import Picture, to_levels

JPEG_QUALITY = 98  # with full color resolution: saving again should not undo the restoration
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 6},
    "JPEG": {"quality": JPEG_QUALITY, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
}
# Of a side in pixels, by format and bits: libjpeg's JPEG_MAX_DIMENSION, WebP's container specification.
_LONGEST_SIDE = {("JPEG", 8): 65_500, ("WEBP", 8): 16_383, ("PNG", 16): MOST_OF_16_BITS}
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def check_fits(picture: Picture, scale: int) -> None:
    """Before anything is computed: raises UnusableImageError where the result would not fit into its format."""
    height, width = picture.pixels.shape[0] * scale, picture.pixels.shape[1] * scale
    limit = _LONGEST_SIDE.get((picture.file_format, picture.bits))
    if limit is not None and max(height, width) > limit:
        name, other = (picture.file_format, "PNG or TIFF") if picture.bits == 8 else ("a PNG file of 16 bits", "TIFF")
        raise UnusableImageError(
            f"its result of {width}x{height} pixels does not fit into {name}, which holds at most {limit:,} a side;"
            f" convert it to {other}"
        )


def write_picture(path: Path, picture: Picture, overwrite: bool = False) -> None:
    """Write the file in one step: a reader sees all of it or none.

    Raises FileExistsError when it exists and ``overwrite`` is false, OSError when the folder cannot be written.
    """
    encoded = encode(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".restoring-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(encoded)
        os.chmod(scratch, 0o666 & ~_umask())
        if overwrite:
            os.replace(scratch, path)
        else:
            place(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)


def place(scratch: str, path: Path) -> None:
    """Give the file its name unless that is taken, also when it was taken a moment ago."""
    try:
        os.link(scratch, path)
        return
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno not in _NO_LINKS:
            raise
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # no hard links here: claim the name first
    try:
        os.replace(scratch, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def encode(picture: Picture) -> bytes:
    """The file's bytes. JPEG: quality 98, 4:4:4; WebP: lossless; TIFF: deflate; 16 bits where it had them."""
    levels = to_levels(picture)
    height, width = levels.shape[:2]
    pieces = _with_size(picture.pieces, width, height)
    if picture.file_format == "TIFF":
        enlarged = picture.stored is not None and picture.stored != (height, width)
        return _tiff(levels, _tags(picture, width, height, enlarged))
    if picture.bits == 16 and picture.file_format == "PNG":
        import imagecodecs

        encoded = bytes(imagecodecs.png_encode(np.ascontiguousarray(levels), level=6))
    else:
        extra = _webp_pieces(pieces) if picture.file_format == "WEBP" else {}
        out = BytesIO()
        image = Image.fromarray(np.ascontiguousarray(levels))
        image.save(out, format=picture.file_format, **_OPTIONS[picture.file_format], **extra)
        encoded = out.getvalue()
    if picture.file_format == "PNG":
        return join_png(encoded, pieces, levels.shape[2] if levels.ndim == 3 else 1)
    return join_jpeg(encoded, pieces) if picture.file_format == "JPEG" else encoded


def left_out(picture: Picture, scale: int) -> tuple[str, ...]:
    """What of the file cannot travel to a result ``scale`` times as large, for a person to read."""
    notes = list(picture.notes)
    tags = {field.tag for field in picture.directory.fields} if picture.directory else set()
    if scale != 1 and tags & PLACE_TAGS:
        notes.append("its place on the Earth (GeoTIFF tags) is left out: it would be untrue of the enlarged picture")
    return tuple(notes)


def _webp_pieces(pieces: tuple[Piece, ...]) -> dict[str, bytes]:
    names = {"ICCP": "icc_profile", "EXIF": "exif", "XMP ": "xmp"}
    return {names[piece.name]: piece.content for piece in pieces if piece.name in names}


def _with_size(pieces: tuple[Piece, ...], width: int, height: int) -> tuple[Piece, ...]:
    """The pieces, with the size in pixels that EXIF data states brought up to date, and every other byte kept."""
    exif = exif_of(pieces)
    if exif is not None:
        pieces = with_exif(pieces, patch_size(exif, width, height))
    changed = []
    for piece in pieces:
        if piece.name in ("eXIf", "EXIF"):
            prefix = EXIF_PREFIX if piece.content.startswith(EXIF_PREFIX) else b""
            content = prefix + patch_size(piece.content.removeprefix(prefix), width, height)
            piece = Piece(piece.name, content)
        changed.append(piece)
    return tuple(changed)


def _tags(picture: Picture, width: int, height: int, enlarged: bool) -> Directory:
    directory = picture.directory or Directory("<", ())
    if any(field.tag == EXIF for field in directory.fields):
        directory = with_size(directory, width, height)
    return directory.without(PLACE_TAGS) if enlarged else directory


def _tiff(levels: np.ndarray, tags: Directory) -> bytes:
    import tifffile

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
        byteorder=tags.order,
        software=False,
        metadata=None,
    )
    return merge(out.getvalue(), tags, STORAGE_TAGS)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
