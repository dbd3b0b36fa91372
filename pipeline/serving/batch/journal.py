"""What a worker has done of its part, so that the one that follows it after a death does only the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field

from pipeline.serving.batch.outcomes import RECORD_NAME, Outcome, Row, encode_rows, merge, read_record, write_rows
from pipeline.serving.batch.parts import Planned
from pipeline.settings import Settings, parse_json
from pipeline.storage import Storage

NOTES = "_restoring/"  # of a run that is under way; nothing in it outlives the run
JOURNAL = f"{NOTES}journal"
ATTEMPTS = f"{NOTES}attempts"
WRITE_EVERY_S = 5.0
# A file that was in hand at so many deaths of workers is taken for their cause.
DEATHS = 2
MAX_NOTE_BYTES = 16 << 20


class Note(Settings):
    """What an attempt at a part leaves before it takes an image in hand. deaths: of workers, by source."""

    in_hand: str
    deaths: dict[str, Annotated[int, Field(ge=0, le=1_000)]] = Field(max_length=100_000)


class Journal:
    """The rows of one part, kept in the output's store; replaced as a whole every few seconds.

    Attributes:
        cautious: whether a worker died on this part: then each image is noted before it is taken in hand.
    """

    def __init__(self, storage: Storage, part: int) -> None:
        self._storage = storage
        self._key, self._attempt = journal_key(part), f"{ATTEMPTS}/{part:08d}.json"
        self._written = time.monotonic()
        self._deaths: Counter[str] = Counter()
        self._rows = {row.source: row for row in read_record(storage, self._key)}
        self._claimed = {row.source: row.target for row in self._rows.values() if row.outcome == Outcome.BEGUN}
        self.cautious = storage.exists(self._attempt)  # the attempt before this one left without a word
        if self.cautious:
            noted = _read_note(storage, self._attempt)
            self._deaths.update(noted.deaths)
            self._deaths.update([noted.in_hand] if noted.in_hand else [])
        self._note("")

    @property
    def rows(self) -> list[Row]:
        """What earlier attempts and this one have done."""
        return [row for row in self._rows.values() if row.outcome != Outcome.BEGUN]

    def made(self, planned: Planned) -> str:
        """The result that an earlier run or attempt made of an image, or may have made; empty where there is none."""
        return self._claimed.get(planned.source, planned.known_target)

    def owns(self, planned: Planned, target: str) -> bool:
        """Whether what may lie at ``target`` is a result of this image's, so that it may be replaced."""
        claimed = self._rows.get(planned.source)
        return target in (self.made(planned), claimed.target if claimed else "")

    def claim(self, rows: Collection[Row]) -> None:
        """Store, before they are written, which results are going to be ours: whoever goes on after a death sees it."""
        self._rows.update((row.source, row) for row in rows)
        if rows:
            self._write()

    def begin(self, source: str) -> bool:
        """Take an image in hand. False: workers died of it ``DEATHS`` times, and it is to be left alone."""
        if self._deaths[source] >= DEATHS:
            return False
        if self.cautious:
            self._note(source)
        return True

    def add(self, row: Row) -> None:
        """Record an outcome; it is stored within seconds, or with ``finish``."""
        self._rows[row.source] = row
        if time.monotonic() - self._written >= WRITE_EVERY_S:
            self._write()

    def finish(self) -> None:
        """Store all rows in the order of their names; the attempt has ended."""
        self._write()
        self._storage.delete(self._attempt)

    def _write(self) -> None:
        self._storage.write(self._key, encode_rows(sorted(self._rows.values(), key=lambda row: row.source)))
        self._written = time.monotonic()

    def _note(self, in_hand: str) -> None:
        self._storage.write(self._attempt, Note(in_hand=in_hand, deaths=dict(self._deaths)).model_dump_json().encode())


def _read_note(storage: Storage, key: str) -> Note:
    data = storage.read_range(key, 0, MAX_NOTE_BYTES + 1)
    return parse_json(Note, data, f"{storage.uri}/{key}", MAX_NOTE_BYTES)


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
    for entry in list(storage.list(NOTES)):
        storage.delete(entry.key)
    storage.prune(NOTES.rstrip("/"))
