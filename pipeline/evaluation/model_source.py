"""The model that a person names: registered, logged by a run, a weights folder, or a training checkpoint."""

from __future__ import annotations

import atexit
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import semanir
from pipeline.errors import UserError
from pipeline.registry import pull, sealed
from pipeline.registry.pull import Located, locate
from pipeline.scoring.model_files import Weights, read_weights
from pipeline.storage.fetch import fetch_folder
from semanir.config import ModelConfig

BEST = "best"  # where a training checkpoint keeps the weights that did best on the validation images


@dataclass(frozen=True)
class ModelSource:
    """uri: an address that stays when an alias moves. task: what a registered model restores, None if unknown."""

    uri: str
    weights: Weights
    config: ModelConfig
    task: str | None
    located: Located | None


def open_model(text: str) -> ModelSource:
    """Fetch and check the model at ``models:/…``, ``runs:/…``, a local folder or ``s3://…``.

    A checkpoint of a training run means its best weights. A sealed model must reproduce its probe.

    Raises:
        UserError: there is no such model, or it does not load.
        AlteredModelError: it is not what was registered.
    """
    located = locate(text) if text.startswith(("models:", "runs:")) else None
    folder = pull(located.uri if located and located.name else text) if located else pull(_local_copy(text))
    try:
        model = semanir.load(folder)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"model {text}: {error}") from None
    task = None
    if sealed.is_sealed(folder):
        sealed.check_probe(model, folder)
        task = str(sealed.read_task(folder)["task"])
    uri = located.uri if located else text
    return ModelSource(uri, read_weights(folder), model.config, task, located)


def _local_copy(text: str) -> Path:
    folder = Path(text)
    if text.startswith("s3://"):
        folder = Path(mkdtemp(prefix="semanir-weights-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        folder = fetch_folder(text, folder)
    best = folder / BEST
    return best if not (folder / sealed.WEIGHTS_FILE).exists() and best.is_dir() else folder
