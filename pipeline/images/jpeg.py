"""JPEG files by their segments: what the decoder needs, and what travels. Markers: ITU-T T.81, annex B."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.images.levels import Piece

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _COMMENT = 0xDA, 0xFE
_APP0, _APP15 = 0xE0, 0xEF
_ADOBE, _APP2 = 0xEE, 0xE2
# In entropy-coded data a 0xFF is stuffed with 0, or begins a restart marker; fill bytes may come before a marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class JpegParts:
    """picture: a JPEG file of the pixels alone. pieces: application segments and comments. rest: bytes after it."""

    picture: bytes
    pieces: tuple[Piece, ...]
    has_other_pictures: bool
    rest: int


def split_jpeg(data: bytes) -> JpegParts:
    """Take a JPEG file apart. Raises ValueError where its segments do not follow one another."""
    kept, pieces, others = [SOI], [], False
    at = 2
    while True:
        if at + 4 > len(data) or data[at] != 0xFF:
            raise ValueError("its segments do not follow one another")
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            raise ValueError("a segment is cut short")
        content = data[at + 4 : end]
        if marker == _SOS:
            break
        is_application = _APP0 <= marker <= _APP15
        if marker == _APP2 and content.startswith(b"MPF\0"):
            others = True  # an index of further pictures behind this one
        elif is_application and marker != _ADOBE:
            pieces.append(Piece(f"APP{marker - _APP0}", content))
        elif marker == _COMMENT:
            pieces.append(Piece("COM", content))
        # JFIF and Adobe segments say which colors the numbers mean.
        if not (is_application or marker == _COMMENT) or marker == _ADOBE or content.startswith(b"JFIF\0"):
            kept.append(data[at:end])
        at = end
    end = _end_of_picture(data, at)
    kept.append(data[at:end])
    return JpegParts(b"".join(kept), tuple(pieces), others, len(data[end:].strip(b"\0")))


def _end_of_picture(data: bytes, at: int) -> int:
    """Where the picture ends whose first scan starts at ``at``; the end of the data where it is cut short."""
    while True:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found = _MARKER.search(data, at + 2 + length)
        if found is None:
            return len(data)
        if found.group() == EOI:
            return found.end()
        at = found.start()


def join_jpeg(encoded: bytes, pieces: tuple[Piece, ...]) -> bytes:
    """A freshly encoded JPEG file with the pieces of another in front of its tables.

    Its JFIF segment gives way to theirs, without a preview: density is part of how a picture prints.
    """
    parts = split_jpeg(encoded)
    front = b""
    jfif = next((p for p in pieces if p.name == "APP0" and p.content.startswith(b"JFIF\0")), None)
    if jfif is not None and len(jfif.content) >= 14:
        front = _segment(_APP0, jfif.content[:12] + b"\0\0")
    else:
        front = b"".join(_segment(_APP0, p.content) for p in parts.pieces if p.content.startswith(b"JFIF\0"))
    for piece in pieces:
        if piece.name == "COM":
            front += _segment(_COMMENT, piece.content)
        elif piece.name != "APP0":
            front += _segment(_APP0 + int(piece.name[3:]), piece.content)
    tables = parts.picture[2:]
    while tables[:2] == b"\xff\xe0":
        tables = tables[2 + int.from_bytes(tables[2:4], "big") :]
    return SOI + front + tables


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


EXIF_PREFIX = b"Exif\0\0"


def exif_of(pieces: tuple[Piece, ...]) -> bytes | None:
    """EXIF data, without its prefix; long ones are spread over several segments."""
    found = [p.content[len(EXIF_PREFIX) :] for p in pieces if p.name == "APP1" and p.content.startswith(EXIF_PREFIX)]
    return b"".join(found) if found else None


def with_exif(pieces: tuple[Piece, ...], exif: bytes) -> tuple[Piece, ...]:
    """The pieces with EXIF data of the same length in place of theirs."""
    changed, at = [], 0
    for piece in pieces:
        if piece.name == "APP1" and piece.content.startswith(EXIF_PREFIX):
            length = len(piece.content) - len(EXIF_PREFIX)
            piece = Piece("APP1", EXIF_PREFIX + exif[at : at + length])
            at += length
        changed.append(piece)
    return tuple(changed)
