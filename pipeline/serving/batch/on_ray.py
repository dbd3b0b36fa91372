"""Restore a folder, an S3 prefix or a packed data set on the workers of a Ray cluster, with Ray Data.

The same command continues what was interrupted, leaves alone what is done, and tries again what failed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from pipeline.cluster import Board, connect, total_resources
from pipeline.errors import UserError, first_line
from pipeline.images.folders import Found
from pipeline.registry import pull
from pipeline.registry.pull import locate
from pipeline.registry.sealed import WEIGHTS_FILE, file_digest
from pipeline.restoring.read import DEFAULT_MAX_PIXELS
from pipeline.restoring.restorer import Restorer
from pipeline.serving.batch.journal import fold, journal_rows
from pipeline.serving.batch.names import check_places, list_names
from pipeline.serving.batch.outcomes import RECORD_NAME, Outcome, read_record
from pipeline.serving.batch.parts import with_known, write_plan
from pipeline.serving.batch.progress_line import Progress, report
from pipeline.serving.batch.shard_sources import ShardSources
from pipeline.serving.batch.worker import Order, Worker
from pipeline.storage import check_access, open_storage
from pipeline.storage.lease import Lease, sole_writer
from pipeline.wording import counted
from semanir.tiling import DEFAULT_OVERLAP

ASK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Request:
    """A restoring run. source: folder, S3 prefix or packed data set; output: folder or S3 prefix.

    model: any address that ``pull`` takes; an alias is resolved once, at the beginning. workers: how many at most; None
    takes what the cluster has. device: "auto" gives each worker a GPU where the cluster has any. force: the reason why
    another run that writes to the output is to be pushed aside. overwrite: restore all again, and replace files of
    others where results go.
    """

    source: str
    output: str
    model: str
    k: int | None = None
    tile: int | None = None
    overlap: int = DEFAULT_OVERLAP
    max_pixels: int = DEFAULT_MAX_PIXELS
    workers: int | None = None
    device: str = "auto"
    force: str = ""
    overwrite: bool = False


def restore_on_ray(request: Request, console: Console | None = None, results: ShardSources | None = None) -> int:
    """Run it; returns how many images could not be restored, each of which is in the record with its reason.

    results: to be filled with what this run restored, or found restored.

    Raises:
        UserError: bad input, with ``results`` also names that would share a key, no cluster, another run at work on
            this output, or a store that stayed silent; the same command then continues.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    check_places(request.source, request.output)
    check_access(request.output)
    address, settings = _settings(request)
    connect()
    workers, device = _workers(request)
    with sole_writer(request.output, f"the output {request.output!r}", request.force) as lease:
        return _restore(request, address, settings, workers, device, console, lease, results)


def _restore(
    request: Request, address: str, settings: str, workers: int, device: str, console: Console, lease: Lease,
    results: ShardSources | None,
) -> int:  # fmt: skip
    output = open_storage(request.output)
    fold(output)
    found = Found()
    names = list_names(open_storage(request.source), found)
    if results is not None:
        names = results.checked(names)
    try:
        parts, total = write_plan(output, with_known(names, read_record(output), settings, anew=request.overwrite))
    except UserError:
        fold(output)  # nothing of a run that cannot begin stays
        raise
    if not total:
        raise UserError(f"{request.source!r} holds no images (PNG, JPEG, TIFF, WebP, or a packed data set)")
    if found.left_out:
        console.print(found.line(request.source), markup=False)
    console.print(
        f"restoring {counted(total, 'image')} with {address} on up to {counted(workers, f'{device} worker')}",
        markup=False,
    )
    order = Order(
        source=request.source,
        output=request.output,
        model=address,
        settings=settings,
        k=request.k,
        tile=request.tile,
        overlap=request.overlap,
        max_pixels=request.max_pixels,
        device=device,
        lease=lease.to_pass_on(),
        overwrite=request.overwrite,
    )
    board = Board()
    progress = Progress(total, console)
    with _shown(board, progress):
        _stream(order, board, parts, min(workers, parts))
    counts = report(journal_rows(output), console)
    if results is not None:
        results.fill(journal_rows(output))
    lease.check()
    fold(output)
    console.print(f"the record is {output.uri}/{RECORD_NAME}", markup=False)
    if counts.total() != total:
        raise UserError(f"{counts.total()} of {total} images were taken in hand; run the same command again")
    return counts[Outcome.FAILED]


def _settings(request: Request) -> tuple[str, str]:
    """The model's fixed address, and a digest of its weights and of all arguments that change a result.

    The model is loaded and probed here first, so that a wrong k or an altered model ends the run before it begins.
    """
    address = locate(request.model).uri if request.model.startswith(("models:", "runs:")) else request.model
    folder = pull(address)
    restorer = Restorer(folder, k=request.k, tile=request.tile, overlap=request.overlap, device="cpu")
    weights = file_digest(Path(folder) / WEIGHTS_FILE)
    made_of = [weights, restorer.k or restorer.config.k, restorer.tile, restorer.overlap]
    return address, hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _workers(request: Request) -> tuple[int, str]:
    """How many workers at most, and the device of each."""
    room = total_resources()
    device = request.device
    if device == "auto":
        device = "cuda" if room["GPU"] >= 1 else "cpu"
    available = int(room["GPU"] if device.startswith("cuda") else room["CPU"])
    if available < 1:
        raise UserError(f"the cluster has no {'GPU' if device.startswith('cuda') else 'CPU'}; choose another --device")
    return min(request.workers or available, available), device


def _stream(order: Order, board: Board, parts: int, workers: int) -> None:
    """Let Ray Data carry the parts of the plan to the workers; a dead worker's part goes to another."""
    import ray
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    on_gpu = order.device.startswith("cuda")
    try:
        # Numbers alone: a worker reads its part itself. Read by tasks of Ray Data, which need next to no CPU, all parts
        # would be read at once, each in a process of Python that first has to start.
        numbers = ray.data.from_blocks([pa.table({"part": [part]}) for part in range(parts)])
        dataset = numbers.map_batches(
            Worker,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(order, board),
            concurrency=(1, workers),
            num_cpus=0 if on_gpu else 1,
            num_gpus=1 if on_gpu else 0,
        )
        for _ in dataset.iter_batches(batch_size=None, prefetch_batches=0):
            pass
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        raise (
            cause
            if isinstance(cause, UserError)
            else UserError(f"the run ended early ({first_line(cause or error)}); the same command continues it")
        ) from error


@contextmanager
def _shown(board: Board, progress: Progress) -> Iterator[None]:
    """While the block runs, collect what workers post and show it; at its end, the rest."""
    ended = threading.Event()

    def collect() -> None:
        for _, news in board.collect():
            progress.add(news)

    def watch() -> None:
        while not ended.wait(ASK_EVERY_S):
            collect()
            progress.say()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    collect()
