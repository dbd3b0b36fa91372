"""Which encoder writes the result: the source's codec where it can be encoded, else H.264, near lossless by default."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.video.stream import VideoStream

from pipeline.errors import UserError
from pipeline.video.clip import Clip

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder writes its settings to stderr otherwise


@dataclass(frozen=True)
class Encoder:
    """name: FFmpeg's. crf: its constant rate factor by default (0 the best, ``most`` the worst); None: it has none.

    No encoder reorders frames (no B-frames, no hidden reference frames): a packet's place is its frame's, so that
    segments join without overlap and every frame gets its own time back.
    """

    name: str
    crf: int | None = None
    most: int = 51
    options: Mapping[str, str] = field(default_factory=dict)


_ENCODERS = {
    "h264": Encoder("libx264", 12),
    "hevc": Encoder("libx265", 12, options={"x265-params": "bframes=0:log-level=error"}),
    "av1": Encoder("libsvtav1", 16, 63, {"preset": "6"}),
    "vp9": Encoder("libvpx-vp9", 10, 63, {"b": "0", "auto-alt-ref": "0", "lag-in-frames": "0"}),
    "vp8": Encoder("libvpx", 4, 63, {"b": "400M", "auto-alt-ref": "0", "lag-in-frames": "0"}),
    "ffv1": Encoder("ffv1"),
    "prores": Encoder("prores_ks"),
    "mjpeg": Encoder("mjpeg", options={"qmin": "1", "q": "1"}),
}
_FALLBACK = {"webm": "vp9"}  # what a container takes that does not take H.264
DEFAULT_CODEC = "h264"


@dataclass(frozen=True)
class Encoding:
    """What makes a stream of frames: encoder, pixel format and options. notes: what of the source it cannot keep."""

    codec: str
    encoder: str
    pixel_format: str
    options: Mapping[str, str]
    width: int
    height: int
    rate: Fraction
    notes: tuple[str, ...] = ()

    def add_stream(self, container: av.container.OutputContainer, clip: Clip) -> VideoStream:
        """A stream of this encoder, whose frames are numbered from 0 in ticks of one frame."""
        stream = container.add_stream(self.encoder, rate=self.rate, options=dict(self.options))
        assert isinstance(stream, VideoStream)
        _set(stream.codec_context, self)
        color = clip.color
        stream.color_range, stream.colorspace = color.span, color.matrix
        stream.color_primaries, stream.color_trc = color.primaries, color.transfer
        if clip.pixel_aspect:
            stream.codec_context.sample_aspect_ratio = clip.pixel_aspect
        return stream


def choose_encoding(clip: Clip, upscale: int, crf: int | None = None) -> Encoding:
    """The encoding of a clip's result, ``upscale`` times its size, checked by opening the encoder.

    Raises UserError where this PyAV has no encoder for it, ``crf`` is not the encoder's, or the encoder refuses.
    """
    codec, notes = clip.codec, []
    if codec not in _ENCODERS or _ENCODERS[codec].name not in av.codecs_available:
        codec = _FALLBACK.get(clip.container, DEFAULT_CODEC)
        notes.append(f"its codec {clip.codec} is written as {codec}")
    encoder = _ENCODERS[codec]
    if encoder.name not in av.codecs_available:
        raise UserError(f"this PyAV has no encoder {encoder.name}; pip install --force-reinstall av has it")
    if crf is not None and encoder.crf is None:
        raise UserError(f"--video-crf {crf}: {codec} has no such number; leave it out")
    if crf is not None and crf > encoder.most:
        raise UserError(f"--video-crf {crf}: {codec} takes 0 to {encoder.most}")
    factor = encoder.crf if crf is None else crf
    options = dict(encoder.options) | ({} if factor is None else {"crf": str(factor)})
    chosen = nearest_format(clip.pixel_format, [form.name for form in av.Codec(encoder.name, "w").video_formats or ()])
    if (note := _changed(clip.pixel_format, chosen)) is not None:
        notes.append(note)
    size = clip.width * upscale, clip.height * upscale
    encoding = Encoding(codec, encoder.name, chosen, options, *size, clip.rate, tuple(notes))
    _check_opens(encoding)
    return encoding


def nearest_format(wanted: str, offered: Iterable[str]) -> str:
    """Of an encoder's pixel formats the wanted one, or else one that loses the least bits, then the least color."""
    known = list(offered)
    if wanted in known:
        return wanted

    def losses(name: str) -> tuple[int, ...]:
        bits, across, down, is_rgb = _measures(name)
        wanted_bits, wanted_across, wanted_down, wanted_rgb = _measures(wanted)
        return (
            max(0, wanted_bits - bits),
            max(0, wanted_across - across) + max(0, wanted_down - down),
            int(is_rgb != wanted_rgb),
            max(0, bits - wanted_bits),
            across + down,
        )

    plain = [name for name in known if av.VideoFormat(name).is_planar and not name.startswith(("yuvj", "nv"))]
    return min((name for name in plain if not _has_alpha(name)), key=losses)


def _measures(name: str) -> tuple[int, int, int, bool]:
    """Bits of a sample, samples of color per 8 pixels across and down (0: gray), whether it is RGB."""
    form = av.VideoFormat(name, 8, 8)
    colored = len(form.components) > 2 or form.has_palette
    bits = max(component.bits for component in form.components)
    return bits, form.chroma_width(8) if colored else 0, form.chroma_height(8) if colored else 0, form.is_rgb


def _has_alpha(name: str) -> bool:
    return any(component.is_alpha for component in av.VideoFormat(name).components)


def _changed(before: str, after: str) -> str | None:
    bits, across, down, _ = _measures(before)
    now_bits, now_across, now_down, _ = _measures(after)
    if now_bits < bits:
        return f"its {bits} bits become {now_bits}"
    if now_across < across or now_down < down:
        return f"its color, stored as {before}, is stored more coarsely as {after}"
    return None


def _set(context: av.VideoCodecContext, encoding: Encoding) -> None:
    context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.pixel_format
    context.time_base, context.framerate = 1 / encoding.rate, encoding.rate
    context.max_b_frames = 0


def _check_opens(encoding: Encoding) -> None:
    context = av.CodecContext.create(encoding.encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    _set(context, encoding)
    context.options = dict(encoding.options)
    try:
        context.open()
    except av.error.FFmpegError as error:
        raise UserError(
            f"the encoder {encoding.encoder} refuses frames of {encoding.width}x{encoding.height} pixels in "
            f"{encoding.pixel_format} ({error.strerror}); crop it to an even size, or write it with another codec first"
        ) from None
