"""What reading plain tar headers without ``tarfile`` saves of a patch: why ``pipeline/data/members.py`` is kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np

from pipeline.benchmarks.promises import Promise
from pipeline.data.manifest import Manifest, Row
from pipeline.data.spans import SpanReader
from pipeline.storage import open_storage

PATCH_ROWS = 128
MOST_SPANS = 40


def members_promise(manifest: Manifest, rounds: int) -> Promise:
    """The time to decode the upper rows of a sample through ``tarfile``, as a multiple of ours; medians of ``rounds``.

    Raises RuntimeError when the two read different pixels.
    """
    shard = manifest.shards[0]
    rows = list(manifest.rows(0))[:MOST_SPANS]
    content = open_storage(manifest.uri).read(shard.name)
    read = [(memoryview(content)[row.offset : row.offset + row.length], row) for row in rows]
    ours, theirs = SpanReader(manifest.uri, shard.name), _Tarfile(manifest.uri, shard.name)
    for span, row in read:
        if not np.array_equal(ours.decode(span, row).clean, theirs.decode(span, row).clean):
            raise RuntimeError(f"tarfile reads other pixels of {row.key}")
    seconds = [(_seconds(ours, read), _seconds(theirs, read)) for _ in range(rounds)]
    ratio = statistics.median(by_tarfile for _, by_tarfile in seconds) / statistics.median(own for own, _ in seconds)
    return Promise("tarfile / our reading of plain headers, a patch decoded", ratio, at_least=1.03)


class _Tarfile(SpanReader):
    _members = SpanReader.members_by_tarfile


def _seconds(reader: SpanReader, read: Sequence[tuple[memoryview, Row]]) -> float:
    started = time.perf_counter()
    for span, row in read:
        reader.decode(span, row, min(PATCH_ROWS, row.height))
    return time.perf_counter() - started
