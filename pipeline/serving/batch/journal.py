"""What a worker has done of its part, so that the one that follows it after a death does only the rest."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

from pipeline.serving.batch.record import RECORD_NAME, Row, encode_rows, merge, read_record, write_rows
from pipeline.storage import Storage

JOURNAL = "_restoring/journal"
ATTEMPTS = "_restoring/attempts"
WRITE_EVERY_S = 5.0
# A file that was in hand at so many deaths of workers is taken for their cause.
DEATHS = 2


class Journal:
    """The rows of one part, kept in the output's store; replaced as a whole every few seconds.

    Attributes:
        rows: what earlier attempts and this one have done.
        cautious: whether a worker died on this part: then each image is noted before it is taken in hand.
    """

    def __init__(self, storage: Storage, part: int) -> None:
        self._storage = storage
        self._key, self._attempt = journal_key(part), f"{ATTEMPTS}/{part:08d}.json"
        self._written = time.monotonic()
        self._deaths: Counter[str] = Counter()
        self.rows = list(read_record(storage, self._key))
        self.cautious = storage.exists(self._attempt)  # the attempt before this one left without a word
        if self.cautious:
            noted = json.loads(storage.read(self._attempt))
            self._deaths.update(noted["deaths"])
            self._deaths.update([noted["in_hand"]] if noted["in_hand"] else [])
        self._note("")

    def begin(self, source: str) -> bool:
        """Take an image in hand. False: workers died of it ``DEATHS`` times, and it is to be left alone."""
        if self._deaths[source] >= DEATHS:
            return False
        if self.cautious:
            self._note(source)
        return True

    def add(self, row: Row) -> None:
        """Record an outcome; it is stored within seconds, or with ``finish``."""
        self.rows.append(row)
        if time.monotonic() - self._written >= WRITE_EVERY_S:
            self._write()

    def finish(self) -> None:
        """Store all rows in the order of their names; the attempt has ended."""
        self._write()
        self._storage.delete(self._attempt)

    def _write(self) -> None:
        self.rows.sort(key=lambda row: row.source)
        self._storage.write(self._key, encode_rows(self.rows))
        self._written = time.monotonic()

    def _note(self, in_hand: str) -> None:
        self._storage.write(self._attempt, json.dumps({"in_hand": in_hand, "deaths": self._deaths}).encode())


def journal_key(part: int) -> str:
    """Its place in the output's store; journals sort by part, and so all their rows by source."""
    return f"{JOURNAL}/{part:08d}.parquet"


def journal_rows(storage: Storage) -> Iterator[Row]:
    """The rows of all journals, by ascending source."""
    for entry in storage.list(f"{JOURNAL}/"):
        yield from read_record(storage, entry.key)


def fold(storage: Storage) -> None:
    """Bring the journals into the record, then remove them and the plan. May be repeated after a death at any point."""
    if next(iter(storage.list(f"{JOURNAL}/")), None) is not None:
        write_rows(storage, RECORD_NAME, merge(read_record(storage), journal_rows(storage)))
    for entry in list(storage.list("_restoring/")):
        if not entry.key.startswith("_restoring/tree/"):
            storage.delete(entry.key)
