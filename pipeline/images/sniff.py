"""What kind of file the first bytes say it is: a sound file of another kind is not called damaged."""

from __future__ import annotations

_KINDS = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"FUJIFILMCCD-RAW", "camera raw"),
    (0, b"IIRO", "camera raw"),
    (0, b"IIU\0", "camera raw"),
    (0, b"PK\3\4", "zip"),
    (0, b"\x1f\x8b", "gzip"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"hevc": "HEIC"}
_NETPBM = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7")


def kind_of(head: bytes) -> str | None:
    """The name of a kind of file that is not restored, from its first 32 bytes; None where it is unknown."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video or ISO media")
    if head[:2] in _NETPBM and head[2:3].isspace():
        return "PNM"
    return next((name for at, magic, name in _KINDS if head[at : at + len(magic)] == magic), None)
