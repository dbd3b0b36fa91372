"""A video file before it is restored: what is in it, whether it is whole, and whether it can be restored at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.stream import VideoStream

from pipeline.errors import UserError
from pipeline.registry.sealed import file_digest
from pipeline.video.color import Color, check_color, check_format, color_of

# Suffix -> FFmpeg's name of the container, by which it is read and written. Never guessed from the content: a file of
# another kind (a playlist, say) could name further files and addresses.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_MOST_RATE = 240  # frames/s: of a damaged header; more tell an encoder's rate control nothing
_USUAL_RATE = Fraction(25)
_LACKING_S = 0.25  # a Matroska file whose packets end earlier than it says, by more than this and three frames, is cut
_LEFT_OUT_DATA = {
    "MASTERING_DISPLAY_METADATA": "HDR mastering data",
    "CONTENT_LIGHT_LEVEL": "HDR light levels",
    "DYNAMIC_HDR_PLUS": "HDR10+ data",
    "DOVI_RPU_BUFFER": "Dolby Vision data",
    "DOVI_METADATA": "Dolby Vision data",
    "A53_CC": "closed captions inside the picture stream",
    "FILM_GRAIN_PARAMS": "film grain parameters",
    "STEREO3D": "the tag for 3D",
    "SPHERICAL": "the tag for spherical pictures",
}


class UnusableVideoError(UserError):
    """The file is damaged, cut short, or of a kind that is not restored."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video file that can be restored.

    frames: coded pictures, for progress; a few may stay hidden. time_base: seconds of one tick of all times.
    turned: the display matrix (nine numbers, ISO/IEC 14496-12, 8.3.2), which says how players turn it.
    notes: what of the file cannot travel to its result.
    """

    path: Path
    digest: str
    codec: str
    pixel_format: str
    width: int
    height: int
    frames: int
    rate: Fraction
    time_base: Fraction
    color: Color
    pixel_aspect: Fraction | None
    turned: tuple[int, ...] | None
    notes: tuple[str, ...]

    @property
    def container(self) -> str:
        """FFmpeg's name of the file's kind."""
        return CONTAINERS[self.path.suffix.lower()]


def open_clip(path: Path) -> InputContainer:
    """Raises UnusableVideoError for a file that cannot be read as what its suffix says."""
    kind = CONTAINERS.get(path.suffix.lower())
    if kind is None:
        raise UnusableVideoError(
            f"{path.suffix} videos are not restored, {', '.join(CONTAINERS)} are; copy its streams into one of those "
            f"first: ffmpeg -i {path.name} -c copy {path.stem}.mkv"
        )
    try:
        return av.open(
            str(path.absolute()), "r", kind, options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except av.error.FFmpegError as error:
        raise UnusableVideoError(f"damaged, cut short, or no {path.suffix} file ({error.strerror})") from None


def picture_stream(container: InputContainer) -> VideoStream:
    """The one stream of moving pictures; cover art is none. Raises UnusableVideoError for none or several."""
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not container.streams:
        raise UnusableVideoError("damaged or cut short: it holds no stream")
    if len(streams) != 1:
        raise UnusableVideoError(f"it holds {len(streams)} streams of moving pictures; exactly one is restored")
    return streams[0]


def is_cover(stream: VideoStream) -> bool:
    """Whether it is a still picture that is attached to the file."""
    return bool(stream.disposition & Disposition.attached_pic)


def inspect(path: Path, max_pixels: int) -> Clip:
    """Read the whole file once, decoding its first frame alone.

    Raises UnusableVideoError for a file that is damaged, cut short, too large or of a kind that is not restored.
    """
    with open_clip(path) as container:
        stream = picture_stream(container)
        context = stream.codec_context
        if context is None or not context.width or context.pix_fmt is None:
            raise UnusableVideoError("its pictures are of a codec that is not known here")
        if context.width * context.height > max_pixels:
            raise UnusableVideoError(
                f"frames of {context.width}x{context.height} pixels; at most {max_pixels:,} are allowed (--max-pixels)"
            )
        check_format(context.pix_fmt)
        first = next(_first_frames(container, stream), None)
        if first is None:
            raise UnusableVideoError("it holds no frame")
        color = color_of(first, stream)
        check_color(color, first.format.name)
        rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        clip = Clip(
            path=path,
            digest=file_digest(path),
            codec=context.codec.canonical_name,
            pixel_format=first.format.name,
            width=first.width,
            height=first.height,
            frames=0,
            rate=min(rate, Fraction(_MOST_RATE)) if rate > 0 else _USUAL_RATE,
            time_base=stream.time_base or Fraction(1, 1000),
            color=color,
            pixel_aspect=stream.sample_aspect_ratio or None,
            turned=turn_of(first),
            notes=tuple(_left_out(first, color)),
        )
    return _scanned(clip)


def turn_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The display matrix that comes with a frame."""
    matrix = next((data for data in _side_data(frame) if data.type.name == "DISPLAYMATRIX"), None)
    return None if matrix is None else tuple(memoryview(bytes(matrix)).cast("i"))


def _side_data(frame: av.VideoFrame) -> Iterator[SideData]:
    container: Any = frame.side_data  # PyAV 18 declares the type of another class
    return (container[place] for place in range(len(container)))


def _first_frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    try:
        yield from container.decode(stream)
    except av.error.FFmpegError as error:
        raise UnusableVideoError(f"its first frame cannot be decoded ({error.strerror})") from None


def _left_out(frame: av.VideoFrame, color: Color) -> Iterator[str]:
    kinds = {_LEFT_OUT_DATA[data.type.name] for data in _side_data(frame) if data.type.name in _LEFT_OUT_DATA}
    if kinds:
        yield f"left out: {', '.join(sorted(kinds))}"
    if color.is_hdr:
        yield "may not help: its brightness is coded for HDR, and the models learned from ordinary pictures"


def _scanned(clip: Clip) -> Clip:
    """The clip with its number of frames, all packets read. Raises UnusableVideoError for a file that is cut short."""
    size, frames, end = clip.path.stat().st_size, 0, 0.0
    with open_clip(clip.path) as container:
        stream = picture_stream(container)
        if clip.container in ("mp4", "mov"):
            needed = max(
                (entry.pos + entry.size for each in container.streams for entry in each.index_entries), default=0
            )
            if needed > size:
                raise UnusableVideoError(f"cut short: its index names {needed:,} bytes, and the file has {size:,}")
        try:
            for packet in container.demux():
                if packet.size == 0:
                    continue
                if packet.is_corrupt:
                    raise UnusableVideoError(f"cut short or damaged after {frames:,} frames")
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                frames += packet.stream_index == stream.index
        except av.error.FFmpegError as error:
            raise UnusableVideoError(f"cut short or damaged after {frames:,} frames ({error.strerror})") from None
        said = (container.duration or 0) / av.time_base + max(0.0, (container.start_time or 0) / av.time_base)
    if clip.container in ("matroska", "webm") and said - end > max(_LACKING_S, 3 / float(clip.rate)):
        raise UnusableVideoError(f"cut short: it says that it lasts {said:.2f} s, and ends after {end:.2f} s")
    return replace(clip, frames=frames)
