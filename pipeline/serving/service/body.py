"""A request's body, bounded while it arrives: the bytes of one file, sent as they are or as a form's only part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from email.message import Message

from pipeline.serving.service.refusal import RefusedError

FORM_BYTES_BESIDE = 16 << 10  # boundaries and headers of a form with one file
MAX_HEADER_BYTES = 4096


async def read_body(chunks: AsyncIterator[bytes], headers: Mapping[str, str], max_bytes: int) -> bytes:
    """The file's bytes.

    headers: of the request, names in lower case.

    Raises RefusedError: 413 before the first byte where the stated length is too large, and as soon as more than
    ``max_bytes`` came; 400 for nothing, a form of several parts, or a broken one; 415 for a compressed body.
    """
    kind = headers.get("content-type", "")
    is_form = kind.lower().startswith("multipart/")
    most = max_bytes + (FORM_BYTES_BESIDE if is_form else 0)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "the body is compressed (Content-Encoding); send the file's own bytes")
    if stated_bytes(headers) > most:
        raise _too_large(max_bytes)
    form = _Form(kind, most) if is_form else None
    whole = bytearray()
    arrived = 0
    async for chunk in chunks:
        arrived += len(chunk)
        if arrived > most:
            raise _too_large(max_bytes)
        if form is None:
            whole += chunk
        else:
            form.feed(chunk)
    content = bytes(whole) if form is None else form.content()
    if len(content) > max_bytes:
        raise _too_large(max_bytes)
    if not content:
        raise RefusedError(400, "no picture came; send the file as the body, or as the one part of a form")
    return content


def stated_bytes(headers: Mapping[str, str]) -> int:
    """How many the headers say that will come; 0 where they do not."""
    stated = headers.get("content-length", "")
    return int(stated[:20]) if stated.isascii() and stated.isdigit() else 0


def _too_large(max_bytes: int) -> RefusedError:
    return RefusedError(413, f"the body has more than {max_bytes:,} bytes; send a smaller file")


class _Form:
    """The only part of a multipart form."""

    def __init__(self, kind: str, most: int) -> None:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser

        message = Message()
        message["content-type"] = kind
        boundary = message.get_param("boundary")
        if not isinstance(boundary, str) or not boundary or not boundary.isascii():
            raise RefusedError(400, "the form's Content-Type names no boundary; let your HTTP library write it")
        self._broken = FormParserError
        self._parts, self._ended, self._content = 0, False, bytearray()
        try:
            self._parser = MultipartParser(
                boundary,
                {"on_part_begin": self._begin, "on_part_data": self._data, "on_end": self._end},
                max_size=most,
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            raise RefusedError(400, f"the form cannot be read ({error})") from None

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except self._broken as error:
            raise RefusedError(400, f"the form cannot be read ({error})") from None

    def content(self) -> bytes:
        if not self._ended:
            raise RefusedError(400, "the form is cut short; send it again")
        return bytes(self._content)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise RefusedError(400, "the form has several parts; send one picture, and k, strength and tile in the URL")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _end(self) -> None:
        self._ended = True
