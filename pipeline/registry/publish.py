"""Register the models that come with the package, so that whoever uses the registry finds them there.

They carry no figures of a run's held-out images and so take no part in the contest for ``champion``: a person's own
models go on being compared with each other. Their alias is ``shipped``.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.registry import sealed
from pipeline.registry.card import within_description
from pipeline.registry.client import connect, made_by
from pipeline.registry.logged_model import ARTIFACT, WEIGHTS_TAG, log_model
from pipeline.registry.register import ensure_model, registered_name
from pipeline.registry.seal import seal
from pipeline.registry.versions import only_version
from pipeline.shipped import locate, read_provenance
from pipeline.shipped.card import ShippedCard
from pipeline.shipped.locate import MODELS, SCHEME
from pipeline.tasks import TASKS

if TYPE_CHECKING:
    from mlflow import MlflowClient

SOURCE_TAG, SHIPPED = "source", "shipped"  # the tag and the alias of what came with the package
EXPERIMENT = "semanir-shipped"


@dataclass(frozen=True)
class Published:
    """A shipped model in the registry. new: whether this call made the version."""

    name: str
    version: int
    new: bool


def publish(task: str, models: Path = MODELS) -> Published:
    """Register ``shipped:<task>`` as a version of ``semanir-<task>`` with the alias ``shipped``; once per weights.

    Killed or left without an answer at any request, the same call ends what was begun.

    Raises:
        UserError: no such model comes with the package, or the MLflow server is not set or does not answer.
        AlteredModelError: the model does not reproduce its probe.
    """
    folder = locate(f"{SCHEME}{task}", models)
    client = connect()
    name, weights = registered_name(task), sealed.file_digest(folder / sealed.WEIGHTS_FILE)
    identity = {SOURCE_TAG: SHIPPED, WEIGHTS_TAG: weights}
    version = only_version(client, name, identity)
    made = version is None
    if version is None:
        _create_version(client, name, folder, weights)
        # Looked up, not returned: the server may have made two of a request that was sent twice.
        version = only_version(client, name, identity)
        assert version is not None
    client.set_registered_model_alias(name, SHIPPED, str(version.version))
    return Published(name, int(version.version), made)


def _create_version(client: MlflowClient, name: str, source: Path, weights: str) -> None:
    provenance = read_provenance(source)
    card = ShippedCard(provenance)
    tags = {
        SOURCE_TAG: SHIPPED, "task": provenance.task, WEIGHTS_TAG: weights, "git_commit": provenance.git_commit,
        "data_fingerprint": provenance.data_fingerprint,
    }  # fmt: skip
    run_id = _run(client, name, weights)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / ARTIFACT
        seal(source, TASKS[provenance.task], card, folder)  # anew: a registered model carries its code
        k = sealed.read_task(folder)["k"]
        model_id = log_model(client, name, folder, tags=tags, metrics={}, steps=provenance.steps, run_id=run_id)
    ensure_model(client, name, provenance.task)
    client.create_model_version(
        name=name, source=f"models:/{model_id}", run_id=run_id, model_id=model_id,
        tags={**tags, "setting": card.setting, "k": str(k)},
        description=within_description(card.to_markdown(k)),
    )  # fmt: skip
    client.set_terminated(run_id, "FINISHED")


def _run(client: MlflowClient, name: str, weights: str) -> str:
    """The run that a shipped model's files belong to: found again by the weights' digest."""
    import mlflow

    experiment = mlflow.set_experiment(EXPERIMENT).experiment_id
    known = client.search_runs(
        [experiment], f"tags.{WEIGHTS_TAG} = '{weights}'", order_by=["attributes.start_time ASC"]
    )
    if known:
        return str(known[0].info.run_id)
    run = client.create_run(experiment, run_name=name, tags={**made_by(), SOURCE_TAG: SHIPPED, WEIGHTS_TAG: weights})
    return str(run.info.run_id)
