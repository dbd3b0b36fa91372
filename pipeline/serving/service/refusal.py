"""A request that is not answered with a picture: its HTTP status, and one line that says what to change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.errors import UserError, first_line
from pipeline.images.levels import TooManyPixelsError, UnsupportedImageError
from pipeline.restoring.picture import UnusableImageError

MOST_CHARACTERS = 400
LATER = {"Retry-After": "10"}


@dataclass(frozen=True)
class Refused:
    """status: HTTP. line: for a person, without a line break. headers: beside it."""

    status: int
    line: str
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """Ends the handling of a request with ``refused`` as its answer."""

    def __init__(self, status: int, line: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(line)
        self.refused = Refused(status, one_line(line), headers or {})


def one_line(text: str) -> str:
    """Without breaks and what no terminal shows, and no longer than a person reads."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= MOST_CHARACTERS else plain[: MOST_CHARACTERS - 1] + "…"


# RFC 9110: 413 content too large, 415 unsupported media type, 422 unprocessable content, 507 is no HTTP core status.
_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (TooManyPixelsError, 413),
    (UnsupportedImageError, 415),
    (UnusableImageError, 422),
    (UserError, 400),
)
EXPECTED: tuple[type[BaseException], ...] = (
    *(kind for kind, _ in _STATUS),
    RefusedError,
    MemoryError,
)


def refused_for(error: BaseException) -> Refused:
    """The answer to one of the errors ``EXPECTED``."""
    if isinstance(error, RefusedError):
        return error.refused
    if isinstance(error, MemoryError):
        return Refused(413, "not enough memory for this picture; send a smaller one, or give a smaller tile")
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return Refused(status, one_line(first_line(error).replace("raise --max-pixels if memory allows", "send fewer")))


def busy(waiting: int, seconds_each: float) -> RefusedError:
    """429, with the time after which about half of what is waiting will be done."""
    after = min(60, max(1, math.ceil(waiting * seconds_each / 2)))
    return RefusedError(429, f"{waiting} requests are at work or waiting; come again", {"Retry-After": str(after)})
