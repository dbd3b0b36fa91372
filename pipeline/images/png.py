"""PNG files by their chunks: what the decoder needs, and what travels. Chunk names: PNG third edition, section 11."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from pipeline.images.levels import Piece

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_OF_16_BITS = 1_000_000  # pixels a side: libpng's PNG_USER_WIDTH_MAX and _HEIGHT_MAX, which imagecodecs leaves
_FRAMES = "acTL"
# Chunks about color, size, people and text; all others travel only where their name calls them safe to copy.
_TRAVEL = frozenset(
    (
        *("cHRM", "gAMA", "iCCP", "sRGB", "cICP", "mDCV", "cLLI", "mDCv", "cLLi", "sBIT", "bKGD", "pHYs"),
        *("oFFs", "sCAL", "pCAL", "sTER", "eXIf", "tEXt", "zTXt", "iTXt", "tIME"),
    )
)
_PIXELS = frozenset(("IHDR", "PLTE", "tRNS", "IDAT", "IEND"))


@dataclass(frozen=True)
class PngParts:
    """picture: a PNG file of header, palette and pixels. transparent: the one color that means transparent, if any.

    rest: bytes after it.
    """

    width: int
    height: int
    depth: int
    color: int
    frames: int
    picture: bytes
    pieces: tuple[Piece, ...]
    transparent: tuple[int, ...] | None
    left_out: tuple[str, ...]
    rest: int


def split_png(data: bytes) -> PngParts:
    """Take a PNG file apart. Raises ValueError where its chunks do not follow one another."""
    if data[:8] != SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
        raise ValueError("it does not begin with a PNG header")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    depth, color = data[24], data[25]
    kept, pieces, left_out = [SIGNATURE], [], []
    transparent: tuple[int, ...] | None = None
    frames, at, name = 1, 8, ""
    while name != "IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        if at + 12 > len(data) or end > len(data):
            raise ValueError("a chunk is cut short")
        name = data[at + 4 : at + 8].decode("latin-1")
        content = data[at + 8 : end - 4]
        if name == "tRNS" and color in (0, 2):
            transparent = tuple(int.from_bytes(content[n : n + 2], "big") for n in range(0, len(content) & ~1, 2))
            if len(transparent) != (1 if color == 0 else 3):
                raise ValueError("its transparent color has the wrong length")
        elif name in _PIXELS:
            kept.append(data[at:end])
        elif name == _FRAMES:
            frames = int.from_bytes(content[:4], "big")
        elif name in _TRAVEL or (name[0].islower() and name[3].islower()):
            if zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big"):
                pieces.append(Piece(name, content))
            else:
                left_out.append(f"{name} (damaged)")
        elif name not in ("fcTL", "fdAT"):
            left_out.append(name)
        at = end
    rest = len(data[at:].strip(b"\0"))
    picture = b"".join(kept)
    return PngParts(width, height, depth, color, frames, picture, tuple(pieces), transparent, tuple(left_out), rest)


def join_png(encoded: bytes, pieces: tuple[Piece, ...], channels: int) -> bytes:
    """A freshly encoded PNG file of ``channels`` channels with the chunks of another before its pixels.

    Chunks that count channels (sBIT, bKGD) are left out where the number is another one.
    """
    lengths = {"sBIT": channels, "bKGD": 2 if channels < 3 else 6}
    chunks = b"".join(
        _chunk(piece.name.encode("latin-1"), piece.content)
        for piece in pieces
        if len(piece.content) == lengths.get(piece.name, len(piece.content))
    )
    header_end = 8 + 25  # signature and IHDR; color chunks have to come before the pixels, others may
    return encoded[:header_end] + chunks + encoded[header_end:]


def _chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
