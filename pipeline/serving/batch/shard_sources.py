"""What one run restored, as the sources of a data set: on disk, so that a million names cost no memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from pipeline.data.packing.sources import Location, Source, sample_key
from pipeline.errors import UserError
from pipeline.serving.batch.names import Name, stands_for_none
from pipeline.serving.batch.outcomes import Outcome, Row


class ShardSources(Sequence[Source]):
    """A sequence of ``Source`` in a temporary database, which nobody else sees and which goes with this object.

    uri: of the output, where the results lie.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._rows = sqlite3.connect("", isolation_level=None)  # a file of SQLite's own, without a name
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute("CREATE TABLE keys (key TEXT PRIMARY KEY, source TEXT) WITHOUT ROWID")
        self._rows.execute("CREATE TABLE results (number INTEGER PRIMARY KEY, target TEXT, version TEXT)")
        self._rows.execute("BEGIN")
        self._length = 0

    def checked(self, names: Iterable[Name]) -> Iterator[Name]:
        """The names as they come.

        Equal keys are not neighbors in a listing: between ``a.b.png`` and ``a_b.png`` any number of others may lie.

        Raises:
            UserError: two of them would have one key in the data set, where a reader would merge or drop them.
        """
        for name in names:
            if not stands_for_none(name.source):
                self._check(name)
            yield name

    def _check(self, name: Name) -> None:
        # A packed sample's result is called by its key there, with a suffix.
        key = sample_key(name.source if name.length is None else f"{name.source[len(name.key) + 1 :]}.png")
        try:
            self._rows.execute("INSERT INTO keys VALUES (?, ?)", (key, name.source))
        except sqlite3.IntegrityError:
            other = self._rows.execute("SELECT source FROM keys WHERE key = ?", (key,)).fetchone()[0]
            raise UserError(
                f"{other} and {name.source} would share the key {key!r} in --shards;"
                " rename one of them, or leave out --shards"
            ) from None

    def fill(self, rows: Iterable[Row]) -> None:
        """Take in the results of a run, from its journals; failures have none."""
        for row in rows:
            if row.outcome in (Outcome.RESTORED, Outcome.KEPT):
                # Equal digest and settings give equal results, and the data set need not be packed again.
                version = f"{row.settings}:{row.digest}"
                self._rows.execute("INSERT INTO results VALUES (?, ?, ?)", (self._length, row.target, version))
                self._length += 1

    def close(self) -> None:
        """Remove it."""
        self._rows.close()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Source]:
        return self._between(0, self._length)

    def _between(self, start: int, stop: int) -> Iterator[Source]:
        found = self._rows.execute(
            "SELECT target, version FROM results WHERE number >= ? AND number < ? ORDER BY number", (start, stop)
        )
        for target, version in found:
            yield Source(sample_key(target), Location(self.uri, target, version))

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Source]: ...

    def __getitem__(self, index: int | slice) -> Source | Sequence[Source]:
        if isinstance(index, slice):
            return _Part(self, range(self._length)[index])
        number = range(self._length)[index]
        return next(self._between(number, number + 1))


class _Part(Sequence[Source]):
    """A slice, read as it is asked for."""

    def __init__(self, whole: ShardSources, numbers: range) -> None:
        self._whole, self._numbers = whole, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Source]: ...

    def __getitem__(self, index: int | slice) -> Source | Sequence[Source]:
        if isinstance(index, slice):
            return _Part(self._whole, self._numbers[index])
        return self._whole[self._numbers[index]]
