"""One source image to the members of its samples: read, check, cut into sub-images, encode without loss."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.data.images import MAX_PIXELS, decode_noted, encode_image
from pipeline.data.manifest_footer import MAX_SIDE
from pipeline.data.packing.sources import Source
from pipeline.images.levels import UnsupportedImageError, UnusableImageError

# With a sub-image's number and a member's name behind it, it stays within the 1,024 bytes that S3 allows a name, for
# whoever unpacks a shard there. A path through many folders may be longer; a tar's member may have any length.
MAX_KEY_BYTES = 960
QUOTED = 100  # characters of a longer one


@dataclass(frozen=True, kw_only=True)
class PackSettings:
    """How images are stored.

    codec: "png" or "webp" (both lossless), or "original": the file's own bytes, lossy as they may be.
    sub_image: side of the square sub-images in pixels, None for whole images. The field uses 480 with
        step 240 (BasicSR's preparation of DIV2K).
    sub_image_step: distance between their corners; the last of a row or column is aligned to the border.
    shard_bytes: a shard is closed once it is at least this long.
    max_skipped_share: packing fails when more than this share of the images is corrupt, in [0, 1]; sound files of a
        kind that is not read are named and left out without being counted here.
    max_pixels: a larger image counts as corrupt.
    """

    codec: Literal["png", "webp", "original"] = "png"
    sub_image: int | None = None
    sub_image_step: int = 240
    shard_bytes: int = 64 * 2**20
    max_skipped_share: float = 0.01
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.sub_image is not None and (self.sub_image < 1 or self.sub_image_step < 1):
            raise ValueError(f"sub_image {self.sub_image} and its step {self.sub_image_step} must be at least 1 pixel")
        if self.sub_image is not None and self.codec == "original":
            raise ValueError("sub-images cannot keep the original bytes; choose png or webp")
        if not 0 <= self.max_skipped_share <= 1:
            raise ValueError(f"max_skipped_share {self.max_skipped_share} is not in [0, 1]")
        if self.shard_bytes < 1:
            raise ValueError(f"shard_bytes {self.shard_bytes} must be positive")


@dataclass(frozen=True)
class Encoded:
    """One sample, ready for the tar: member name (``clean.png``) to bytes, and the shape of its pixels.

    decoded_bytes: of all members together, as integer pixels. notes: what was assumed of the source, or left out.
    """

    key: str
    members: dict[str, bytes]
    height: int
    width: int
    channels: int
    decoded_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used, and why. corrupt: False for a sound file of a kind that is not read."""

    source: str
    reason: str
    corrupt: bool = True


def encode_source(source: Source, settings: PackSettings) -> list[Encoded] | Skipped:
    """The samples of one source: one, or one per sub-image. What cannot be used is returned as ``Skipped``."""
    length = len(source.key.encode())
    if length > MAX_KEY_BYTES:  # before it is read: its name is in every line about it
        reason = f"its key has {length:,} bytes, more than {MAX_KEY_BYTES:,}; give it or its folders a shorter name"
        return Skipped(f"{str(source.clean)[:QUOTED]}…", reason)
    try:
        raw = {"clean": source.clean.read()}
        if source.degraded is not None:
            raw["degraded"] = source.degraded.read()
        decoded = {name: decode_noted(data, settings.max_pixels) for name, data in raw.items()}
    except UnsupportedImageError as error:
        return Skipped(str(source.clean), str(error), corrupt=False)
    except UnusableImageError as error:
        return Skipped(str(source.clean), str(error))
    images = {name: levels for name, (levels, _) in decoded.items()}
    notes = tuple(note for _, own in decoded.values() for note in own)
    clean = images["clean"]
    height, width, channels = clean.shape
    if "degraded" in images and images["degraded"].shape[:2] != (height, width):
        other = images["degraded"].shape
        return Skipped(str(source.clean), f"{width}x{height}, but its degraded partner is {other[1]}x{other[0]}")
    longest = max(_sample_shape(height, width, settings))
    if longest > MAX_SIDE:  # here, since whoever reads the manifest would call it damaged
        return Skipped(str(source.clean), f"side {longest:,} is more than {MAX_SIDE:,}; cut the image into pieces")
    if settings.codec == "original":
        locations = {"clean": source.clean, "degraded": source.degraded}
        members = {
            name + os.path.splitext(place.key)[1].lower(): raw[name] for name, place in locations.items() if place
        }
        size = sum(pixels.nbytes for pixels in images.values())
        return [Encoded(source.key, members, height, width, channels, size)]
    try:
        return [
            Encoded(
                key=source.key + suffix,
                members={
                    f"{name}.{settings.codec}": encode_image(
                        pixels[top : top + rows, left : left + columns], settings.codec
                    )
                    for name, pixels in images.items()
                },
                height=rows,
                width=columns,
                channels=channels,
                decoded_bytes=sum(pixels.itemsize * pixels.shape[2] * rows * columns for pixels in images.values()),
                notes=notes,
            )
            for suffix, top, left, rows, columns in _windows(height, width, settings)
        ]
    except ValueError as error:
        return Skipped(str(source.clean), str(error))


def _sample_shape(height: int, width: int, settings: PackSettings) -> tuple[int, int]:
    """Of each sample of an image: its own, or a sub-image's."""
    side = settings.sub_image
    return (height, width) if side is None else (min(side, height), min(side, width))


def _windows(height: int, width: int, settings: PackSettings) -> Iterator[tuple[str, int, int, int, int]]:
    rows, columns = _sample_shape(height, width, settings)
    if (rows, columns) == (height, width):
        yield "", 0, 0, height, width
        return
    number = 0
    for top in corners(height, rows, settings.sub_image_step):
        for left in corners(width, columns, settings.sub_image_step):
            number += 1
            yield f"_s{number:03d}", top, left, rows, columns


def corners(extent: int, side: int, step: int) -> list[int]:
    """Where windows of ``side`` start along ``extent``: every ``step``, and one flush with the far border."""
    last = extent - side
    found = list(range(0, last + 1, step))
    return found if found[-1] == last else [*found, last]
