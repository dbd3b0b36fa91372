"""Make the folder of a shipped model of its weights and its provenance."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import semanir
from pipeline.errors import UserError
from pipeline.registry import sealed
from pipeline.registry.seal import seal
from pipeline.shipped.card import ShippedCard
from pipeline.shipped.locate import MODELS
from pipeline.shipped.provenance import PROVENANCE_FILE, Provenance
from pipeline.tasks import TASKS
from semanir.caution import Caution

MOST_BYTES = 3_000_000


def ship(weights: Path, provenance: Provenance, models: Path = MODELS) -> Path:
    """Write ``models/<task>`` anew from ``weights`` (a folder of ``semanir.save``); returns it.

    Raises:
        UserError: the weights are larger than a shipped model may be.
        ValueError: the model does not belong to the task.
    """
    size = (weights / sealed.WEIGHTS_FILE).stat().st_size
    if size > MOST_BYTES:
        raise UserError(f"{weights}: {size} bytes of weights; a shipped model has at most {MOST_BYTES}")
    with TemporaryDirectory() as scratch:
        made = Path(scratch) / provenance.task
        model = semanir.load(weights)
        caution = None if provenance.caution is None else Caution(*provenance.caution)
        cautious = replace(model.config, caution=caution)
        weights = semanir.save(model.state_dict(), Path(scratch) / "weights", cautious)
        # The code is the package that the folder comes with.
        seal(weights, TASKS[provenance.task], ShippedCard(provenance), made, carry_code=False)
        (made / PROVENANCE_FILE).write_text(provenance.model_dump_json(indent=1) + "\n", encoding="utf-8")
        sealed.write_digests(made)
        folder = models / provenance.task
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
    return folder
