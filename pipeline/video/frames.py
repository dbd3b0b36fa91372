"""The frames of a clip one after another, each checked: never more than one is held here."""

from __future__ import annotations

from collections.abc import Iterator

import av

from pipeline.video.clip import Clip, UnusableVideoError, open_clip, picture_stream


def decode(clip: Clip) -> Iterator[av.VideoFrame]:
    """All frames in the order in which they are shown, with their times in ``clip.time_base``.

    Raises UnusableVideoError for a damaged frame, one of another size or kind than the first, an interlaced one, and
    one whose time does not follow the time of the one before.
    """
    last: int | None = None
    for number, frame in enumerate(_decoded(clip)):
        problem = _problem(frame, clip, last)
        if problem:
            raise UnusableVideoError(f"frame {number} {problem}")
        last = frame.pts
        yield frame


def _problem(frame: av.VideoFrame, clip: Clip, last: int | None) -> str:
    if frame.is_corrupt:
        return "is damaged"
    if (frame.width, frame.height, frame.format.name) != (clip.width, clip.height, clip.pixel_format):
        return (
            f"is {frame.width}x{frame.height} in {frame.format.name}, and the first is {clip.width}x{clip.height} in "
            f"{clip.pixel_format}; cut the clip where they change"
        )
    if frame.interlaced_frame:
        return "is interlaced (two half pictures of different times); deinterlace the clip first"
    if frame.pts is None:
        return "has no time; copy the streams into a new file first (ffmpeg -fflags +genpts)"
    if last is not None and frame.pts <= last:
        return f"has the time {frame.pts}, not after the frame before ({last}); copy the streams into a new file first"
    return ""


def _decoded(clip: Clip) -> Iterator[av.VideoFrame]:
    number = 0
    with open_clip(clip.path) as container:
        stream = picture_stream(container)
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                yield frame
                number += 1
        except av.error.FFmpegError as error:
            raise UnusableVideoError(f"damaged at frame {number} ({error.strerror})") from None
