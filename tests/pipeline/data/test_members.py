"""The direct way into a tar span gives what ``tarfile`` gives, or leaves it to ``tarfile``."""

from __future__ import annotations

import io
import tarfile

import pytest

from pipeline.data.members import plain_members


def span(*members: tuple[str, bytes], format: int = tarfile.USTAR_FORMAT, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Members without the two zero blocks that end a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            tar.addfile(info, io.BytesIO(content))
        end = tar.offset
    return buffer.getvalue()[:end]


PLAIN = (("a/b.clean.png", b"x" * 700), ("a/b.degraded.png", b"y" * 512), ("ü.clean.png", b""), ("n" * 100, b"z"))


def test_plain_members_are_tarfiles() -> None:
    data = span(*PLAIN)
    found = plain_members(memoryview(data))
    assert found is not None
    assert [(name, bytes(content)) for name, content in found] == list(PLAIN)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        assert [member.name for member in tar] == [name for name, _ in found]
    assert plain_members(b"") == []


def altered(at: int, value: bytes) -> bytes:
    data = bytearray(span(PLAIN[0]))
    data[at : at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        span(PLAIN[0])[:-1],
        span(PLAIN[0])[:300],
        span(PLAIN[0]) + b"\0" * 512,
        span(PLAIN[0]) + b"left over",
        altered(0, b"c"),  # the checksum is another one
        altered(124, b"-0000000001"),
        altered(124, b"\x80"),  # a size in base 256
        altered(0, b"\xff"),
        span(PLAIN[0], format=tarfile.GNU_FORMAT),
        span(("n" * 90 + "/" + "m" * 90, b"x")),  # a prefix
        span(("n" * 300, b"x"), format=tarfile.PAX_FORMAT),
        span(("link", b""), kind=tarfile.SYMTYPE),
        span(("folder", b""), kind=tarfile.DIRTYPE),
    ],
)
def test_anything_else_is_left_to_tarfile(data: bytes) -> None:
    assert plain_members(data) is None
