"""What libraries beneath Python write to stderr, held back while a block runs: a person is told one line of it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_BYTES = 1 << 20


class Held:
    """text: all that was written in the block, once it has ended; a megabyte of it at most."""

    text = ""


@contextmanager
def held_back() -> Iterator[Held]:
    """While the block runs, nothing reaches stderr; after it what was written does, unless the block failed."""
    held = Held()
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield held
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            kept.seek(0)
            held.text = kept.read(_MOST_BYTES).decode(errors="replace")
    if held.text:
        sys.stderr.write(held.text)
