"""Restore many files; one that cannot be restored is named and does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

from pipeline.errors import UserError
from pipeline.memory import as_memory_error
from pipeline.restoring.files import Job
from pipeline.restoring.fitness import misgivings
from pipeline.restoring.picture import Picture, UnusableImageError
from pipeline.restoring.read import DEFAULT_MAX_PIXELS, read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import check_fits, left_out, write_picture

Made = TypeVar("Made")


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    problem: why it was not restored; empty when it was, or had been. was_there: a result was there and was left alone.
    notes: what was assumed of the file, left out of its result, or lies outside what the model was made for.
    """

    job: Job
    problem: str = ""
    was_there: bool = False
    notes: tuple[str, ...] = ()


def restore_files(
    restorer: Restorer, jobs: Iterable[Job], *, overwrite: bool = False, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Iterator[Outcome]:
    """Restore each file in turn, yielding the outcomes in that order. An existing result is left alone.

    What was restored is compressed and written while the next file is computed, which would else leave all cores but
    one idle for that time: so two pictures are held, and an outcome comes when the next file was computed.
    """
    with ThreadPoolExecutor(1, "semanir-writing") as writing:
        last: Future[Outcome] | None = None
        for job in jobs:
            try:
                made = _restore(restorer, job, overwrite, max_pixels)
            finally:  # what becomes of the last is told also before a failure of the run
                if last is not None:
                    yield last.result()
            last = writing.submit(_finish, restorer, made, overwrite)
            del made  # its pixels are the other thread's now, and gone when they are written
        if last is not None:
            yield last.result()


@dataclass(frozen=True)
class _Restored:
    """A job's picture as it was read, and restored."""

    job: Job
    picture: Picture
    result: Picture


def _restore(restorer: Restorer, job: Job, overwrite: bool, max_pixels: int) -> _Restored | Outcome:
    if job.source.is_dir():
        return Outcome(job, "this folder may not be read or entered; its images are not restored")
    if job.target.is_dir():
        return Outcome(job, f"{job.target} is in the way: a folder, where its result belongs")
    if job.target.exists() and not overwrite:
        return Outcome(job, was_there=True)
    if restorer.begins is not None:
        restorer.begins(job.source)

    def compute() -> _Restored:
        picture = read_picture(job.source, max_pixels)
        check_fits(picture, restorer.config.upscale)
        with as_memory_error():
            return _Restored(job, picture, restorer.restore(picture))

    return _or_why_not(job, compute)


def _finish(restorer: Restorer, made: _Restored | Outcome, overwrite: bool) -> Outcome:
    if isinstance(made, Outcome):
        return made
    job, picture = made.job, made.picture

    def write() -> Outcome:
        write_picture(job.target, made.result, overwrite)
        notes = (*left_out(picture, restorer.config.upscale), *misgivings(picture, restorer.bounds))
        return Outcome(job, notes=notes)

    return _or_why_not(job, write)


def _or_why_not(job: Job, work: Callable[[], Made]) -> Made | Outcome:
    """What ``work`` makes, or the outcome of a job that cannot be done."""
    try:
        return work()
    except UnusableImageError as error:
        return Outcome(job, str(error))
    except MemoryError:
        return Outcome(job, "not enough memory to restore it; give a smaller --tile")
    except OSError as error:
        return _not_written(job, error)


def _not_written(job: Job, error: OSError) -> Outcome:
    blocked = Path(error.filename) if isinstance(error.filename, str) else job.target
    if isinstance(error, FileExistsError | NotADirectoryError):
        if isinstance(error, FileExistsError) and error.filename2 == str(job.target):
            return Outcome(job, was_there=True)  # it came up while this one was computed
        if blocked == job.target:
            return Outcome(job, was_there=True)
        if isinstance(error, NotADirectoryError):
            blocked = next((p for p in job.target.parents if p.exists() and not p.is_dir()), blocked)
        return Outcome(job, f"{blocked} is in the way: a file, where a folder is wanted")
    return Outcome(job, f"{job.target} cannot be written ({error.strerror or error})")


def check_writable(output: Path) -> None:
    """Make the folder. Raises UserError when nothing could be written there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UserError(f"output folder {output} cannot be written ({error.strerror or error})") from None
