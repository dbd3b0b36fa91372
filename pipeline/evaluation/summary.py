"""Per-image figures to the table a person reads, beside the published rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.plan import Plan, describe_setting
from pipeline.evaluation.published import SOURCE, published_rows
from pipeline.evaluation.rows import RESTORED, Row


@dataclass(frozen=True)
class Mean:
    """Means of one method over all images; dB for PSNR, None for what was not measured."""

    method: str
    k: int | None
    images: int
    psnr_db: float
    ssim_valid: float
    ssim_same: float
    psnr_b_db: float | None
    lpips: float | None = None

    @property
    def label(self) -> str:
        """The method, with its k."""
        return self.method if self.k is None else f"{self.method}, k = {self.k}"


def means(rows: Sequence[Row]) -> list[Mean]:
    """One entry per method and k, in the order of the first image's rows.

    Sums run in the order of the images, so neither the number of workers nor who was first shows in any digit.
    """
    ordered = sorted(rows, key=lambda row: row.index)
    groups: dict[tuple[str, int | None], list[Row]] = {}
    for row in ordered:
        groups.setdefault((row.method, row.k), []).append(row)
    return [
        Mean(
            method=method,
            k=k,
            images=len(group),
            psnr_db=_mean([row.psnr_db for row in group]),
            ssim_valid=_mean([row.ssim_valid for row in group]),
            ssim_same=_mean([row.ssim_same for row in group]),
            psnr_b_db=_mean_or_none([row.psnr_b_db for row in group]),
            lpips=_mean_or_none([row.lpips for row in group]),
        )
        for (method, k), group in groups.items()
    ]


def table(plan: Plan, found: Sequence[Mean], model: str) -> str:
    """Markdown: what was measured, then the published rows of the same task, setting and set."""
    blocking = plan.resolved_task.convention.blocking
    head = ["method", "PSNR (dB)", "SSIM (valid)", "SSIM (same)", *(["PSNR-B (dB)"] if blocking else [])]
    head += [f"LPIPS ({plan.lpips_backbone})"] if plan.lpips else []
    lines = [f"{plan.describe()}. Model: {model or 'none'}.", "", *_rule(head)]
    for mean in found:
        cells = [mean.label, f"{mean.psnr_db:.2f}", f"{mean.ssim_valid:.4f}", f"{mean.ssim_same:.4f}"]
        cells += [f"{mean.psnr_b_db:.2f}"] if mean.psnr_b_db is not None else []
        lines.append(_line([*cells, *([f"{mean.lpips:.4f}"] if mean.lpips is not None else [])]))
    published = published_rows(plan.task, describe_setting(plan.resolved_setting), plan.dataset, plan.paired)
    if not published:
        return "\n".join([*lines, "", f"No published rows for {plan.task} at this setting on {plan.dataset}.", ""])
    lines += ["", *_rule(["published", "PSNR (dB)", "SSIM (window as in its paper)", "parameters (M)"])]
    for row in published:
        ssim = "" if row.ssim is None else f"{row.ssim:.4f}"
        size = "" if row.params_m is None else f"{row.params_m:g}"
        lines.append(_line([row.method, f"{row.psnr_db:.2f}", ssim, size]))
    return "\n".join([*lines, "", f"Published figures: {SOURCE}.", ""])


def curve(found: Sequence[Mean]) -> list[tuple[int, float]]:
    """(k, mean PSNR in dB) of the model, rising in k."""
    return sorted((mean.k, mean.psnr_db) for mean in found if mean.method == RESTORED and mean.k is not None)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return _mean(present) if present else None


def _rule(head: Sequence[str]) -> list[str]:
    return [_line(head), _line(["---", *("---:" for _ in head[1:])])]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
