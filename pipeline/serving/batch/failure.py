"""Why an image was not restored: a kind to count by, and one line to read."""

from __future__ import annotations

from pipeline.errors import first_line
from pipeline.restoring.picture import UnusableImageError
from pipeline.storage import StorageUnavailable


class WorkersDiedError(Exception):
    """An image that workers died of, and that is left alone."""


class InTheWayError(Exception):
    """A file where the result belongs, which no run of this output has made."""


class UnreadableFolderError(Exception):
    """A folder whose names could not be listed, so that nothing is known of its images."""


class OddNameError(Exception):
    """An image whose name is not UTF-8."""


_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (UnusableImageError, "unusable image"),
    (StorageUnavailable, "storage silent"),
    (FileNotFoundError, "gone"),
    (PermissionError, "access refused"),
    (MemoryError, "out of memory"),
    (OSError, "not written"),
    (WorkersDiedError, "worker died"),
    (InTheWayError, "in the way"),
    (OddNameError, "odd name"),
    (UnreadableFolderError, "unreadable folder"),
)
CAUGHT = tuple(error for error, _ in _KINDS)
_LONGEST = 300


def describe(error: BaseException) -> tuple[str, str]:
    """(kind, why) of one of the errors ``CAUGHT``."""
    kind = next(kind for known, kind in _KINDS if isinstance(error, known))
    return kind, first_line(error)[:_LONGEST]
