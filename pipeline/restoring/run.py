"""Restore many files; one that cannot be restored is named and does not stop the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from pipeline.errors import UserError
from pipeline.restoring.files import Job
from pipeline.restoring.picture import UnusableImageError
from pipeline.restoring.read import DEFAULT_MAX_PIXELS, read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import write_picture


@dataclass(frozen=True)
class Outcome:
    """What became of one file; ``problem`` is empty when it was restored."""

    job: Job
    problem: str = ""


def restore_files(
    restorer: Restorer, jobs: Iterable[Job], *, overwrite: bool = False, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Iterator[Outcome]:
    """Restore each file in turn, yielding each outcome at once. An existing result is left alone."""
    for job in jobs:
        yield Outcome(job, _restore(restorer, job, overwrite, max_pixels))


def _restore(restorer: Restorer, job: Job, overwrite: bool, max_pixels: int) -> str:
    exists = f"{job.target} exists; give --overwrite to replace it"
    if job.target.exists() and not overwrite:
        return exists
    try:
        write_picture(job.target, restorer.restore(read_picture(job.source, max_pixels)), overwrite)
    except UnusableImageError as error:
        return str(error)
    except FileExistsError:
        return exists
    except OSError as error:
        return f"{job.target} cannot be written ({error.strerror or error})"
    return ""


def check_writable(output: Path) -> None:
    """Make the folder. Raises UserError when nothing could be written there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UserError(f"output folder {output} cannot be written ({error.strerror or error})") from None
