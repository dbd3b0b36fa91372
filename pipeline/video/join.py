"""The result: restored segments one after another, and all else of the source as it is."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from pipeline.errors import UserError
from pipeline.video.clip import CONTAINERS, Clip, is_cover, open_clip, picture_stream, turn_of
from pipeline.video.workshop import Workshop

# Tags that a muxer writes by itself, or that tell of the file's own bytes.
_OWN_TAGS = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration", "handler_name", "vendor_id")
_MP4_OPTIONS = {"movflags": "+faststart"}  # players begin before the whole file is there


def join(clip: Clip, workshop: Workshop, segments: int, result: Path) -> tuple[str, ...]:
    """Write ``result``: frames of the segments at the times of the source, every other stream's packets copied.

    Returns what of the source could not be carried, for a person to read. Only a packet of each stream is held.
    """
    notes: list[str] = []
    options = _MP4_OPTIONS if clip.container in ("mp4", "mov") else {}
    with (
        open_clip(clip.path) as source,
        av.open(str(workshop.segment(0)), "r", "matroska") as first,
        av.open(str(result), "w", clip.container, options=options) as made,
    ):
        made.metadata.update({name: tag for name, tag in source.metadata.items() if name.lower() not in _OWN_TAGS})
        if chapters := source.chapters():
            made.set_chapters(chapters)
        streams: dict[int, Stream] = {}
        for stream in source.streams:
            copied = _add(made, stream, clip, first, notes)
            if copied is not None:
                streams[stream.index] = copied
                copied.metadata.update({k: v for k, v in stream.metadata.items() if k.lower() != "duration"})
                copied.disposition = stream.disposition
        pictures = streams.pop(picture_stream(source).index)
        copied_packets = _copied(source, streams)
        restored = _restored(clip, workshop, segments, pictures)
        for packet in heapq.merge(restored, copied_packets, key=_when):
            made.mux_one(packet)
    return (*notes, *_missing(clip, result))


def _add(made: OutputContainer, stream: Stream, clip: Clip, first: InputContainer, notes: list[str]) -> Stream | None:
    """The stream of the result that takes the packets of one of the source's; None where there is none."""
    if isinstance(stream, AttachmentStream):
        return made.add_attachment(
            stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data
        )
    if isinstance(stream, VideoStream) and is_cover(stream):
        notes.append("left out: its cover picture")
        return None
    if isinstance(stream, VideoStream):
        pictures = made.add_stream_from_template(first.streams.video[0], opaque=True)
        pictures.time_base = clip.time_base
        if clip.pixel_aspect:
            pictures.codec_context.sample_aspect_ratio = clip.pixel_aspect
        pictures.color_range, pictures.colorspace = clip.color.span, clip.color.matrix
        pictures.color_primaries, pictures.color_trc = clip.color.primaries, clip.color.transfer
        if clip.turned is not None:
            pictures.set_display_matrix(clip.turned)
        if stream.codec_context.codec_tag == "hvc1" and pictures.codec_context.name in ("hevc", "libx265"):
            pictures.codec_context.codec_tag = "hvc1"
        return pictures
    if stream.type not in ("audio", "subtitle") or stream.codec_context is None:
        notes.append(f"left out: a stream of kind {stream.type}" + (f" ({stream.name})" if stream.name else ""))
        return None
    try:
        return made.add_stream_from_template(stream)
    except ValueError as error:
        notes.append(f"left out: a stream of kind {stream.type} ({error})")
        return None


def _when(packet: Packet[Stream]) -> float:
    return float((packet.dts or 0) * packet.time_base)


def _copied(source: InputContainer, streams: dict[int, Stream]) -> Iterator[Packet[Stream]]:
    wanted = [stream for stream in source.streams if stream.index in streams and stream.type != "attachment"]
    if not wanted:
        return
    for packet in source.demux(*wanted):
        if packet.size == 0 or packet.dts is None:
            continue
        packet.stream = streams[packet.stream_index]
        yield packet


def _restored(clip: Clip, workshop: Workshop, segments: int, stream: Stream) -> Iterator[Packet[Stream]]:
    """Packets of all segments at their frames' times: no encoder of ours reorders, so the n-th is the n-th frame's."""
    head: bytes | None = None
    for number in range(segments):
        times = iter(workshop.times(number))
        with av.open(str(workshop.segment(number)), "r", "matroska") as segment:
            coded = segment.streams.video[0]
            head = coded.codec_context.extradata if number == 0 else head
            if coded.codec_context.extradata != head:
                raise UserError(f"the segments in {workshop.folder} do not fit together; remove it and start again")
            packet: Packet[Stream]
            for packet in segment.demux(*[coded]):
                if packet.size == 0:
                    continue
                pts, length = next(times)
                packet.time_base = clip.time_base
                packet.pts = packet.dts = pts
                packet.duration = length
                packet.stream = stream
                yield packet


def _missing(clip: Clip, result: Path) -> Iterator[str]:
    """What of the source's tags is not in the result, or differs there."""
    with open_clip(clip.path) as source, av.open(str(result), "r", CONTAINERS[clip.path.suffix.lower()]) as made:
        before, after = picture_stream(source), made.streams.video[0]
        lost = [name for name in source.metadata if name.lower() not in _OWN_TAGS and name not in made.metadata]
        if lost:
            yield f"left out: tags of the file ({', '.join(sorted(lost))[:100]})"
        if len(source.chapters()) != len(made.chapters()):
            yield "left out: its chapters"
        first = next(made.decode(after), None)
        if clip.turned is not None and (first is None or turn_of(first) != clip.turned):
            yield "left out: how players turn it"
        if (before.sample_aspect_ratio or 1) != (after.sample_aspect_ratio or 1):
            yield f"left out: the shape of its pixels ({before.sample_aspect_ratio})"
        kinds = {"color_range": 0, "colorspace": 2, "color_primaries": 2, "color_trc": 2}  # and what says nothing
        untold = [kind for kind, unsaid in kinds.items() if getattr(before, kind) not in (unsaid, getattr(after, kind))]
        if untold:
            yield f"left out: color tags ({', '.join(untold)})"
