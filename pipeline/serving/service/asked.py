"""What a request asks for beside its picture, read from the query string and checked before anything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.restoring.convert import FORMATS
from pipeline.restoring.picture import FileFormat
from pipeline.serving.service.refusal import RefusedError
from pipeline.serving.service.settings import MAX_WHOLE

MOST_KEYS = 1 << 16  # the model's own limit is checked where the model is


@dataclass(frozen=True, kw_only=True)
class Asked:
    """k, tile, strength, as_mosaic: as ``Restorer`` takes them. file_format: of the answer; None: the file's own."""

    k: int | None = None
    tile: int | None = None
    strength: float = 1.0
    as_mosaic: bool = False
    file_format: FileFormat | None = None


@dataclass(frozen=True, kw_only=True)
class AskedPixel:
    """A pixel of the picture (row, column, from 0), and how many keys its token may keep."""

    y: int
    x: int
    k: int | None = None


def parse_asked(query: Iterable[tuple[str, str]]) -> Asked:
    """Raises RefusedError (400) for an unknown, repeated or unfit parameter, naming what is taken."""
    return Asked(**_parse(query, _ASKED))


def parse_pixel(query: Iterable[tuple[str, str]]) -> AskedPixel:
    """Raises RefusedError (400) as ``parse_asked``, and where ``y`` or ``x`` is missing."""
    values = _parse(query, _PIXEL)
    for name in ("y", "x"):
        if name not in values:
            raise RefusedError(400, f"{name} is missing: give row y and column x of the pixel, counted from 0")
    return AskedPixel(**values)


def _parse(query: Iterable[tuple[str, str]], known: dict[str, tuple[str, Callable[[str], Any]]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in query:
        if name not in known:
            raise RefusedError(400, f"unknown parameter {name!r:.40}; there are: {', '.join(known)}")
        field, read = known[name]
        if field in values:
            raise RefusedError(400, f"{name} is given twice; give it once")
        try:
            values[field] = read(text)
        except ValueError as error:
            raise RefusedError(400, f"{name}={text[:40]!r}: {error}") from None
    return values


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # int() takes underscores, spaces and digits of other scripts, and texts of any length.
        if text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"wanted a whole number, {least} to {most}")

    return read


def _share(text: str) -> float:
    wanted = ValueError("wanted a number, 0 (the input) to 1 (the restored picture)")
    try:
        value = float(text) if len(text) <= 32 else math.nan
    except ValueError:
        raise wanted from None
    if not 0 <= value <= 1:
        raise wanted
    return value


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("wanted 0 or 1")
    return text == "1"


def _format(text: str) -> FileFormat:
    if text.lower() not in FORMATS:
        raise ValueError(f"wanted {', '.join(FORMATS)}; leave it out to keep the file's own")
    return FORMATS[text.lower()]


_SIDE = math.isqrt(MAX_WHOLE)
_ASKED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "k": ("k", _whole(1, MOST_KEYS)),
    "strength": ("strength", _share),
    "tile": ("tile", _whole(0, _SIDE)),
    "as_mosaic": ("as_mosaic", _flag),
    "format": ("file_format", _format),
}
_PIXEL: dict[str, tuple[str, Callable[[str], Any]]] = {
    "y": ("y", _whole(0, 10**6)),
    "x": ("x", _whole(0, 10**6)),
    "k": ("k", _whole(1, MOST_KEYS)),
}
