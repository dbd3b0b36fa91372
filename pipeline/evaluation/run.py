"""Run a plan: every image once, on whatever workers there are, each result stored as soon as it is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TypeVar

import pyarrow as pa

from pipeline.cluster import Shared, map_tasks
from pipeline.errors import UserError
from pipeline.evaluation.image_job import ImageJob, ImageResult, evaluate_image
from pipeline.evaluation.plan import Plan
from pipeline.evaluation.rows import Row, decode_rows, encode_rows
from pipeline.evaluation.weights import Weights
from pipeline.metrics.lpips import LpipsWeights
from pipeline.storage import Storage

PLAN_FILE = "plan.json"
PARTS = "parts"

Mapper = Callable[[Sequence[ImageJob]], Iterator[tuple[int, ImageResult]]]
Progress = Callable[[int], None]
Supplied = TypeVar("Supplied")


def map_here(jobs: Sequence[ImageJob]) -> Iterator[tuple[int, ImageResult]]:
    """One job after the other, in this process."""
    return ((number, evaluate_image(job)) for number, job in enumerate(jobs))


def map_on_ray(workers: int | None = None, num_cpus: float = 1, num_gpus: float = 0) -> Mapper:
    """On the cluster: as many workers as it has room for, or at most ``workers``."""
    return partial(map_tasks, evaluate_image, num_cpus=num_cpus, num_gpus=num_gpus, at_once=workers)


def supply(weights: Supplied | None, on_ray: bool) -> Callable[[], Supplied] | None:
    """How jobs get a model's or a metric's weights: from the cluster's object store, or directly."""
    if weights is None:
        return None
    return Shared(weights).get if on_ray else lambda: weights


def run_plan(
    plan: Plan,
    weights: Callable[[], Weights] | None,
    output: Storage,
    mapper: Mapper,
    *,
    device: str = "cpu",
    lpips: Callable[[], LpipsWeights] | None = None,
    progress: Progress = lambda done: None,
) -> list[Row]:
    """All rows of a plan, in the order of the images.

    Each image's rows are stored in ``parts/`` at once, its picture in ``pictures/`` before that, so the same plan run
    again into the same ``output`` measures only what is missing. lpips: weights of the metric, which ``plan.lpips``
    names. progress: called with the number of images done.

    Raises:
        UserError: ``output`` holds another evaluation, or an image cannot be measured.
    """
    claim(plan, output)
    done = _stored(output)
    rows = [row for index in sorted(done) for row in done[index]]
    progress(len(done))
    jobs = [ImageJob(plan, index, weights, device, lpips) for index in range(plan.num_images) if index not in done]
    for finished, (_, result) in enumerate(mapper(jobs), start=1):
        if result.picture is not None:
            output.write(f"pictures/{file_name(result.index, result.key)}.png", result.picture)
        output.write(f"{PARTS}/{result.index:08d}.parquet", encode_rows(result.rows))
        rows += result.rows
        progress(len(done) + finished)
    return sorted(rows, key=lambda row: row.index)  # stable: methods keep their order


def claim(plan: Plan, output: Storage) -> None:
    """Make ``output`` this plan's. Raises UserError when it holds another one's results."""
    try:
        known = json.loads(output.read(PLAN_FILE))
    except FileNotFoundError:
        output.write(PLAN_FILE, json.dumps({"fingerprint": plan.fingerprint(), **asdict(plan)}, indent=2).encode())
        return
    except ValueError as error:
        raise UserError(f"{output.uri}/{PLAN_FILE} is not valid JSON ({error}); choose another --output") from None
    if known.get("fingerprint") != plan.fingerprint():
        mine = json.loads(json.dumps(asdict(plan)))
        differing = ", ".join(sorted(key for key in mine if known.get(key, "") != mine[key])) or "its version"
        raise UserError(
            f"{output.uri} holds another evaluation (different: {differing}); choose another --output, or remove it"
        )


def file_name(index: int, key: str) -> str:
    """A picture's name: the image's number and its key, without what a file name may not hold."""
    return f"{index:04d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', key)}"


def _stored(output: Storage) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for entry in list(output.list(f"{PARTS}/")):
        try:
            rows = decode_rows(output.read(entry.key))
        except pa.ArrowInvalid:
            continue  # a damaged part is measured again
        found[rows[0].index] = rows
    return found
