"""A model against the classical baselines on a whole set: all workers share the images, each image once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import semanir
from pipeline.cluster import map_tasks
from pipeline.config import RunConfig
from pipeline.data.whole import iter_whole_images
from pipeline.evaluation.score import ImageScore, score_image
from pipeline.storage.fetch import fetch_folder
from pipeline.tasks import TASKS


@dataclass(frozen=True)
class Share:
    """One worker's part of a set: the images with index ≡ rank (mod world_size)."""

    config: str  # RunConfig as JSON
    weights_uri: str
    images_uri: str
    rank: int
    world_size: int


def evaluate(config: RunConfig, weights_uri: str, images_uri: str, workers: int) -> list[ImageScore]:
    """Score the weights at ``weights_uri`` on every image of a set, in the set's order, over ``workers`` Ray tasks."""
    shares = [Share(config.model_dump_json(), weights_uri, images_uri, rank, workers) for rank in range(workers)]
    parts = map_tasks(_score_share, shares, num_cpus=config.training.cpus_per_worker)
    return [score for _, score in sorted((pair for _, part in parts for pair in part), key=lambda pair: pair[0])]


def _score_share(share: Share) -> list[tuple[int, ImageScore]]:
    config = RunConfig.model_validate_json(share.config)
    deadline_s = config.training.storage_deadline_s
    task, model = TASKS[config.task], _model(share.weights_uri, deadline_s)
    setting = task.parse_settings(config.setting)
    return [
        (index, score_image(model, task, setting, clean, degraded, index=index, key=key))
        for index, key, clean, degraded in iter_whole_images(share.images_uri, share.rank, share.world_size, deadline_s)
    ]


@lru_cache(maxsize=1)
def _model(weights_uri: str, deadline_s: float) -> semanir.SemanIR:
    return semanir.load(fetch_folder(weights_uri, Path(mkdtemp(prefix="semanir-weights-")), deadline_s))
