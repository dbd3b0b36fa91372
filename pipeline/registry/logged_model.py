"""A sealed model as MLflow's logged model: a pyfunc made from code, its signature and pinned requirements."""

from __future__ import annotations

import importlib.metadata
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.registry import sealed
from pipeline.registry.client import quiet_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

ARTIFACT = "model"
WEIGHTS_TAG = "weights_sha256"
# MLflow hands a model made from code over through a global variable: two threads could swap theirs.
_MLFLOW_SAVING = threading.Lock()


def log_model(
    client: MlflowClient, name: str, folder: Path, *, tags: dict[str, str], metrics: dict[str, float], steps: int,
    run_id: str, measured_on: tuple[str, str] | None = None,
) -> str:  # fmt: skip
    """Save the sealed ``folder`` as a pyfunc, check that it loads and predicts, and log it to the run; returns its id.

    tags: of the logged model, ``WEIGHTS_TAG`` among them: a run logs one model of the same weights, however often it
    is asked, and ends what was begun. steps: that the model was trained. measured_on: name and digest, in MLflow, of
    the data set that the metrics are of.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput, Metric

    task, weights = sealed.read_task(folder), tags[WEIGHTS_TAG]
    example = np.full((1, 16, 16, task["observed_channels"]), 128, np.uint8)
    experiment = client.get_run(run_id).info.experiment_id
    model = _only_logged_model(client, experiment, run_id, weights)
    if model is None:
        client.create_logged_model(
            experiment_id=experiment,
            name=name,
            source_run_id=run_id,
            params={"k": str(task["k"])},
            tags=tags,
            model_type="image-restoration",
        )
        model = _only_logged_model(client, experiment, run_id, weights)
        assert model is not None
    if model.status == "READY":  # set last: all of it is there
        return str(model.model_id)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pyfunc"
        with _MLFLOW_SAVING, quiet_mlflow():
            mlflow.pyfunc.save_model(
                path,
                mlflow_model=mlflow.models.Model(
                    artifact_path=model.artifact_location,
                    run_id=run_id,
                    model_uuid=model.model_id,
                    model_id=model.model_id,
                ),
                python_model=str(Path(__file__).with_name("served_model.py")),
                artifacts={ARTIFACT: str(folder)},
                model_config={"device": "auto"},
                signature=signature(task),
                input_example=example,
                pip_requirements=requirements(),
            )
            # Loading verifies digests and probe, as it will at a stranger's.
            mlflow.pyfunc.load_model(str(path), model_config={"device": "cpu"}).predict(example)
        client.log_model_artifacts(model.model_id, str(path))
    outputs = client.get_run(run_id).outputs
    if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
        # MLflow refuses to be told of one twice, for good: this may be the second attempt.
        client.log_outputs(run_id, models=[LoggedModelOutput(model.model_id, step=steps)])
    now = model.creation_timestamp
    dataset, digest = measured_on or (None, None)
    figures = [
        Metric(key, value, now, steps, model_id=model.model_id, dataset_name=dataset, dataset_digest=digest)
        for key, value in metrics.items()
    ]
    client.log_batch(run_id, metrics=figures)
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _only_logged_model(client: MlflowClient, experiment: str, run_id: str, weights: str) -> LoggedModel | None:
    """The logged model of a run's weights, the one that is whole if any is; others of them go."""
    found: list[LoggedModel] = [
        model
        for model in client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
        if model.tags.get(WEIGHTS_TAG) == weights
    ]
    found.sort(key=lambda model: (model.status != "READY", model.creation_timestamp, model.model_id))
    for model in found[1:]:
        client.delete_logged_model(model.model_id)
    return found[0] if found else None


def signature(task: dict[str, Any]) -> ModelSignature:
    """uint8 (N, H, W, C) to uint8 (N, H', W', C_out), any N, H and W; parameters k, tile, overlap."""
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    same = task["observed_channels"] == task["input_channels"]
    channels = task["input_channels"] if same else -1  # a mosaic has one channel, its demosaicked image three
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1, channels))]),
        outputs=Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1, task["output_channels"]))]),
        params=ParamSchema([ParamSpec(key, DataType.long, task[key]) for key in ("k", "tile", "overlap")]),
    )


def requirements() -> list[str]:
    """The pinned packages that a registered model needs; a local build's suffix (+cpu) is dropped."""
    packages = ("mlflow", "torch", "numpy", "safetensors")
    return [f"{package}=={importlib.metadata.version(package).partition('+')[0]}" for package in packages]
