"""The two things that the job does: evaluate a model or a baseline, and calibrate the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from pipeline.config import deep_merge, parse_override
from pipeline.errors import UserError
from pipeline.evaluation.calibration import calibration_table, check_all, failures, plan_calibration
from pipeline.evaluation.measure import run_plan
from pipeline.evaluation.model_source import ModelSource, open_model
from pipeline.evaluation.output_files import copy_to, key_maps_picture, write_results
from pipeline.evaluation.progress_bar import show
from pipeline.evaluation.summary import table
from pipeline.metrics.lpips import LpipsWeights, read_lpips
from pipeline.registry.client import check_tracking_server, tracking_uri
from pipeline.registry.evaluation_run import log_evaluation
from pipeline.scoring.evaluator import Mapper, supply
from pipeline.scoring.plan import Plan, describe_setting, make_plan
from pipeline.scoring.protocol import BENCHMARK
from pipeline.scoring.record import Mean, means
from pipeline.storage import check_access, open_storage
from pipeline.tasks import TASKS, resolve_tasks
from semanir.tiling import DEFAULT_OVERLAP

ALL_BASELINES = "baselines"


@dataclass(frozen=True)
class Where:
    """Where images are measured: ``mapper`` gives the jobs to workers, on Ray or here."""

    mapper: Mapper
    on_ray: bool
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked for. model: an address, the name of a baseline, or "baselines" for all of the task's.

    key_maps: (image's number, row, column), or None. lpips: address of LPIPS's weights, None to leave it out.
    protocol: by whose rules it is measured, a name of ``scoring.protocol.PROTOCOLS``.
    experiment: MLflow's, None to log nothing there.
    """

    model: str
    images: str
    output: str
    task: str | None = None
    overrides: tuple[str, ...] = ()
    dataset: str | None = None
    ks: tuple[int, ...] = ()
    tile: int | None = None
    overlap: int = DEFAULT_OVERLAP
    self_ensemble: bool = False
    pictures: int = 4
    key_maps: tuple[int, int, int] | None = None
    lpips: str | None = None
    protocol: str = BENCHMARK
    experiment: str | None = None


def evaluate_model(request: Request, where: Where, console: Console) -> str:
    """Measure, write the results, log them; returns the table.

    Raises:
        UserError: bad input, found before any image is measured where that is possible.
        AlteredModelError: the model is not what was registered.
    """
    check_access(request.output)
    source = open_registry(request)
    perceptual = None if request.lpips is None else read_lpips(request.lpips)
    plan = plan_request(request, source, perceptual)
    extra = {} if request.key_maps is None else dict([_key_maps(request.key_maps, plan, source)])
    output = open_storage(request.output)
    console.print(plan.describe(), highlight=False, markup=False)
    weights = supply(source.weights if source else None, where.on_ray)
    metric = supply(perceptual, where.on_ray)
    with show(console, "evaluating", plan.num_images) as progress:
        scores = run_plan(plan, weights, output, where.mapper, device=where.device, lpips=metric, progress=progress)
    found, name = means(scores), source.uri if source else ""
    for key, picture in extra.items():
        output.write(key, picture)
    keys = write_results(plan, scores, found, name, output) + list(extra)
    if request.experiment is not None:
        with TemporaryDirectory() as folder:
            copy_to(Path(folder), output, keys)
            run_id = _log(request.experiment, plan, found, source, Path(folder))
        console.print(f"MLflow run {run_id} in experiment {request.experiment}", highlight=False, markup=False)
    return table(plan, found, name)


def open_registry(request: Request) -> ModelSource | None:
    """What the registry gives: an answer, if the results are to go there, and the model, unless it is a baseline."""
    if request.experiment is not None:
        check_tracking_server(tracking_uri())
    return None if is_baseline(request.model) else open_model(request.model)


def plan_request(request: Request, source: ModelSource | None, lpips: LpipsWeights | None = None) -> Plan:
    """The plan of a request whose model and metric were opened. Raises UserError as ``make_plan``."""
    name = request.task or (source.task if source else None)
    if name is None:
        raise UserError(f"which task? {request.model} does not say: give --task, one of {', '.join(TASKS)}")
    setting: dict[str, Any] = reduce(deep_merge, map(parse_override, request.overrides), {})
    return make_plan(
        task=resolve_tasks([name])[0],
        setting=setting,
        images=request.images,
        dataset=request.dataset,
        config=source.config if source else None,
        weights=source.weights.digest if source else "",
        ks=request.ks,
        baselines=(request.model,) if is_baseline(request.model) and request.model != ALL_BASELINES else None,
        tile=request.tile,
        overlap=request.overlap,
        self_ensemble=request.self_ensemble,
        pictures=request.pictures,
        lpips=lpips,
        protocol=request.protocol,
    )


def calibrate(sets: Sequence[str], output: str, where: Where, console: Console) -> tuple[str, list[str]]:
    """Measure the model-free baselines on the sets at hand; returns the table and a line per unexplained difference."""
    check_access(output)
    planned = plan_calibration(sets, output)
    measured: dict[str, list[Mean]] = {}
    total = sum(plan.num_images for _, plan in planned)
    before = 0
    with show(console, "calibrating", total) as progress:
        for _, plan in planned:
            place = open_storage(f"{output.rstrip('/')}/runs/{plan.dataset}-{plan.task}-{plan.fingerprint()}")
            measured[plan.fingerprint()] = means(
                run_plan(plan, None, place, where.mapper, progress=partial(shifted, progress, before))
            )
            before += plan.num_images
    checks = check_all(planned, measured)
    text = calibration_table(checks)
    open_storage(output).write("calibration.md", text.encode())
    return text, failures(checks)


def _key_maps(chosen: tuple[int, int, int], plan: Plan, source: ModelSource | None) -> tuple[str, bytes]:
    if source is None:
        raise UserError("key maps need a model; a baseline has no keys")
    return key_maps_picture(plan, source.weights, chosen[0], chosen[1:])


def shifted(progress: Callable[[int], None], before: int, done: int) -> None:
    """Report ``done`` after the ``before`` images of earlier plans."""
    progress(before + done)


def is_baseline(model: str) -> bool:
    """Whether a person named a classical method, or all of them."""
    return model == ALL_BASELINES or any(model in task.baselines for task in TASKS.values())


def _log(experiment: str, plan: Plan, found: Sequence[Mean], source: ModelSource | None, folder: Path) -> str:
    setting = describe_setting(plan.resolved_setting)
    return log_evaluation(
        experiment=experiment,
        fingerprint=plan.fingerprint(),
        title=f"evaluate {plan.task} on {plan.dataset}",
        params={
            "model": source.uri if source else ",".join(plan.baselines),
            "task": plan.task,
            "dataset": plan.dataset,
            "images": plan.images,
            "num_images": str(plan.num_images),
            "protocol": plan.describe(),
            "seed": str(plan.seed),
            "self_ensemble": str(plan.self_ensemble),
            **({"lpips_weights": plan.lpips} if plan.lpips else {}),
            **{f"setting.{name}": value for name, value in setting.items()},
        },
        means=found,
        dataset=plan.dataset,
        dataset_digest=plan.images_digest,
        images=plan.images,
        num_images=plan.num_images,
        folder=folder,
        model=source.located if source else None,
    )
