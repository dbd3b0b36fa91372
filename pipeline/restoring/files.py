"""Which files to restore, and where each result goes."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.images.folders import find_images
from pipeline.restoring.read import SUFFIXES
from pipeline.wording import counted

# What is restored as a video, or refused as one that is of another kind: never taken for a damaged picture. Only files
# that are named outright: those in folders may take days that nobody asked for.
VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm"),
        *(".3gp", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".wmv"),
    }
)


@dataclass(frozen=True)
class Job:
    """One file and its result; a folder that may not be read, in place of its images."""

    source: Path
    target: Path


def find_jobs(inputs: Sequence[str], output: Path, say: Callable[[str], None] = lambda line: None) -> list[Job]:
    """Files, folders (searched to any depth) and glob patterns, each file once, in order.

    A folder's tree is kept below ``output``; single files and matches of a pattern go directly into it. In
    folders and patterns, files that are no images by their suffix are passed over, as are former results below
    ``output``; a file named outright is always taken. A folder that may not be read stands for its images.

    say: told in one line for each input what was passed over.

    Raises UserError when an input does not exist or holds no images, when two inputs would give the same
    result, or when a result would replace an input.
    """
    jobs: dict[Path, Job] = {}
    for text in inputs:
        for source, relative in _expand(text, output, say):
            job = Job(source, output / relative)
            if job.target.resolve() == source.resolve():
                raise UserError(f"{source} would be replaced by its own result; choose another --output")
            known = jobs.setdefault(job.target, job)
            if known.source.resolve() != source.resolve():
                raise UserError(
                    f"{known.source} and {source} would both become {job.target}; restore them into different folders"
                )
    sources = {job.source.resolve() for job in jobs.values()}
    for job in jobs.values():
        if job.target.resolve() in sources:
            raise UserError(f"the result of {job.source} would replace the input {job.target}; choose another --output")
    return list(jobs.values())


def _expand(text: str, output: Path, say: Callable[[str], None]) -> list[tuple[Path, Path]]:
    path = Path(text)
    if not text:
        raise UserError("an input is empty: give files, folders or patterns (is a variable not set?)")
    if path.is_dir():
        found = find_images(path, SUFFIXES, output)
        if found.left_out:
            say(found.line(text))
        if path in found.unreadable:
            raise UserError(f"folder {text} may not be read or entered by this user")
        if not found.files and not found.unreadable:
            raise UserError(f"folder {text} holds no images ({', '.join(sorted(SUFFIXES))})")
        return [(p, p.relative_to(path)) for p in (*found.files, *found.unreadable)]
    if path.is_file():
        return [(path, Path(path.name))]
    if path.exists():
        raise UserError(f"{text} is no regular file and no folder; give image files, folders or patterns")
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
    matches = [p for p in matches if output.resolve() not in p.resolve().parents]
    images = [p for p in matches if _is_image(p)]
    if not images:
        if glob.has_magic(text):
            raise UserError(f"pattern {text!r} matches no image file")
        raise UserError(f"input {text!r} matches no image file, and does not exist")
    others = sum(path.is_file() for path in matches) - len(images)
    if others:
        say(f"left out of {text}: {counted(others, 'file')} of other kinds")
    return [(p, Path(p.name)) for p in images]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
