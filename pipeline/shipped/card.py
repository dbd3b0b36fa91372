"""The card of a shipped model, written from its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.shipped.provenance import HarmPoint, Provenance
from pipeline.wording import counted

# The aims of a model that harms no picture; a card says itself where one is missed.
LEAST_MEAN_CHANGE_DB, LEAST_CHANGE_DB, CLEAN_DB = -0.05, -0.3, 45.0


@dataclass(frozen=True)
class ShippedCard:
    """What ``pipeline.registry.seal`` asks of a card."""

    provenance: Provenance

    @property
    def setting(self) -> str:
        return self.provenance.setting

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        return self.provenance.bounds

    @property
    def protocol(self) -> str:
        return self.provenance.harm_protocol

    def to_markdown(self, k: int) -> str:
        """The whole card."""
        p = self.provenance
        share = f"{p.steps / p.recipe_steps:.0%} of the recipe's {p.recipe_steps}"
        lines = [
            f"# SemanIR, {p.task}, as shipped",
            f"Restores: {p.setting}. Keys per token: k = {k} unless the caller asks otherwise.",
            "## What it does to pictures",
            p.harm_protocol,
            "",
            "| degradation | strength | input (dB) | restored (dB) | mean change | worst picture |",
            "|---|---|---|---|---|---|",
            *(_row(point) for point in p.harm),
            "",
            *(f"- {line}" for line in missed(p.harm)),
            *_caution(p.caution),
            "## Training",
            f"{p.steps} steps ({share}) of {p.batch} patches of {p.patch} x {p.patch} pixels: {p.hours:.2g} hours of "
            f"{p.machine}; resumed {counted(p.resumed, 'time')}."
            + (f" It started from {p.started_from}." if p.started_from else " It started from random weights."),
            "",
            f"    {p.command}",
            "",
            f"Recipe {p.recipe}"
            + (f", but for {', '.join(f'`{override}`' for override in p.overrides)}" if p.overrides else "")
            + f". Data {p.data_fingerprint}, code {p.git_commit}.",
            "## Limits",
            *(f"- {limit}" for limit in p.limits),
            "## Photographs",
            "| file | author | license | source |",
            "|---|---|---|---|",
            *(f"| {photo.file} | {photo.author} | {photo.license} | {photo.source} |" for photo in p.photographs),
            "## License",
            f"{p.license}. {p.license_reason}",
        ]
        return "\n".join(lines) + "\n"


def missed(points: tuple[HarmPoint, ...]) -> list[str]:
    """Where the figures fall short of a model that harms nothing, one line each."""
    lines = []
    for point in points:
        where = f"{point.degradation} {point.strength:g}"
        if point.mean_change is None:
            if point.restored_db < CLEAN_DB:
                lines.append(f"Missed: clean pictures are kept at {point.restored_db:.1f} dB, aim {CLEAN_DB:g}.")
        elif point.mean_change < LEAST_MEAN_CHANGE_DB:
            lines.append(f"Missed: {where} changes by {point.mean_change:+.2f} dB, aim {LEAST_MEAN_CHANGE_DB:+g}.")
        elif point.worst_change is not None and point.worst_change < LEAST_CHANGE_DB:
            lines.append(f"Missed: {where} harms a picture by {point.worst_change:+.2f} dB, aim {LEAST_CHANGE_DB:+g}.")
    return lines or ["No aim is missed: nothing above is harmed by more than the aims allow."]


def _caution(caution: tuple[float, float, float] | None) -> list[str]:
    if caution is None:
        return []
    share, low, high = caution
    return [
        f"- With caution: where the picture around a pixel would change by {low:g} of 255 levels or less (root mean "
        f"square), {share:.0%} of the change is made, all of it from {high:g} on (`semanir/caution.py`)."
    ]


def _row(point: HarmPoint) -> str:
    before = "–" if point.input_db is None else f"{point.input_db:.2f}"
    mean = "–" if point.mean_change is None else f"{point.mean_change:+.2f}"
    worst = "–" if point.worst_change is None else f"{point.worst_change:+.2f}"
    return f"| {point.degradation} | {point.strength:g} | {before} | {point.restored_db:.2f} | {mean} | {worst} |"
