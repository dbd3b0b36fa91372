"""``--harm``: one set restored over the whole range of a task's strength, nothing wrong included."""

from __future__ import annotations

import io
from dataclasses import asdict
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from pipeline.errors import UserError
from pipeline.evaluation.command import Request, Where, open_registry, plan_request, shifted
from pipeline.evaluation.measure import run_plan
from pipeline.evaluation.plots import draw_harm
from pipeline.evaluation.progress_bar import show
from pipeline.registry.harm_tag import tag_harm
from pipeline.scoring.evaluator import supply
from pipeline.scoring.harm import Harm, harm_point
from pipeline.scoring.plan import Plan
from pipeline.scoring.strengths import strength_plans
from pipeline.storage import check_access, open_storage
from pipeline.wording import counted


def plan_harm(request: Request, plan: Plan) -> list[tuple[str, Plan]]:
    """One plan per strength, mildest first. plan: of the request, whose own settings stay where no strength sets them.

    Raises:
        UserError: the task has one strength only, the set's degradations are real, or several k are asked for.
    """
    task = plan.resolved_task
    if not task.strengths:
        raise UserError(f"{task.name} has no strength to vary, so --harm says nothing about it; leave it out")
    if plan.paired:
        raise UserError(f"{request.images} holds real pairs, whose strength cannot be varied; give --harm clean images")
    if len(plan.ks) != 1:
        raise UserError(f"--harm draws one curve: give one --k, not {', '.join(map(str, plan.ks)) or 'none'}")
    return strength_plans(plan)


def evaluate_harm(request: Request, where: Where, console: Console) -> str:
    """Measure, write table, Parquet and drawing, tag the registered version; returns the table.

    Each strength is an evaluation of its own in ``strengths/``, so a killed run continues. Raises UserError and
    AlteredModelError as ``evaluate_model``.
    """
    check_access(request.output)
    source = open_registry(request)
    if source is None:
        raise UserError(f"--harm measures a model; {request.model} is a baseline")
    plans = plan_harm(request, plan_request(request, source))
    output = open_storage(request.output)
    weights, first = supply(source.weights, where.on_ray), plans[0][1]
    points = []
    with show(console, "evaluating", len(plans) * first.num_images) as progress:
        for number, (label, plan) in enumerate(plans):
            place = open_storage(f"{request.output.rstrip('/')}/strengths/{number:02d}")
            before = number * plan.num_images
            scores = run_plan(
                plan, weights, place, where.mapper, device=where.device, progress=partial(shifted, progress, before)
            )
            points.append(harm_point(label, scores, plan.baselines[0]))
    harm = Harm(first.set_name, tuple(points))
    title = f"{first.resolved_task.title}; {counted(first.num_images, 'image')} of {first.dataset}, k = {first.ks[0]}"
    text = "\n".join([f"{title}. Model: {source.uri}.", "", *harm.describe(), ""])
    output.write("harm.md", text.encode())
    output.write("harm.json", harm.encode().encode())
    output.write("harm.parquet", _parquet(harm))
    output.write("harm.png", draw_harm(harm, title))
    if request.experiment is not None and (located := source.located) and located.name and located.version:
        tag_harm(located.name, located.version, harm)
        console.print(f"{source.uri} carries the curve", highlight=False, markup=False)
    return text


def _parquet(harm: Harm) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pylist([asdict(point) for point in harm.points])
    pq.write_table(table.replace_schema_metadata({"images": harm.images}), sink)
    return sink.getvalue()
