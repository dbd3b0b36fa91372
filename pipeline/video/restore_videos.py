"""Restore video files; one that cannot be restored is named and does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import av
import torch

import semanir
from pipeline.errors import UserError
from pipeline.images.levels import UnusableImageError
from pipeline.memory import as_memory_error
from pipeline.registry import sealed
from pipeline.restoring.files import Job
from pipeline.restoring.fitness import misgivings
from pipeline.restoring.read import DEFAULT_MAX_PIXELS
from pipeline.restoring.restore_files import Outcome
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import place
from pipeline.video.clip import Clip, UnusableVideoError, inspect
from pipeline.video.color import to_frame, to_picture
from pipeline.video.encoding import Encoding, choose_encoding
from pipeline.video.frames import decode
from pipeline.video.join import join
from pipeline.video.scene import Scene
from pipeline.video.workshop import SEGMENT_FRAMES, Workshop

Progress = Callable[[Path, int, int, int], None]
"""Called with (file, frames done, frames in all, frames that were done before) after each frame."""


@dataclass(frozen=True, kw_only=True)
class VideoSettings:
    """crf: the encoder's constant rate factor, None: near lossless. max_pixels: of a frame of the input.

    reuse: dictionaries are built on every so many-th frame of a scene, None: on every frame (``scene.Scene``).
    """

    crf: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    overwrite: bool = False
    reuse: int | None = None


def restore_videos(
    restorer: Restorer,
    jobs: Iterable[Job],
    settings: VideoSettings,
    progress: Progress = lambda path, done, total, before: None,
) -> Iterator[Outcome]:
    """Restore each clip in turn, yielding each outcome at once. An existing result is left alone.

    A clip that was interrupted goes on behind its last finished segment.
    """
    for job in jobs:
        yield _restore(restorer, job, settings, progress)


def _restore(restorer: Restorer, job: Job, settings: VideoSettings, progress: Progress) -> Outcome:
    if job.target.is_dir():
        return Outcome(job, f"{job.target} is in the way: a folder, where its result belongs")
    if job.target.exists() and not settings.overwrite:
        return Outcome(job, was_there=True)
    try:
        clip = inspect(job.source, settings.max_pixels)
        encoding = choose_encoding(clip, restorer.config.upscale, settings.crf)
        with Workshop(job.target, _plan(restorer, clip, encoding, settings)) as workshop:
            return _in_workshop(workshop, restorer, job, settings, clip, encoding, progress)
    except (UserError, UnusableImageError) as error:
        return Outcome(job, str(error))
    except MemoryError:
        return Outcome(job, "not enough memory to restore it; give a smaller --tile")
    except OSError as error:
        return Outcome(job, f"{job.target} cannot be written ({error.strerror or error})")


def _in_workshop(
    workshop: Workshop,
    restorer: Restorer,
    job: Job,
    settings: VideoSettings,
    clip: Clip,
    encoding: Encoding,
    progress: Progress,
) -> Outcome:
    notes = [*clip.notes, *encoding.notes]
    if workshop.started_over:
        notes.append("begun anew: the file, the model or the settings are not those of the segments that were there")
    try:
        segments, doubts = _make_segments(workshop, restorer, clip, encoding, settings.reuse, progress)
    except UnusableVideoError:
        workshop.remove()  # the same command could not go on
        raise
    joined = workshop.folder / f"joined{job.target.suffix}"
    notes += join(clip, workshop, segments, joined)
    with joined.open("rb") as file:
        os.fsync(file.fileno())
    if settings.overwrite:
        os.replace(joined, job.target)
    else:
        place(str(joined), job.target)
    workshop.remove()
    return Outcome(job, notes=(*notes, *doubts))


def _make_segments(
    workshop: Workshop, restorer: Restorer, clip: Clip, encoding: Encoding, reuse: int | None, progress: Progress
) -> tuple[int, tuple[str, ...]]:
    """Restore what no finished segment holds. Returns the number of segments, and what the model is not made for.

    Frames of finished segments are decoded and passed over: that is exact for every codec, and takes little beside
    restoring. A segment's first frame builds its own dictionaries, so that a continued run makes the same.
    """
    restorer = restorer.apart()
    scene = None
    if reuse is not None:
        restorer.dictionaries = semanir.Dictionaries()
        scene = Scene(restorer.dictionaries, reuse)
    finished = workshop.count()
    before = min(finished * SEGMENT_FRAMES, clip.frames)
    done = before
    doubts: tuple[str, ...] = ()

    def step(frame: av.VideoFrame) -> av.VideoFrame:
        nonlocal done
        picture = to_picture(frame, clip.color)
        if scene is not None:
            scene.look(picture.pixels)
        with as_memory_error():
            restored = to_frame(restorer.restore(picture), encoding.pixel_format, clip.color)
        done += 1
        progress(clip.path, done, max(done, clip.frames), before)
        return restored

    frames = decode(clip)
    for number in count():
        first = next(frames, None)
        if first is None:
            return number, doubts
        if number == 0:
            doubts = misgivings(to_picture(first, clip.color), restorer.bounds)
        segment = chain([first], islice(frames, SEGMENT_FRAMES - 1))
        if number < finished:
            for _ in segment:
                pass
        else:
            if scene is not None:
                scene.restart()
            workshop.write(number, segment, encoding, clip, step)
    raise AssertionError


def _plan(restorer: Restorer, clip: Clip, encoding: Encoding, settings: VideoSettings) -> dict[str, Any]:
    """All that the frames of a result depend on, but for the machine."""
    return {
        "source": clip.digest,
        "model": {
            name: sealed.file_digest(restorer.folder / name) for name in (sealed.WEIGHTS_FILE, sealed.CONFIG_FILE)
        },
        "k": restorer.k,
        "tile": restorer.tile,
        "overlap": restorer.overlap,
        "strength": restorer.strength,
        "reuse": settings.reuse,
        "encoder": encoding.encoder,
        "pixel_format": encoding.pixel_format,
        "options": dict(encoding.options),
        "segment_frames": SEGMENT_FRAMES,
        "semanir": semanir.__version__,
        "torch": torch.__version__,
        "av": {name: list(version) for name, version in av.library_versions.items()},
    }
