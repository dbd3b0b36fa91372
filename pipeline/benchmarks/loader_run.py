"""What ``jobs/benchmark.py loader`` does: pack, check that all deliver the same pixels, time them in turn, judge."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pipeline.benchmarks.feed import feed
from pipeline.benchmarks.loader_members import members_promise
from pipeline.benchmarks.loader_mosaic import MosaicChild
from pipeline.benchmarks.loader_order import order_promises
from pipeline.benchmarks.loader_probe import Probe
from pipeline.benchmarks.loaders import MICRO_BATCH, Loader, folder_of_pngs, ours, plain_webdataset, shuffled, unpack
from pipeline.benchmarks.promises import Promise
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.data.manifest import Manifest
from pipeline.data.packing.builtin import Split, builtin_sources
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import Source, folder_sources
from pipeline.data.patches import make_patch_sampler
from pipeline.errors import UserError
from pipeline.tasks import TASKS

PATCH_SIZE = 128
CORES = 8
PACKAGES = ("torch", "webdataset", "imagecodecs", "pillow")
OURS, WDS, FOLDER, MOSAIC = "ours", "webdataset", "folder of PNGs", "mosaicml-streaming"
CROPS = 4
MAX_PARITY_SAMPLES = 20  # times the dataset's own, for loaders that draw with replacement
COLUMNS = {
    "loader": "loader", "source": "from", "per_core": "samples/s per core", "per_second": "samples/s",
    "against": "ours / this",
}  # fmt: skip
Seconds = Callable[[int], tuple[float, float]]


def run_loader(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a promised line was missed.

    Raises:
        UserError: fewer samples than a micro-batch, or nothing to read.
        RuntimeError: a loader delivers other pixels.
    """
    if options.samples < MICRO_BATCH:
        raise UserError(f"--samples must be at least {MICRO_BATCH}, one micro-batch; got {options.samples}")
    torch.set_num_threads(1)
    file = RowFile("loader", options.output, machine("cpu", PACKAGES))
    promises = order_promises()
    if not options.order_only:
        with TemporaryDirectory(prefix="benchmark-loader-") as folder:
            promises = [*_measure(options, Path(folder), file), *promises]
    rows = [file.add(kind="promise", **promise.to_row()) for promise in promises]
    print("\n" + format_table(Promise.COLUMNS, rows))
    return int(any(promise.met is False for promise in promises))


def _measure(options: argparse.Namespace, folder: Path, file: RowFile) -> list[Promise]:
    manifest = _pack(options.images, str(folder / "png"), "png")
    loaders = [
        Loader(OURS, "disk", ours(manifest)),
        Loader(WDS, "disk", plain_webdataset(manifest)),
        Loader(FOLDER, "disk", folder_of_pngs(unpack(manifest, folder / "files"))),
        Loader(f"{OURS}, {CROPS} crops per image", "disk", ours(manifest, CROPS)),
        Loader(f"{OURS}, lossless WebP", "disk", ours(_pack(options.images, str(folder / "webp"), "webp"))),
    ]
    if options.s3:
        remote = _pack(options.images, f"{options.s3.rstrip('/')}/loader-benchmark", "png")
        loaders += [Loader(OURS, "S3", ours(remote)), Loader(WDS, "S3", plain_webdataset(remote))]
    _check_parity(loaders, manifest)
    timed = {(loader.name, loader.source): _timer(loader) for loader in loaders}
    child = None
    if options.mosaic_python:
        child = MosaicChild(options.mosaic_python, manifest.uri, folder / "mds", PATCH_SIZE)
        _compare(MOSAIC, child.ask("probe"), _digests(loaders[0], manifest))
        timed[MOSAIC, "disk"] = child.seconds
    try:
        rates = _rates(timed, options.samples, options.rounds)
    finally:
        if child is not None:
            child.close()
    rows = []
    for (name, source), (per_core, per_second) in rates.items():
        against = rates[OURS, source][0] / per_core
        values: Row = {"loader": name, "source": source, "per_core": per_core, "per_second": per_second}
        rows.append(file.add(kind="rate", **values, against=against, images=manifest.num_samples))
    print(format_table(COLUMNS, rows))
    print(f"parity: all {manifest.num_samples} images the same in every loader")
    return [*_judge(rates, options.gpu_tflops), members_promise(manifest, options.rounds)]


def _judge(rates: dict[tuple[str, str], tuple[float, float]], tflops: float) -> list[Promise]:
    promises = []
    for name, at_least in ((WDS, 1.5), (MOSAIC, 1.0), (FOLDER, 2.0)):
        for source in ("disk", "S3"):
            if (name, source) in rates:
                ratio = rates[OURS, source][0] / rates[name, source][0]
                promises.append(Promise(f"ours / {name}, per core, from {source}", ratio, at_least=at_least))
    demand = feed("ushape_base", PATCH_SIZE, tflops).to_row(rates[OURS, "disk"][0])
    return [*promises, Promise(str(demand["what"]), float(demand["cores"]), at_most=CORES)]


def _pack(images: str | None, output: str, codec: str) -> Manifest:
    sources: list[Source]
    # The built-in photograph for validation is gray: our stream keeps it so, the others make three channels of it.
    color: tuple[Split, ...] = ("train", "test")
    sources = folder_sources(images) if images else [source for split in color for source in builtin_sources(split)]
    settings = PackSettings(codec=codec, sub_image=480, shard_bytes=16 * 2**20)  # type: ignore[arg-type]
    return pack_dataset(sources, output, settings)


def _check_parity(loaders: list[Loader], manifest: Manifest) -> None:
    expected = _digests(loaders[0], manifest)
    for loader in loaders[1:]:
        _compare(f"{loader.name} from {loader.source}", _digests(loader, manifest), expected)


def _digests(loader: Loader, manifest: Manifest) -> dict[str, str]:
    probe = Probe()
    batches = loader.open(probe)
    for _ in range(MAX_PARITY_SAMPLES * manifest.num_samples // MICRO_BATCH + 1):
        next(batches)
        if len(probe.digests) == manifest.num_samples:
            break
    return probe.digests


def _compare(name: str, found: dict[str, str], expected: dict[str, str]) -> None:
    different = [key for key in expected if found.get(key) != expected[key]]
    if different or len(found) != len(expected):
        raise RuntimeError(
            f"{name} delivers other images: {len(found)} of {len(expected)}, {len(different)} differ, such as"
            f" {different[:3]}"
        )


def _timer(loader: Loader) -> Seconds:
    task = TASKS["denoising_color"]
    batches = loader.open(make_patch_sampler(task, task.settings(), PATCH_SIZE))
    next(batches)

    def seconds(samples: int) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(samples // MICRO_BATCH):
            next(batches)
        return time.process_time() - cpu, time.perf_counter() - wall

    return seconds


def _rates(
    timed: dict[tuple[str, str], Seconds], samples: int, rounds: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """(Samples per CPU second, samples per second) of each, medians over rounds in which all take turns."""
    samples -= samples % MICRO_BATCH
    found: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in timed}
    names = ["\t".join(key) for key in timed]
    for number in range(rounds):
        for name in shuffled(names, number):
            first, second = name.split("\t")
            found[first, second].append(timed[first, second](samples))
    return {
        key: (
            samples / statistics.median(cpu for cpu, _ in runs),
            samples / statistics.median(wall for _, wall in runs),
        )
        for key, runs in found.items()
    }
