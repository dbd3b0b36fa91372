"""One to eight changes to a file: bits, bytes, numbers and words at their limits, pieces cut, doubled or moved."""

from __future__ import annotations

import random
import re

TOKENS = [
    *(b"[", b"]", b"{", b"}", b":", b",", b"- ", b"&a ", b"*a", b"<<: ", b"!!", b"'", b'"', b"\n", b"\n  ", b"0"),
    *(b"-1", b"1e999", b".nan", b"9" * 21, b"null", b"true", b"\xff", b"\x00", b"../", b"%", b"|", b"~", b"#", b"?"),
    b"\\ud800",
]
WORD = re.compile(rb'"[^"\n]*"|[\w.+-]+')  # of JSON and YAML: a value or a key
VALUES = [
    b"0",
    b"-1",
    b"1",
    b"1000000000",
    b"9" * 21,
    b"1e999",
    b"0.5",
    b"null",
    b"true",
    b'""',
    b'"x"',
    b"[]",
    b"[1]",
    b"{}",
]
LIMITS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Half of all places lie in the first 256 bytes, where most formats have their header."""
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4, 8))):
        reach = len(content) if chance.random() < 0.5 else min(len(content), 256)
        at = chance.randrange(reach + 1)
        end = min(len(content), at + chance.choice((1, 2, 8, 64, 1024)))
        kind = chance.randrange(10)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[at:end] = chance.randbytes(end - at)
        elif kind == 2:
            content[at:at] = chance.choice(TOKENS)
        elif kind == 3:
            del content[at:end]
        elif kind == 4:
            content[at:at] = content[at:end]
        elif kind == 5:
            content[at:at] = chance.choice(TOKENS) * chance.choice((2, 40, 2000))
        elif kind == 6:
            width, limit = chance.choice((1, 2, 4)), chance.choice(LIMITS)
            content[at : at + width] = (limit % 256**width).to_bytes(width, chance.choice(("big", "little")))
        elif kind == 7:
            other = chance.randrange(len(content) + 1)
            content[at : at + 16] = content[other : other + 16]
        elif kind == 8:
            words = list(WORD.finditer(content))
            if words:
                word = chance.choice(words)
                content[word.start() : word.end()] = chance.choice(VALUES)
        else:
            del content[at:]
    return bytes(content)
