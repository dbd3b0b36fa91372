"""Where a shipped model comes from: photographs, command, time, and what it does to pictures at every strength."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.settings.base import Settings

PROVENANCE_FILE = "provenance.json"


class PhotographCredit(Settings):
    """One picture that a model learned from."""

    file: str
    author: str
    license: str = Field(description="SPDX identifier, or 'public domain'")
    source: str = Field(description="package that holds it")


class HarmPoint(Settings):
    """What restoring does to a set of pictures at one strength of one degradation, PSNR in dB."""

    degradation: str
    strength: float
    input_db: float | None = Field(description="None: the pictures are clean, their PSNR has no end")
    restored_db: float
    mean_change: float | None
    worst_change: float | None = Field(description="of the picture that gained least")


class Provenance(Settings):
    """All that a stranger needs to judge a shipped model."""

    task: str
    setting: str = Field(description="what it restores, in words")
    bounds: dict[str, tuple[float, float]] = Field(description="sigma (8-bit gray levels), quality (JPEG factor)")
    recipe: str = Field(description="file under jobs/configs")
    command: str
    overrides: tuple[str, ...] = Field(description="--set values that differ from the recipe")
    started_from: str | None = None
    steps: Annotated[int, Field(ge=1)]
    recipe_steps: Annotated[int, Field(ge=1)] = Field(description="the steps that the recipe asks for")
    batch: Annotated[int, Field(ge=1)]
    patch: Annotated[int, Field(ge=1)]
    hours: Annotated[float, Field(ge=0)] = Field(description="of wall-clock time, on the machine named below")
    machine: str
    resumed: Annotated[int, Field(ge=0)] = 0
    git_commit: str
    data_fingerprint: str
    photographs: Annotated[tuple[PhotographCredit, ...], Field(min_length=1)]
    caution: tuple[float, float, float] | None = Field(
        default=None, description="semanir.caution.Caution: set after training, which would learn to overcome it"
    )
    license: str = "Apache-2.0"
    license_reason: str
    harm_protocol: str
    harm: tuple[HarmPoint, ...]
    limits: tuple[str, ...]
