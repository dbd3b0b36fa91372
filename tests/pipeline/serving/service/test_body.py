from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving.service.body import FORM_BYTES_BESIDE, read_body
from pipeline.serving.service.refusal import RefusedError

MOST = 4096


def read(pieces: list[bytes], headers: dict[str, str] | None = None) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return asyncio.run(read_body(chunks(), headers or {}, MOST))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.binary(min_size=1, max_size=MOST), st.lists(st.integers(0, MOST), max_size=6))
def test_bytes_arrive_however_they_are_cut(data: bytes, places: list[int]) -> None:
    assert read(cut(data, places)) == data


@given(
    st.binary(min_size=1, max_size=500),
    st.lists(st.integers(0, 700), max_size=8),
    st.from_regex(r"[A-Za-z0-9]{1,60}", fullmatch=True),
)
def test_the_only_part_of_a_form_arrives_however_it_is_cut(data: bytes, places: list[int], boundary: str) -> None:
    mark = b"--" + boundary.encode()
    if mark in data:
        return
    whole = mark + b'\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + data + b"\r\n" + mark + b"--\r\n"
    headers = {"content-type": f'multipart/form-data; boundary="{boundary}"'}
    assert read(cut(whole, places), headers) == data


@given(st.lists(st.binary(max_size=200), max_size=6), st.sampled_from(["multipart/form-data; boundary=b", ""]))
def test_any_other_body_is_taken_or_refused_in_one_line(pieces: list[bytes], kind: str) -> None:
    refused = None
    try:
        assert read(pieces, {"content-type": kind})
    except RefusedError as error:
        refused = error.refused
    assert refused is None or (refused.status in (400, 413) and refused.line.isprintable())


@pytest.mark.parametrize("kind", ["", "multipart/form-data; boundary=b"])
def test_what_is_too_long_is_refused_at_once_and_not_kept(kind: str) -> None:
    most = MOST + (FORM_BYTES_BESIDE if kind else 0)
    given_out = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given_out
        yield b"--b\r\n\r\n" if kind else b""
        while True:
            given_out += 1000
            yield bytes(1000)

    with pytest.raises(RefusedError, match="more than 4,096 bytes"):
        asyncio.run(read_body(endless(), {"content-type": kind}, MOST))
    assert given_out <= most + 1000
