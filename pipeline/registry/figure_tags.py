"""Every held-out image's figures as tags of a version: a later start prints its table without measuring again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.metrics.catalog import PSNR
from pipeline.registry.card import ModelCard
from pipeline.scoring.record import RESTORED, Score
from pipeline.tasks import TASKS

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

FIGURES_TAG = "held_out_figures"
OTHERS_TAG = "held_out_other_baselines"


def figure_tags(card: ModelCard) -> dict[str, str]:
    """What a version is given."""
    others = _other_figures(card)
    return {FIGURES_TAG: _figures(card), **({OTHERS_TAG: json.dumps(others)} if others else {})}


def read_figures(version: ModelVersion) -> Iterator[Score]:
    """What ``_figures`` and ``_other_figures`` wrote; the first baseline is the first of the version's task."""
    tag = FIGURES_TAG
    try:
        stored = json.loads(version.tags.get(tag, "[]"))
        figures = [(str(key), float(before), float(after)) for key, before, after in stored]
        tag = OTHERS_TAG
        others = {
            str(name): [float(psnr) for _, psnr in zip(figures, values, strict=True)]
            for name, values in json.loads(version.tags.get(tag, "{}")).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{version.name} version {version.version}: the tag {tag} holds no figures of images ({error}); "
            "delete the tag"
        ) from None
    task = TASKS.get(version.tags.get("task", ""))
    baseline = next(iter(task.baselines)) if task else "input"
    for index, (key, before, after) in enumerate(figures):
        yield Score(index, key, baseline, None, {PSNR: before})
        for name, values in others.items():
            yield Score(index, key, name, None, {PSNR: values[index]})
        yield Score(index, key, RESTORED, None, {PSNR: after})


def _figures(card: ModelCard) -> str:
    """The held-out figures as a tag keeps them: [key, baseline's PSNR, restored PSNR] of each image, in dB."""
    pairs = [(scores[card.baseline], scores[RESTORED]) for scores in card.images]
    return json.dumps([[after.key, before.psnr_db, after.psnr_db] for before, after in pairs])


def _other_figures(card: ModelCard) -> dict[str, list[float]]:
    """The further baselines: name -> PSNR in dB of each image, in the order of the figures."""
    names = [name for name in card.images[0] if name not in (card.baseline, RESTORED)]
    return {name: [scores[name].psnr_db for scores in card.images] for name in names}
