"""The table a person reads: every method's means, beside the published rows."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.all_in_one import SOURCE as ALL_IN_ONE_SOURCE
from pipeline.evaluation.all_in_one import AllInOneRow, all_in_one_rows
from pipeline.evaluation.published import SOURCE, published_rows
from pipeline.metrics.catalog import METRICS
from pipeline.scoring.plan import Plan, describe_setting
from pipeline.scoring.protocol import ALL_IN_ONE
from pipeline.scoring.record import MOST_DB, RESTORED, Mean


def table(plan: Plan, found: Sequence[Mean], model: str) -> str:
    """Markdown: what was measured, then the published rows of the same task, setting and set."""
    names = [name for name in METRICS if any(name in mean.values for mean in found)]
    head = ["method", *(METRICS[name].heading.format(backbone=plan.lpips_backbone) for name in names)]
    lines = [f"{plan.describe()}. Model: {model or 'none'}.", "", *_rule(head)]
    for mean in found:
        figures = [f"{mean.values[name]:.{METRICS[name].digits}f}" if name in mean.values else "" for name in names]
        lines.append(_line([mean.label, *figures]))
    capped = ", ".join(f"{mean.capped} of {mean.label}" for mean in found if mean.capped)
    if capped:
        lines += ["", f"An image counts {MOST_DB:g} dB at most, also one equal to the truth; so counted: {capped}."]
    lines += ["", *_published(plan)]
    return "\n".join([*lines, ""])


def _published(plan: Plan) -> list[str]:
    """The rows of the plan's own protocol, never of another."""
    setting = describe_setting(plan.resolved_setting)
    if plan.protocol == ALL_IN_ONE:
        return _all_in_one(all_in_one_rows(setting, plan.dataset, plan.paired), plan)
    published = published_rows(plan.task, setting, plan.dataset, plan.paired)
    if not published:
        return [f"No published rows for {plan.task} at this setting on {plan.dataset}."]
    lines = _rule(["published", "PSNR (dB)", "SSIM (window as in its paper)", "parameters (M)"])
    for row in published:
        lines.append(_line([row.method, f"{row.psnr_db:.2f}", _number(row.ssim, ".4f"), _number(row.params_m, "g")]))
    return [*lines, "", f"Published figures: {SOURCE}."]


def _all_in_one(rows: Sequence[AllInOneRow], plan: Plan) -> list[str]:
    if not rows:
        return [f"No published all-in-one rows at this setting on {plan.dataset}."]
    lines = _rule(
        ["published, all in one", "degradations", "PSNR (dB)", "SSIM (as in its paper)", "parameters (M)", ""]
    )
    for row in rows:
        figures = [f"{row.psnr_db:.2f}", _number(row.ssim, ".3f"), _number(row.params_m, "g")]
        lines.append(_line([row.method, row.degradations, *figures, row.doubt]))
    return [*lines, "", f"Published figures: {ALL_IN_ONE_SOURCE}."]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def curve(found: Sequence[Mean]) -> list[tuple[int, float]]:
    """(k, mean PSNR in dB) of the model, rising in k."""
    return sorted((mean.k, mean.psnr_db) for mean in found if mean.method == RESTORED and mean.k is not None)


def _rule(head: Sequence[str]) -> list[str]:
    return [_line(head), _line(["---", *("---:" for _ in head[1:])])]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
