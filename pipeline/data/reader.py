"""Samples of one dataset by (shard, row): ranged reads, checked against the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from pipeline.data.faults import DamagedSample, Fault, FaultPolicy, TooMuchDamage
from pipeline.data.manifest import Manifest, Row
from pipeline.data.shard_cache import CacheSettings, ShardCache
from pipeline.data.spans import ImagePair, SpanReader
from pipeline.storage import open_storage

Cell = tuple[int, int]  # (shard, row)
Span = memoryview | DamagedSample  # what was read, or the proof that it is damaged
RowsNeeded = Callable[[Row], int | None]  # of an image's pixel rows, how many from the top; None means all


def all_rows(row: Row) -> None:
    """The whole image."""


class DatasetReader:
    """Reads and checks samples; ``fetch`` may run in several threads, the rest belongs to one.

    Args:
        manifest: the dataset.
        policy: what to do with damage.
        deadline_s: how long an S3 outage is waited out; None takes the storage's default.
        cache: where shards are kept on local disk; None keeps none.
    """

    def __init__(
        self,
        manifest: Manifest,
        policy: FaultPolicy | None = None,
        deadline_s: float | None = None,
        cache: CacheSettings | None = None,
    ) -> None:
        self.manifest = manifest
        self.policy = policy or FaultPolicy()
        self._storage = open_storage(manifest.uri, deadline_s)
        self._cache = ShardCache(self._storage, manifest, cache) if cache else None
        self._damaged: dict[Cell, Fault] = {}
        self._news: list[Fault] = []
        self._first_with_key = lru_cache(maxsize=manifest.cached_shards)(self._find_first_with_key)

    def fetch(self, cells: Sequence[Cell]) -> dict[Cell, Span]:
        """The checked spans of some samples: one ranged read per shard from the first to the last of them.

        Damage is returned, not raised, so that it meets the policy when, and if, the sample is used.

        Raises:
            StorageUnavailable: the store did not answer in time.
        """
        found: dict[Cell, Span] = {}
        for shard in {shard for shard, _ in cells}:
            rows = sorted(row for other, row in cells if other == shard)
            part = self._fetch_shard(shard, rows)
            damaged = any(isinstance(span, DamagedSample) for span in part.values())
            if damaged and self._cache is not None and self._cache.drop(self.manifest.shards[shard].name):
                part = self._fetch_shard(shard, rows)  # only what the store itself holds can be called damaged
            found.update(part)
        return found

    def close(self) -> None:
        """End what runs in the background."""
        if self._cache is not None:
            self._cache.close()

    def _fetch_shard(self, shard: int, numbers: Sequence[int]) -> dict[Cell, Span]:
        table = self.manifest.rows(shard)
        spans = SpanReader(self.manifest.uri, self.manifest.shards[shard].name)
        rows = {number: table[number] for number in numbers}
        start = min(row.offset for row in rows.values())
        end = max(row.offset + row.length for row in rows.values())
        try:
            data = memoryview((self._cache or self._storage).read_range(spans.shard, start, end - start))
        except FileNotFoundError:
            return {(shard, n): spans.damaged("missing_shard", row.key, "no such object") for n, row in rows.items()}
        first_with_key = self._first_with_key(shard)
        found: dict[Cell, Span] = {}
        for number, row in rows.items():
            span = data[row.offset - start : row.offset - start + row.length]
            try:
                spans.check_row(row)
                if first_with_key[row.key] != number:
                    raise spans.damaged("duplicate_key", row.key, f"rows {first_with_key[row.key]} and {number}")
                spans.check_bytes(span, row)
                found[shard, number] = span
            except DamagedSample as damage:
                found[shard, number] = damage
        return found

    def _find_first_with_key(self, shard: int) -> dict[str, int]:
        return {row.key: number for number, row in reversed(list(enumerate(self.manifest.rows(shard))))}

    def decode(self, cell: Cell, span: Span, rows_needed: RowsNeeded = all_rows) -> ImagePair:
        """The pixels of a fetched sample, or of its substitute when it is damaged and the policy says skip.

        Rows below those that ``rows_needed`` asks for may be left out.

        Raises:
            DamagedSample: it is damaged and the policy says raise.
            TooMuchDamage: more samples are damaged than the policy allows.
        """
        for candidate in self._substitutes(cell):
            if candidate != cell:
                span = self.fetch([candidate])[candidate]
            try:
                return self._decode(candidate, span, rows_needed)
            except DamagedSample as damage:
                self._note(candidate, damage)
        raise TooMuchDamage(f"{self.manifest.uri}: no sound sample is left")

    def _decode(self, cell: Cell, span: Span, rows_needed: RowsNeeded) -> ImagePair:
        if isinstance(span, DamagedSample):
            raise span
        shard, row = cell
        spans = SpanReader(self.manifest.uri, self.manifest.shards[shard].name)
        entry = self.manifest.rows(shard)[row]
        return spans.decode(span, entry, rows_needed(entry))

    def _substitutes(self, cell: Cell) -> Iterator[Cell]:
        """The sample itself, those after it in its shard, then the first of each other shard."""
        shard, row = cell
        shards = self.manifest.shards
        count = shards[shard].samples
        yield from ((shard, (row + step) % count) for step in range(count))
        others = ((shard + step) % len(shards) for step in range(1, len(shards)))
        yield from ((other, 0) for other in others if shards[other].samples)

    def _note(self, cell: Cell, damage: DamagedSample) -> None:
        if self.policy.on_damage == "raise":
            raise damage
        if cell in self._damaged:
            return
        self._damaged[cell] = damage.fault
        self._news.append(damage.fault)
        limit = self.policy.max_skipped_share * self.manifest.num_samples
        if len(self._damaged) > limit:
            raise TooMuchDamage(
                f"{len(self._damaged)} of {self.manifest.num_samples} samples of {self.manifest.uri} are"
                f" damaged, more than the share {self.policy.max_skipped_share:g}; the last: {damage.fault}"
            ) from damage

    def news(self) -> tuple[Fault, ...]:
        """Faults met since the last call."""
        found = tuple(self._news)
        self._news.clear()
        return found
