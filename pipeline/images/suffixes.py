"""By which endings a file is taken for an image: stated once, for packing, for reading what was packed, for restoring.

Only a file's bytes say what it holds; an ending decides whether it is opened at all.
"""

from __future__ import annotations

from collections.abc import Iterable

_OF_FORMAT = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm"),
}


def suffixes_of(formats: Iterable[str]) -> tuple[str, ...]:
    """The endings of files of ``formats``, in lower case with their dot. Raises KeyError for a format unknown here."""
    return tuple(suffix for name in formats for suffix in _OF_FORMAT[name])
