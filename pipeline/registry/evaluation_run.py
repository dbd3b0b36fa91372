"""An evaluation as an MLflow run: its files, and its figures linked to the model version they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.registry.client import METRICS_PER_REQUEST, connect, made_by
from pipeline.registry.lineage import measured_input
from pipeline.registry.pull import Located
from pipeline.scoring.record import Mean

EVALUATION_TAG = "semanir.evaluation"


def log_evaluation(
    *, experiment: str, fingerprint: str, title: str, params: Mapping[str, str], means: Sequence[Mean],
    dataset: str, dataset_digest: str, images: str, num_images: int, folder: Path, model: Located | None,
) -> str:  # fmt: skip
    """Log an evaluation and all files in ``folder``; returns the run's id.

    dataset, dataset_digest, images, num_images: name and digest of the images, where they lie, and how many they are:
    what the run's page shows as its input.

    The same evaluation (by ``fingerprint`` and model) is logged into the same run again. MLflow keeps a run's params as
    they were first: one that differs now (the same images at another address) becomes a tag, ``last_<param>``. Figures
    of a model become metrics of its logged model too, with the set's name and digest, and a registered version gets a
    tag ``evaluated_<fingerprint>`` that names the run.

    Raises:
        UserError: MLFLOW_TRACKING_URI is not set, or no server answers there.
    """
    client = connect()
    import mlflow
    from mlflow.entities import LoggedModelInput, Metric, Param

    experiment_id = mlflow.set_experiment(experiment).experiment_id
    mark = fingerprint if model is None else f"{fingerprint}-{model.model_id}"
    known = client.search_runs([experiment_id], filter_string=f"tags.`{EVALUATION_TAG}` = '{mark}'", max_results=1)
    if known:
        run = known[0]
        client.update_run(run.info.run_id, status="RUNNING")
    else:
        tags = {**made_by(), EVALUATION_TAG: mark, "dataset": dataset}
        run = client.create_run(experiment_id, run_name=title, tags=tags)
    run_id, now = str(run.info.run_id), int(run.info.start_time)
    model_id = None if model is None else model.model_id
    measured = measured_input(dataset, dataset_digest, images, num_images)
    metrics = [
        # A model's figures are logged with k, its number of kept keys, as MLflow's step. A baseline has no k: its
        # name stands before its figures' names.
        Metric(
            name if mean.k is not None else f"{mean.method}_{name}", value, now, mean.k or 0,
            model_id=model_id if mean.k is not None else None, dataset_name=dataset,
            dataset_digest=measured.dataset.digest,
        )
        for mean in means
        for name, value in mean.values.items()
    ]  # fmt: skip
    first = run.data.params
    client.log_batch(run_id, params=[Param(key, value) for key, value in params.items() if key not in first])
    for key, value in params.items():
        if first.get(key, value) != value:
            client.set_tag(run_id, f"last_{key}", value)
    for start in range(0, len(metrics), METRICS_PER_REQUEST):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_REQUEST])
    client.log_inputs(run_id, datasets=[measured], models=None if model_id is None else [LoggedModelInput(model_id)])
    client.log_artifacts(run_id, str(folder))
    if model is not None and model.name is not None:
        client.set_model_version_tag(model.name, str(model.version), f"evaluated_{fingerprint}", run_id)
    client.set_terminated(run_id, "FINISHED")
    return run_id
