"""Small clips made for tests: moving color gradients, with sound, subtitles and uneven times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 30_000)
COLORS = {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 1}


def times(frames: int) -> list[int]:
    """In ticks: every third frame stays half as long again."""
    return np.cumsum([0, *(1500 if number % 3 == 0 else 1000 for number in range(frames - 1))]).tolist()


def picture(number: int, width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint16: smooth colors that move with the frame's number."""
    y, x = np.mgrid[:height, :width] / 16.0
    waves = [np.sin(x + 0.2 * number), np.cos(y - 0.1 * number), np.sin(x + y)]
    return np.stack([(0.5 + 0.3 * wave) * 65535 for wave in waves], axis=2).astype(np.uint16)


def make_clip(
    path: Path,
    frames: int = 6,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (48, 32),
    audio: str = "aac",
    subtitles: bool = False,
    options: dict[str, str] | None = None,
    streams: int = 1,
    mux: dict[str, str] | None = None,
    matrix: int = 1,
) -> Path:
    """Write a clip whose frames have :func:`times`, turned by 90 degrees, with pixels of 4:3, a title, a language."""
    kind = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}.get(path.suffix)
    with av.open(str(path), "w", kind, options=mux or {}) as made:
        pictures = [made.add_stream(codec, rate=30, options=options or {}) for _ in range(streams)]
        for stream in pictures:
            stream.width, stream.height, stream.pix_fmt = *size, pixel_format
            stream.codec_context.time_base = TICK
            stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
            for name, value in {**COLORS, "colorspace": matrix}.items():
                setattr(stream, name, value)
            stream.set_display_rotation(90)
            stream.metadata["language"] = "deu"
        made.metadata["title"] = "A clip"
        sound = made.add_stream(audio, rate=48_000, layout="stereo") if audio else None
        words = made.add_mux_stream("subrip") if subtitles else None
        rng = np.random.default_rng(0)
        for number, pts in enumerate(times(frames)):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb48le").reformat(
                format=pixel_format, dst_colorspace=matrix, dst_color_range=1
            )
            frame.pts, frame.time_base = pts, TICK
            for stream in pictures:
                made.mux(stream.encode(frame))
        for stream in pictures:
            made.mux(stream.encode())
        if sound is not None:
            for number in range(8):
                noise = rng.normal(0, 0.1, (2, 1024)).astype(np.float32)
                heard = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
                heard.rate, heard.pts, heard.time_base = 48_000, number * 1024, Fraction(1, 48_000)
                made.mux(sound.encode(heard))
            made.mux(sound.encode())
        if words is not None:
            said = av.Packet(b"Good morning.")
            said.pts = said.dts = 40
            said.duration, said.time_base, said.stream = 100, Fraction(1, 1000), words
            made.mux(said)
    return path


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """(time in seconds, bytes) of each packet of the file's first stream of a kind."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [
            (float(packet.pts * packet.time_base), bytes(packet)) for packet in container.demux(stream) if packet.size
        ]


def frames_of(path: Path) -> list[tuple[float, bytes]]:
    """(time in seconds, samples) of each decoded frame."""
    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray().tobytes()) for frame in container.decode(video=0)
        ]


def levels_of(path: Path, pixel_format: str) -> np.ndarray:
    """(frames, H, W, …) in [0, 1], in a format of 16 bits."""
    with av.open(str(path)) as container:
        shown = [frame.reformat(format=pixel_format).to_ndarray() for frame in container.decode(video=0)]
    return np.stack(shown) / 65535.0


def psnr(one: Path, other: Path, pixel_format: str) -> float:
    """Of two clips, in dB."""
    error = np.mean((levels_of(one, pixel_format) - levels_of(other, pixel_format)) ** 2)
    return float(10 * np.log10(1 / max(float(error), 1e-12)))
