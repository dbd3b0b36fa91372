"""Run a plan: every image once, on whatever workers there are, each result stored as soon as it is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.evaluation.pictures import draw_panels
from pipeline.metrics.catalog import applicable
from pipeline.metrics.lpips import LpipsWeights
from pipeline.scoring.evaluator import ImageJob, Mapper
from pipeline.scoring.model_files import Weights
from pipeline.scoring.parquet import decode_scores, encode_scores
from pipeline.scoring.plan import Plan
from pipeline.scoring.record import Score
from pipeline.storage import Storage

PLAN_FILE = "plan.json"
MAX_PLAN_BYTES = 1 << 20
PARTS = "parts"

Progress = Callable[[int], None]


def run_plan(
    plan: Plan,
    weights: Callable[[], Weights] | None,
    output: Storage,
    mapper: Mapper,
    *,
    device: str = "cpu",
    lpips: Callable[[], LpipsWeights] | None = None,
    progress: Progress = lambda done: None,
) -> list[Score]:
    """All scores of a plan, in the order of the images.

    Each image's scores are stored in ``parts/`` at once, its picture in ``pictures/`` before that, so the same plan run
    again into the same ``output`` measures only what is missing. lpips: weights of the metric, which ``plan.lpips``
    names. progress: called with the number of images done.

    Raises:
        UserError: ``output`` holds another evaluation, or an image cannot be measured.
    """
    claim(plan, output)
    wanted = set(applicable(plan.convention, perceptual=bool(plan.lpips)))
    done = stored_scores(output, wanted)
    scores = [score for index in sorted(done) for score in done[index]]
    progress(len(done))
    missing = [index for index in range(plan.num_images) if index not in done]
    jobs = [ImageJob(plan, index, weights, device, lpips, draw_panels) for index in missing]
    for finished, (_, result) in enumerate(mapper(jobs), start=1):
        if result.picture is not None:
            output.write(f"pictures/{file_name(result.index, result.key)}.png", result.picture)
        output.write(f"{PARTS}/{result.index:08d}.parquet", encode_scores(result.scores))
        scores += result.scores
        progress(len(done) + finished)
    return sorted(scores, key=lambda score: score.index)  # stable: methods keep their order


def claim(plan: Plan, output: Storage) -> None:
    """Make ``output`` this plan's. Raises UserError when it holds another one's results."""
    try:
        known = json.loads(output.read_range(PLAN_FILE, 0, MAX_PLAN_BYTES))
        if not isinstance(known, dict):
            raise ValueError(f"it holds {known!r:.40}")
    except FileNotFoundError:
        output.write(PLAN_FILE, json.dumps({"fingerprint": plan.fingerprint(), **asdict(plan)}, indent=2).encode())
        return
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{output.uri}/{PLAN_FILE} is no evaluation's plan ({error}); choose another --output"
        ) from None
    if known.get("fingerprint") != plan.fingerprint():
        mine = json.loads(json.dumps(asdict(plan)))
        differing = ", ".join(sorted(key for key in mine if known.get(key, "") != mine[key])) or "its version"
        raise UserError(
            f"{output.uri} holds another evaluation (different: {differing}); choose another --output, or remove it"
        )


def file_name(index: int, key: str) -> str:
    """A picture's name: the image's number and its key, without what a file name may not hold."""
    return f"{index:04d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', key)}"


def stored_scores(output: Storage, metrics: set[str]) -> dict[int, list[Score]]:
    """What an interrupted evaluation has of ``metrics`` already, by image; what cannot be read is left out."""
    found: dict[int, list[Score]] = {}
    for entry in list(output.list(f"{PARTS}/")):
        data = output.read(entry.key)
        try:
            scores = decode_scores(data)
        except (pa.ArrowException, OSError, ValueError, KeyError):
            continue  # a damaged part is measured again
        if not scores or any(set(score.values) != metrics for score in scores):
            continue  # and so is one of before a metric existed
        found[scores[0].index] = scores
    return found
