"""The members of a sample's tar span, without ``tarfile`` where the headers are as plain as the packer writes them.

On a 480-pixel PNG span decoding a patch takes 1.07 times as long with ``tarfile`` (3.60 and 3.86 ms, median of
15 alternating rounds of 40 spans, one thread of a busy machine): kept for that fifteenth of every sample's time.
``python jobs/benchmark.py loader`` measures it again.
"""

from __future__ import annotations

BLOCK = 512
_CHECKSUM = slice(148, 156)
_REGULAR = ord("0")


def plain_members(span: bytes | memoryview) -> list[tuple[str, memoryview]] | None:
    """(name, content) of each member of a tar without its end, or None where only ``tarfile`` should judge.

    Plain is: POSIX ustar headers with a valid checksum, regular files, no prefix, UTF-8 names, octal sizes, nothing
    cut short and nothing left over.
    """
    view = memoryview(span)
    found: list[tuple[str, memoryview]] = []
    at = 0
    while at < len(view):
        header = bytes(view[at : at + BLOCK])
        if len(header) < BLOCK or header[156] != _REGULAR or header[257:265] != b"ustar\x0000" or header[345]:
            return None
        try:
            name = header[: header.index(0) if header[99] == 0 else 100].decode()
            size = int(header[124:136].rstrip(b"\0 "), 8)
            stated = int(header[_CHECKSUM].rstrip(b"\0 "), 8)
        except ValueError:
            return None
        # The field counts as eight blanks (POSIX.1-1988, ustar).
        if stated != sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" ") or size < 0:
            return None
        start = at + BLOCK
        at = start + -(-size // BLOCK) * BLOCK
        if at > len(view):
            return None
        found.append((name, view[start : start + size]))
    return found
