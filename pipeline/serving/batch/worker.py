"""One worker of a restoring run: a model pulled once, images read ahead, restored in batches, written behind."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from pipeline.cluster import Board
from pipeline.data.members import plain_members
from pipeline.errors import first_line
from pipeline.registry import pull
from pipeline.restoring.picture import Picture, UnusableImageError
from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Prepared, Restorer
from pipeline.restoring.write import encode
from pipeline.serving.batch.failure import CAUGHT, UnreadableFolderError, WorkersDiedError, describe
from pipeline.serving.batch.journal import DEATHS, NOTES, Journal
from pipeline.serving.batch.outcomes import Outcome, Row
from pipeline.serving.batch.parts import Planned, read_part
from pipeline.serving.tile_batches import restore_images
from pipeline.storage import open_storage
from pipeline.storage.base import checked_key
from pipeline.storage.lease import Pass
from semanir.tiling import ModelShape

TOPIC = "restored"
GPU_TILES, GPU_PIXELS = 8, 4_000_000  # tiles in a batch; pixels of the images that are in hand together
THREADS = 2
POST_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Order:
    """What every worker of a run is told.

    source, output: folders or S3 prefixes. model: an address that stays when an alias moves. settings: digest of model
    and arguments. device: "cuda" or "cpu". lease: of the run on its output.
    """

    source: str
    output: str
    model: str
    settings: str
    k: int | None
    tile: int | None
    overlap: int
    max_pixels: int
    device: str
    lease: Pass


@dataclass(frozen=True)
class _Read:
    """An image as it was read, or why it was not; ``picture`` is None when the digest shows that it is done."""

    planned: Planned
    digest: str = ""
    picture: Picture | None = None
    target: str = ""
    error: BaseException | None = None


class Worker:
    """Restores parts of a plan; the callable that Ray Data keeps in an actor."""

    def __init__(self, order: Order, board: Board) -> None:
        self._order, self._board = order, board
        folder = pull(order.model)
        self._restorer = Restorer(folder, k=order.k, tile=order.tile, overlap=order.overlap, device=order.device)
        self._shape = ModelShape.of(self._restorer.model)
        self._k = order.k or self._restorer.config.k
        self._source, self._output = open_storage(order.source), open_storage(order.output)
        on_gpu = order.device.startswith("cuda")
        self._tiles, self._pixels = (GPU_TILES, GPU_PIXELS) if on_gpu else (1, 1)
        # For as long as the worker lives: threads of each part's own would take one of the allocator's arenas after the
        # other, each of which keeps what its largest images needed.
        self._pool = ThreadPoolExecutor(THREADS)
        self._posted = time.monotonic()
        self._news: dict[str, int] = {}

    def __call__(self, numbers: pa.Table) -> pa.Table:
        """Restore the parts of these numbers; returns how many names each has."""
        names = [self._restore_part(number) for number in numbers.column("part").to_pylist()]
        return numbers.append_column("names", pa.array(names, pa.int64()))

    def _restore_part(self, number: int) -> int:
        self._order.lease.check()
        planned = read_part(self._output, number)
        journal = Journal(self._output, number)
        done = {row.source for row in journal.rows}
        left = [one for one in planned if one.source not in done]
        for row in self._restore(journal, left):
            journal.add(row)
            self._tell(row.outcome)
        journal.finish()
        self._post()
        return len(planned)

    def _restore(self, journal: Journal, planned: Iterable[Planned]) -> Iterator[Row]:
        """Rows as they come: reading runs ahead of the model, encoding and writing behind it."""
        writing: deque[Future[Row]] = deque()
        try:
            for group in self._groups(self._read_ahead(journal, planned)):
                taken = []
                for read in group:
                    if read.error is not None:
                        yield self._failed(read, read.error)
                    elif read.picture is None:
                        yield self._row(read, Outcome.KEPT)
                    else:
                        taken.append(read)
                for row in self._run(taken):
                    if isinstance(row, Row):
                        yield row
                    else:
                        writing.append(self._pool.submit(self._write, *row))
                while len(writing) > THREADS:
                    yield writing.popleft().result()
            while writing:
                yield writing.popleft().result()
        finally:
            wait(writing)  # one that outlived a part that failed could replace what the next run wrote

    def _read_ahead(self, journal: Journal, planned: Iterable[Planned]) -> Iterator[_Read]:
        ahead = 0 if journal.cautious else THREADS  # cautious: one image in hand, so that a death has one cause
        reading: deque[Future[_Read] | _Read] = deque()
        for one in planned:
            if journal.begin(one.source):
                reading.append(self._pool.submit(self._read, one))
            else:
                reading.append(_Read(one, error=WorkersDiedError(f"workers died of it {DEATHS} times")))
            if len(reading) > ahead:
                yield _result(reading.popleft())
        while reading:
            yield _result(reading.popleft())

    def _groups(self, reads: Iterable[_Read]) -> Iterator[list[_Read]]:
        """Images that are restored together: as many as the model's batch of tiles needs."""
        group: list[_Read] = []
        pixels = 0
        for read in reads:
            group.append(read)
            pixels += read.picture.pixels.shape[0] * read.picture.pixels.shape[1] if read.picture else self._pixels
            if pixels >= self._pixels:
                yield group
                group, pixels = [], 0
        if group:
            yield group

    def _read(self, planned: Planned) -> _Read:
        digest = ""
        try:
            data, name = self._bytes(planned)
            digest = hashlib.sha256(data).hexdigest()
            if digest == planned.known_digest:
                target = self._target(planned, name)
                if self._output.exists(target):
                    return _Read(planned, digest, target=target)
            picture = read_picture(data, self._order.max_pixels)
            return _Read(planned, digest, picture, self._target(planned, name))
        except CAUGHT as error:
            return _Read(planned, digest, error=error)

    def _bytes(self, planned: Planned) -> tuple[bytes, str]:
        """The file's bytes, and its name; of a packed sample the member that is to be restored."""
        if planned.key.endswith("/"):
            raise UnreadableFolderError("it may not be read or entered; its images are not restored")
        _check_name(planned.key)
        if planned.length is None:
            return self._source.read(planned.key), planned.key
        span = self._source.read_range(planned.key, planned.start, planned.length)
        if hashlib.sha256(span).digest() != planned.span_sha256:
            raise UnusableImageError(f"its bytes in {planned.key} are not those that the manifest states")
        members = plain_members(span)
        if members is None:
            raise UnusableImageError(f"its span in {planned.key} is no plain tar")
        kinds = {name.rpartition(".")[0].rpartition(".")[2]: (bytes(content), name) for name, content in members}
        member = kinds.get("degraded") or kinds.get("clean")
        if member is None:
            raise UnusableImageError(f"its span in {planned.key} has no member that is called clean or degraded")
        _check_name(member[1])
        return member

    def _target(self, planned: Planned, name: str) -> str:
        """Where the result goes: the source's own place in the tree; for a packed sample its key with a suffix."""
        target = planned.source
        if planned.length is not None:
            stem, _, suffix = name.rsplit(".", 2)
            target = f"{stem}.{suffix}"
        if target.startswith(NOTES):
            raise UnusableImageError(f"its result would lie in {NOTES}, which a run empties; rename that folder")
        return target

    def _run(self, reads: list[_Read]) -> Iterator[Row | tuple[_Read, Picture, float]]:
        """The restored picture of each image and its seconds, or the row of its failure."""
        prepared: list[tuple[_Read, Prepared]] = []
        for read in reads:
            assert read.picture is not None
            try:
                prepared.append((read, self._restorer.prepare(read.picture)))
            except CAUGHT as error:
                yield self._failed(read, error)
        if not prepared:
            return
        started = time.perf_counter()
        inputs = [one.network_input for _, one in prepared]
        try:
            outputs = restore_images(
                inputs,
                self._forward,
                self._shape,
                tile=self._restorer.tile,
                overlap=self._restorer.overlap,
                batch=self._tiles,
            )
        except (torch.OutOfMemoryError, MemoryError) as error:
            yield from (self._failed(read, error) for read, _ in prepared)
            return
        pixels = [one.shape[2] * one.shape[3] for one in inputs]
        per_pixel = (time.perf_counter() - started) / sum(pixels)
        for (read, one), output, count in zip(prepared, outputs, pixels, strict=True):
            try:
                yield read, self._restorer.finish(one, output), per_pixel * count
            except CAUGHT as error:
                yield self._failed(read, error)

    def _forward(self, tiles: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self._restorer.model(tiles.to(self._order.device), k=self._order.k)

    def _write(self, read: _Read, picture: Picture, seconds: float) -> Row:
        try:
            self._output.write(read.target, encode(picture))
        except CAUGHT as error:
            return self._failed(read, error)
        return self._row(read, Outcome.RESTORED, seconds)

    def _failed(self, read: _Read, error: BaseException) -> Row:
        kind, why = describe(error)
        return self._row(read, Outcome.FAILED, kind=kind, why=why)

    def _row(self, read: _Read, outcome: Outcome, seconds: float = 0.0, kind: str = "", why: str = "") -> Row:
        order = self._order
        return Row(
            source=read.planned.source,
            target=read.target,
            digest=read.digest,
            model=order.model,
            settings=order.settings,
            k=self._k,
            seconds=seconds,
            outcome=outcome,
            kind=kind,
            why=why,
        )

    def _tell(self, outcome: str) -> None:
        self._news[outcome] = self._news.get(outcome, 0) + 1
        if time.monotonic() - self._posted >= POST_EVERY_S:
            self._post()

    def _post(self) -> None:
        if self._news:
            self._board.post(TOPIC, self._news)
        self._news, self._posted = {}, time.monotonic()


def _check_name(name: str) -> None:
    """Raises UnusableImageError for a name that would leave the folder: S3 keys and tar members may have any."""
    try:
        checked_key(name)
    except ValueError as error:
        raise UnusableImageError(first_line(error)) from None


def _result(read: Any) -> _Read:
    return read.result() if isinstance(read, Future) else read
