"""A picture on its way into a file of another kind: its color profile and its orientation travel, the rest is named."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from pipeline.images.ifd import ORIENTATION, stated_orientation
from pipeline.images.jpeg import EXIF_PREFIX, exif_of
from pipeline.images.levels import Piece, UnusableImageError
from pipeline.restoring.picture import FileFormat, Picture

FORMATS: dict[str, FileFormat] = {"png": "PNG", "jpeg": "JPEG", "jpg": "JPEG", "webp": "WEBP"}
MAX_PROFILE_BYTES = 4 << 20  # the largest profiles in use, of printers, have about 2 MB
_ICC_TAG = 34675  # of TIFF files: ICC.1, annex B.4
_ICC_SEGMENT = b"ICC_PROFILE\0"  # of JPEG files, then number and count: ICC.1, annex B.4
_SEGMENT_BYTES = 65_000  # a JPEG segment's length is a 16-bit number


def as_format(picture: Picture, file_format: FileFormat) -> Picture:
    """The same pixels for a PNG, JPEG or WebP file; where that is the picture's own kind, the picture itself.

    JPEG and WebP hold 8 bits. Raises UnusableImageError for transparency into JPEG.
    """
    if file_format == picture.file_format:
        return picture
    if file_format == "JPEG" and picture.alpha is not None:
        raise UnusableImageError("JPEG has no transparency, and the picture has; ask for png or webp")
    profile, exif = _profile(picture), _exif(picture)
    notes = [f"written as {file_format}: of the file's tags, the color profile and EXIF data are kept"]
    bits = picture.bits if file_format == "PNG" else 8
    if bits < picture.bits:
        notes.append(f"{picture.bits} bits became 8: {file_format} has no more")
    return replace(
        picture,
        file_format=file_format,
        bits=bits,
        pieces=tuple(_pieces(file_format, profile, exif)),
        directory=None,
        jpeg_quality=None,
        notes=(*picture.notes, *notes),
    )


def _pieces(file_format: FileFormat, profile: bytes | None, exif: bytes | None) -> list[Piece]:
    pieces = []
    if file_format == "PNG":
        if profile:
            pieces.append(Piece("iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
        if exif:
            pieces.append(Piece("eXIf", exif))
    elif file_format == "WEBP":
        pieces += [Piece(name, content) for name, content in (("ICCP", profile), ("EXIF", exif)) if content]
    else:
        if exif and len(exif) < _SEGMENT_BYTES:
            pieces.append(Piece("APP1", EXIF_PREFIX + exif))
        parts = [profile[at : at + _SEGMENT_BYTES] for at in range(0, len(profile), _SEGMENT_BYTES)] if profile else []
        pieces += [
            Piece("APP2", _ICC_SEGMENT + bytes((number, len(parts))) + part) for number, part in enumerate(parts, 1)
        ]
    return pieces


def _profile(picture: Picture) -> bytes | None:
    for piece in picture.pieces:
        if piece.name == "iCCP":
            return _inflated(piece.content.partition(b"\0")[2][1:])
        if piece.name == "ICCP":
            return piece.content
    segments = sorted(
        piece.content for piece in picture.pieces if piece.name == "APP2" and piece.content.startswith(_ICC_SEGMENT)
    )
    if segments:
        return b"".join(content[len(_ICC_SEGMENT) + 2 :] for content in segments)
    fields = picture.directory.fields if picture.directory else ()
    return next((field.value for field in fields if field.tag == _ICC_TAG), None)


def _inflated(data: bytes) -> bytes | None:
    """A PNG's profile; None where it is damaged, or larger than any in use."""
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(data, MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if stream.eof else None


def _exif(picture: Picture) -> bytes | None:
    found = next((piece.content for piece in picture.pieces if piece.name in ("eXIf", "EXIF")), None)
    found = exif_of(picture.pieces) if found is None else found.removeprefix(EXIF_PREFIX)
    if found or picture.directory is None:
        return found or None
    turned = stated_orientation(picture.directory)
    return None if turned == 1 else _only_orientation(turned)


def _only_orientation(orientation: int) -> bytes:
    """EXIF data of one entry: a TIFF header, then tag, type (3: SHORT), count, value, and no further directory."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
