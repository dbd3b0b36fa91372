"""Which files to restore, and where each result goes."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.restoring.read import SUFFIXES


@dataclass(frozen=True)
class Job:
    """One file and its result."""

    source: Path
    target: Path


def find_jobs(inputs: Sequence[str], output: Path) -> list[Job]:
    """Files, folders (searched to any depth) and glob patterns, each file once, in order.

    A folder's tree is kept below ``output``; single files and matches of a pattern go directly into it. In
    folders and patterns, files that are no images by their suffix are passed over; a file named outright is
    always taken.

    Raises UserError when an input does not exist or holds no images, when two inputs would give the same
    result, or when a result would replace its own input.
    """
    jobs: dict[Path, Job] = {}
    for text in inputs:
        for source, relative in _expand(text):
            job = Job(source, output / relative)
            if job.target.resolve() == source.resolve():
                raise UserError(f"{source} would be replaced by its own result; choose another --output")
            known = jobs.setdefault(job.target, job)
            if known.source.resolve() != source.resolve():
                raise UserError(
                    f"{known.source} and {source} would both become {job.target}; restore them into different folders"
                )
    return list(jobs.values())


def _expand(text: str) -> list[tuple[Path, Path]]:
    path = Path(text)
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if _is_image(p)]
        if not found:
            raise UserError(f"folder {text} holds no images ({', '.join(sorted(SUFFIXES))})")
        return [(p, p.relative_to(path)) for p in found]
    if path.is_file():
        return [(path, Path(path.name))]
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
    found = [p for p in matches if _is_image(p)]
    if not found:
        kind = "pattern" if glob.has_magic(text) else "input"
        raise UserError(f"{kind} {text!r} matches no image file")
    return [(p, Path(p.name)) for p in found]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
