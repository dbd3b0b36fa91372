"""When training leaves a step out, as a person sets it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.fingerprint import deviations
from pipeline.settings.base import Settings


class SpikeSettings(Settings):
    """When a step with a finite loss is left out (the rule: pipeline.training.spikes)."""

    threshold: float | None = Field(default=None, ge=2, le=1_000, description="standard deviations; None: never")
    warmup_steps: int = Field(default=100, ge=2, le=1_000_000_000, description="taken before any is judged")
    decay: Annotated[float, Field(ge=0.5, lt=1)] = 0.99
    patience: int = Field(default=5, ge=2, le=1_000, description="spikes in a row after which the run goes back")
    most: int = Field(default=50, ge=0, le=1_000_000, description="steps that a run may leave out")

    @property
    def steps_back(self) -> int:
        """How many steps before its newest checkpoint a run may have to go on from; 0: never any."""
        return 0 if self.threshold is None else 2 * self.patience

    @model_validator(mode="after")
    def _says_nothing_without_a_threshold(self) -> SpikeSettings:
        if self.threshold is None and (given := deviations(self)):
            raise ValueError(f"{', '.join(given)} without a threshold would change nothing; give one, such as 6")
        return self
