"""One worker of a restoring run: a model pulled once, images read ahead, restored in batches, written behind."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from pipeline.cluster import Board
from pipeline.memory import as_memory_error
from pipeline.registry import pull
from pipeline.restoring.picture import Picture
from pipeline.restoring.restorer import Prepared, Restorer
from pipeline.restoring.write import encode
from pipeline.serving.batch.failure import CAUGHT, InTheWayError, WorkersDiedError, describe
from pipeline.serving.batch.journal import DEATHS, Journal
from pipeline.serving.batch.outcomes import Outcome, Row
from pipeline.serving.batch.parts import Planned, read_part
from pipeline.serving.batch.reading import Read, Reader
from pipeline.serving.tile_batches import restore_images
from pipeline.storage import open_storage
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
    overwrite: files of others that lie where results go are replaced.
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
    overwrite: bool = False


class Worker:
    """Restores parts of a plan; the callable that Ray Data keeps in an actor."""

    def __init__(self, order: Order, board: Board) -> None:
        self._order, self._board = order, board
        folder = pull(order.model)
        self._restorer = Restorer(folder, k=order.k, tile=order.tile, overlap=order.overlap, device=order.device)
        self._shape = ModelShape.of(self._restorer.model)
        self._k = order.k or self._restorer.config.k
        self._output = open_storage(order.output)
        self._reader = Reader(open_storage(order.source), self._output, order.max_pixels, order.overwrite)
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
        self._claim(journal, left)
        for row in self._restore(journal, left):
            journal.add(row)
            self._tell(row.outcome)
        journal.finish()
        self._post()
        return len(planned)

    def _claim(self, journal: Journal, planned: Iterable[Planned]) -> None:
        """Note which results this run is going to make, before it makes the first.

        All of a part at once, since each note is a write; of packed samples the place is known once they are read.
        """
        new = [one for one in planned if not one.known_digest]
        targets = self._pool.map(lambda one: self._reader.place(one, journal), new)
        claims = zip(new, targets, strict=True)
        journal.claim([self._row(Read(one), Outcome.BEGUN, target=target) for one, target in claims if target])

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
                        yield self._row(read, Outcome.KEPT, target=read.target, size=read.planned.known_size)
                    else:
                        taken.append(read)
                claims = [read for read in taken if read.to_claim]
                journal.claim([self._row(read, Outcome.BEGUN, target=read.target) for read in claims])
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

    def _read_ahead(self, journal: Journal, planned: Iterable[Planned]) -> Iterator[Read]:
        ahead = 0 if journal.cautious else THREADS  # cautious: one image in hand, so that a death has one cause
        reading: deque[Future[Read] | Read] = deque()
        for one in planned:
            if journal.begin(one.source):
                reading.append(self._pool.submit(self._reader.read, one, journal))
            else:
                reading.append(self._left_alone(one, journal))
            if len(reading) > ahead:
                yield _result(reading.popleft())
        while reading:
            yield _result(reading.popleft())

    def _left_alone(self, one: Planned, journal: Journal) -> Read:
        return Read(one, made=journal.made(one), error=WorkersDiedError(f"workers died of it {DEATHS} times"))

    def _groups(self, reads: Iterable[Read]) -> Iterator[list[Read]]:
        """Images that are restored together: as many as the model's batch of tiles needs."""
        group: list[Read] = []
        pixels = 0
        for read in reads:
            group.append(read)
            pixels += read.picture.pixels.shape[0] * read.picture.pixels.shape[1] if read.picture else self._pixels
            if pixels >= self._pixels:
                yield group
                group, pixels = [], 0
        if group:
            yield group

    def _run(self, reads: list[Read]) -> Iterator[Row | tuple[Read, Picture, float]]:
        """The restored picture of each image and its seconds, or the row of its failure."""
        prepared: list[tuple[Read, Prepared]] = []
        for read in reads:
            assert read.picture is not None
            try:
                with as_memory_error():
                    prepared.append((read, self._restorer.prepare(read.picture)))
            except CAUGHT as error:
                yield self._failed(read, error)
        if not prepared:
            return
        started = time.perf_counter()
        inputs = [one.network_input for _, one in prepared]
        try:
            with as_memory_error():
                outputs = self._outputs(inputs)
        except MemoryError as error:
            if len(prepared) == 1:
                yield self._failed(prepared[0][0], error)
                return
            outputs = []
        if not outputs:  # one of them is too much, or all are together: each by itself
            for read, _ in prepared:
                yield from self._run([read])
            return
        pixels = [one.shape[2] * one.shape[3] for one in inputs]
        per_pixel = (time.perf_counter() - started) / sum(pixels)
        for (read, one), output, count in zip(prepared, outputs, pixels, strict=True):
            try:
                with as_memory_error():
                    picture = self._restorer.finish(one, output)
            except CAUGHT as error:
                yield self._failed(read, error)
            else:
                yield read, picture, per_pixel * count

    def _outputs(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        restorer = self._restorer
        return restore_images(
            inputs, self._forward, self._shape, tile=restorer.tile, overlap=restorer.overlap, batch=self._tiles
        )

    def _forward(self, tiles: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self._restorer.model(tiles.to(self._order.device), k=self._order.k)

    def _write(self, read: Read, picture: Picture, seconds: float) -> Row:
        target, made = read.target, read.made
        try:
            data = encode(picture)
            if not read.ours and self._differs(target, data):
                raise InTheWayError(f"{target} is there, and no run has made it; move it away, or give --overwrite")
            made = target  # a write that fails may have been done
            self._output.write(target, data)
        except CAUGHT as error:
            return self._failed(read, error, made)
        return self._row(read, Outcome.RESTORED, target=target, seconds=seconds, size=len(data))

    def _differs(self, target: str, data: bytes) -> bool:
        """Whether another file lies there: the same bytes were restored elsewhere, or by a run without a record."""
        try:
            return self._output.size(target) != len(data) or self._output.read(target) != data
        except FileNotFoundError:
            return False

    def _failed(self, read: Read, error: BaseException, made: str | None = None) -> Row:
        kind, why = describe(error)
        return self._row(read, Outcome.FAILED, target=read.made if made is None else made, kind=kind, why=why)

    def _row(
        self, read: Read, outcome: Outcome, *, target: str, seconds: float = 0.0, size: int = 0, kind: str = "",
        why: str = "",
    ) -> Row:  # fmt: skip
        order = self._order
        return Row(
            source=read.planned.source,
            target=target,
            digest=read.digest,
            model=order.model,
            settings=order.settings,
            k=self._k,
            seconds=seconds,
            outcome=outcome,
            kind=kind,
            why=why,
            size=size,
        )

    def _tell(self, outcome: str) -> None:
        self._news[outcome] = self._news.get(outcome, 0) + 1
        if time.monotonic() - self._posted >= POST_EVERY_S:
            self._post()

    def _post(self) -> None:
        if self._news:
            self._board.post(TOPIC, self._news)
        self._news, self._posted = {}, time.monotonic()


def _result(read: Any) -> Read:
    return read.result() if isinstance(read, Future) else read
