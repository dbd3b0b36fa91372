"""Is the metric right? Methods without a model have published figures too; they must come out the same.

``calibration_references.csv`` holds them with their sources, and the short list of known differences: rows with an
``explanation`` carry the figure that is expected instead, so they are checked as strictly.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pipeline.config import parse_override
from pipeline.data.manifest import MANIFEST_NAME
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.errors import UserError
from pipeline.evaluation.published import plain
from pipeline.scoring.plan import Plan, make_plan
from pipeline.scoring.record import Mean
from pipeline.storage import open_storage
from pipeline.tasks import TASKS

PSNR_TOLERANCE = 0.03  # dB
SSIM_TOLERANCE = 0.002
ROUNDING = 1e-9  # 0.03 dB itself is allowed, whatever binary fractions make of it


@dataclass(frozen=True)
class Reference:
    """A published figure of a baseline. SSIM (valid windows) is None where none is printed."""

    task: str
    dataset: str
    setting: str
    baseline: str
    psnr_db: float
    ssim: float | None
    source: str
    explained_psnr_db: float | None
    explained_ssim: float | None
    explanation: str

    def settings(self) -> dict[str, Any]:
        """The task's knobs, as a person would give them with ``--set``."""
        return parse_override(self.setting) if self.setting else {}


@dataclass(frozen=True)
class Check:
    """A reference beside what was measured."""

    reference: Reference
    mean: Mean

    @property
    def verdict(self) -> str:
        """ "agrees", "explained" or "DIFFERS"."""
        reference, mean = self.reference, self.mean
        if _near(mean, reference.psnr_db, reference.ssim):
            return "agrees"
        if reference.explained_psnr_db is not None:
            expected_ssim = reference.ssim if reference.explained_ssim is None else reference.explained_ssim
            if _near(mean, reference.explained_psnr_db, expected_ssim):
                return "explained"
        return "DIFFERS"


def load_references() -> list[Reference]:
    """All rows of the committed file."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    with files("pipeline.evaluation").joinpath("calibration_references.csv").open(encoding="utf-8") as file:
        return [
            Reference(
                row["task"], row["dataset"], row["setting"], row["baseline"], float(row["psnr_db"]),
                number(row["ssim"]), row["source"], number(row["explained_psnr_db"]), number(row["explained_ssim"]),
                row["explanation"],
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def plan_calibration(sets: Sequence[str], output: str) -> list[tuple[Reference, Plan]]:
    """What to measure on the sets at hand: packed ones, or folders of images, which are packed below ``output``.

    A set is known by the last part of its address. Sets without a reference are left out.

    Raises:
        UserError: no set has a reference, or a folder is missing, empty or holds an image that cannot be read.
    """
    names = {plain(uri.rstrip("/").rpartition("/")[2]): uri for uri in sets}
    references = [reference for reference in load_references() if plain(reference.dataset) in names]
    if not references:
        known = ", ".join(sorted({reference.dataset for reference in load_references()}))
        raise UserError(f"no published figures for {', '.join(sets) or 'no set'}; sets are known by name: {known}")
    packed = {plain(reference.dataset): "" for reference in references}
    for name in packed:
        packed[name] = _packed(names[name], f"{output.rstrip('/')}/sets/{name}")
    return [
        (
            reference,
            make_plan(
                task=TASKS[reference.task],
                setting=reference.settings(),
                images=packed[plain(reference.dataset)],
                dataset=reference.dataset,
                baselines=(reference.baseline,),
            ),
        )
        for reference in references
    ]


def calibration_table(checks: Sequence[Check]) -> str:
    """Markdown: figures, differences and verdicts, then explanations and sources."""
    lines = [
        "| task | set | setting | baseline | images | PSNR published | measured | SSIM published | measured | |",
        "|---|---|---|---|---:|---:|---:|---:|---:|---|",
    ]
    notes: dict[str, None] = {}
    for check in checks:
        reference, mean = check.reference, check.mean
        ssim = "" if reference.ssim is None else f"{reference.ssim:.4f}"
        lines.append(
            f"| {reference.task} | {reference.dataset} | {reference.setting} | {reference.baseline} | {mean.images} "
            f"| {reference.psnr_db:.2f} | {mean.psnr_db:.2f} | {ssim} | {mean.values['ssim_valid']:.4f} "
            f"| {check.verdict} |"
        )
        if check.verdict == "explained":
            notes[f"- {reference.task}, {reference.dataset}: {reference.explanation}."] = None
        notes[f"- {reference.dataset}, {reference.baseline}: {reference.source}."] = None
    rule = f"Allowed: {PSNR_TOLERANCE} dB, {SSIM_TOLERANCE} SSIM (valid windows)."
    return "\n".join([*lines, "", rule, "", *notes, ""])


def failures(checks: Sequence[Check]) -> list[str]:
    """One line per check that neither agrees nor is explained."""
    return [
        f"{reference.task} {reference.setting} on {reference.dataset}: PSNR {check.mean.psnr_db:.3f}, "
        f"published {reference.psnr_db:.2f}; SSIM {check.mean.values['ssim_valid']:.4f}, published {reference.ssim}"
        for check in checks
        for reference in (check.reference,)
        if check.verdict == "DIFFERS"
    ]


def check_all(planned: Sequence[tuple[Reference, Plan]], measured: Mapping[str, Sequence[Mean]]) -> list[Check]:
    """Put each reference beside its mean; ``measured`` is by the plan's fingerprint."""
    return [
        Check(reference, next(mean for mean in measured[plan.fingerprint()] if mean.method == reference.baseline))
        for reference, plan in planned
    ]


def _near(mean: Mean, psnr_db: float, ssim: float | None) -> bool:
    psnr_agrees = abs(mean.psnr_db - psnr_db) <= PSNR_TOLERANCE + ROUNDING
    return psnr_agrees and (ssim is None or abs(mean.values["ssim_valid"] - ssim) <= SSIM_TOLERANCE + ROUNDING)


def _packed(uri: str, output: str) -> str:
    """The set itself when it is packed, else its images' own bytes packed at ``output``."""
    if open_storage(uri).exists(MANIFEST_NAME):
        return uri
    settings = PackSettings(codec="original", max_skipped_share=0)
    pack_dataset(folder_sources(uri), output, settings)
    return output
