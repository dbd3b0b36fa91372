"""Damage to a data set at rest: a shard cut short, one byte flipped. Pure functions of bytes, and where to apply them.

A cut comes in two kinds, for to a tar it makes all the difference whether the last sample that is left is whole.
"""

from __future__ import annotations

import struct
import tarfile
from io import BytesIO
from pathlib import Path

CUT_AT = 0.6


def cut_inside(content: bytes) -> bytes:
    """The first three fifths of a shard, so that its last sample is most likely torn."""
    return content[: int(len(content) * CUT_AT)]


def cut_between(content: bytes) -> bytes:
    """A shard without the samples that end beyond its first three fifths: it ends where a sample does."""
    ends = sample_ends(content)
    fitting = [end for end in ends if end <= len(content) * CUT_AT]
    return content[: max(fitting, default=ends[0])]


def flip_byte(content: bytes, picture: bytes, at: float = 0.5) -> bytes:
    """One bit flipped in a picture's bytes, which lie somewhere in a shard; at: how far into them, 0 to 1.

    Raises:
        ValueError: the shard does not hold these bytes in a row.
    """
    start = content.find(picture)
    if start < 0:
        raise ValueError("the shard does not hold the picture's bytes")
    place = start + int(len(picture) * at)
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def sample_ends(content: bytes) -> list[int]:
    """Where each sample ends: in a tar by its headers, else by the offsets at the start of an MDS or LitData shard."""
    if content[257:262] == b"ustar":
        with tarfile.open(fileobj=BytesIO(content)) as tar:
            return [member.offset_data + -(-member.size // 512) * 512 for member in tar]
    (count,) = struct.unpack_from("<I", content)
    return list(struct.unpack_from(f"<{count + 1}I", content, 4)[1:])


def shard_of(folder: Path, picture: bytes) -> Path:
    """The file of a data set that holds a picture's bytes.

    Raises:
        ValueError: none does.
    """
    for path in sorted(folder.iterdir()):
        if path.is_file() and picture in path.read_bytes():
            return path
    raise ValueError(f"no file of {folder} holds the picture's bytes")
