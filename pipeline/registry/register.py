"""Register a trained model with MLflow: logged, tagged, described, and compared with the champion."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.registry import sealed
from pipeline.registry.card import ModelCard, registered_name
from pipeline.registry.client import connect, file_address
from pipeline.registry.figure_tags import figure_tags, read_figures
from pipeline.registry.harm_tag import HARM_TAG
from pipeline.registry.logged_model import ARTIFACT, WEIGHTS_TAG, log_model
from pipeline.registry.promotion import (
    CHALLENGER,
    CHAMPION,
    METRIC_TAG,
    PROTOCOL_TAG,
    settle,
    why_not_champion,
)
from pipeline.registry.seal import seal
from pipeline.registry.versions import all_versions, only_version
from pipeline.scoring.record import Score
from pipeline.tasks import TASKS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

RUN_TAG = "training_run_id"
FINGERPRINT_TAG = "fingerprint"
BASELINE_TAG = "held_out_baseline_psnr_db"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version in the registry. ``alias``: "champion", "challenger" or "" for one that is neither.

    run_ended: whether the run that made it came to its end, and did not die between this version and that.
    reason: why it is not the champion, in a few words; "" for the champion.
    """

    name: str
    version: int
    alias: str
    run_id: str
    scores: tuple[Score, ...]
    run_ended: bool = True
    reason: str = ""

    @property
    def uri(self) -> str:
        """What ``pull`` and ``mlflow.pyfunc.load_model`` take."""
        return f"models:/{self.name}/{self.version}"


def register(folder: str | Path, card: ModelCard, *, run_id: str, picture: str = "") -> Registered:
    """Register the weights in ``folder`` (written by ``semanir.save``) as a version of ``semanir-<task>``.

    run_id: the MLflow run that trained it. picture: a file of that run that the version's page shows.

    Killed or left without an answer at any request, the same call ends what was begun: one READY version for each run
    and weights, with the aliases where they belong. The new version becomes champion when it beats the standing one
    under the same protocol, else challenger.

    Raises UserError when the MLflow server is not set or does not answer; ValueError when the model does not belong
    to the card's task; AlteredModelError when what would be registered does not load and reproduce its probe.
    """
    client = connect()
    name = registered_name(card.task)
    weights = sealed.file_digest(Path(folder) / sealed.WEIGHTS_FILE)
    identity = {RUN_TAG: run_id, WEIGHTS_TAG: weights}
    version = only_version(client, name, identity)
    if version is None:
        _create_version(client, name, Path(folder), card, run_id, picture)
        # Looked up, not returned: the server may have made two of a request that was sent twice.
        version = only_version(client, name, identity)
        assert version is not None
    settle(client, name, int(version.version))
    return _registered(client, version)


def find_registered(task: str, fingerprint: str) -> list[Registered]:
    """Versions of a task trained from this configuration and data, oldest first."""
    client = connect()
    versions = all_versions(client, registered_name(task))
    return [_registered(client, v) for v in versions if v.tags.get(FINGERPRINT_TAG) == fingerprint]


def settle_again(registered: Registered) -> Registered:
    """The version with the aliases where they belong: someone may have taken one away, or died before setting it."""
    client = connect()
    settle(client, registered.name, registered.version)
    return _registered(client, client.get_model_version(registered.name, str(registered.version)))


def _create_version(client: MlflowClient, name: str, source: Path, card: ModelCard, run_id: str, picture: str) -> None:
    facts = {"task": card.task, "data_fingerprint": card.data_fingerprint, "git_commit": card.git_commit}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / ARTIFACT
        weights = seal(source, TASKS[card.task], card, folder)[sealed.WEIGHTS_FILE]
        task = sealed.read_task(folder)
        model_id = log_model(
            client, name, folder, tags={**facts, WEIGHTS_TAG: weights}, metrics=_metrics(card), steps=card.steps,
            run_id=run_id, measured_on=card.tested_on,
        )  # fmt: skip
    ensure_model(client, name, card.task)
    tags = {
        **facts,
        "setting": card.setting,
        "k": task["k"],
        FINGERPRINT_TAG: card.fingerprint,
        PROTOCOL_TAG: card.protocol,
        WEIGHTS_TAG: weights,
        RUN_TAG: run_id,
        **figure_tags(card),
        **_metrics(card),
        **({} if card.harm is None else {HARM_TAG: card.harm.encode()}),
    }
    client.create_model_version(
        name=name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags={key: str(value) for key, value in tags.items()},
        description=card.to_description(task["k"], file_address(run_id, picture) if picture else ""),
    )


def _metrics(card: ModelCard) -> dict[str, float]:
    return {METRIC_TAG: card.restored_psnr, BASELINE_TAG: card.baseline_psnr, **card.extra_metrics}


def ensure_model(client: MlflowClient, name: str, task: str) -> None:
    """See that the registered model ``name`` is there, and says what it is; what a person wrote there stays."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={"task": task}, description=_about(name, task))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if not client.get_registered_model(name).description:
            client.update_registered_model(name, _about(name, task))


def _about(name: str, task: str) -> str:
    return (
        f"Restores images: {TASKS[task].title} (task `{task}` of SemanIR-on-Ray).\n\n"
        "`@champion` is the best version among those measured on the same held-out images, `@challenger` the newest "
        "other one. The description of each version is its card: how to use it, figures image by image, what it was "
        "trained on and where it fails; its source run has the curves, the data sets and pictures.\n\n"
        f"[Versions](#/models/{name}) · a folder with the champion: `semanir models pull models:/{name}@champion`\n"
    )


def _registered(client: MlflowClient, version: ModelVersion) -> Registered:
    aliases = client.get_registered_model(version.name).aliases
    champion = int(aliases[CHAMPION]) if CHAMPION in aliases else None
    held = [alias for alias, number in aliases.items() if int(number) == int(version.version)]
    run_id = version.tags.get(RUN_TAG, version.run_id or "")
    return Registered(
        name=version.name,
        version=int(version.version),
        alias=next((alias for alias in (CHAMPION, CHALLENGER) if alias in held), ""),
        run_id=run_id,
        scores=tuple(read_figures(version)),
        run_ended=_ended(client, run_id),
        reason=why_not_champion(all_versions(client, version.name), champion, int(version.version)),
    )


def _ended(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.status) == "FINISHED"
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return True  # someone deleted it: there is nothing left to end
