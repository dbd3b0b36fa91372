"""What a task's settings are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pipeline.settings import Settings


class TaskSettings(Settings):
    """Base of every task's settings."""


def as_float(value: Any) -> Any:
    """Lets the integers 0 and 1, as YAML has them, stand for floats; for ``BeforeValidator``."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


CleanShare = Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(as_float)]
"""Share of the images that are left as they are, so that a blind model learns to leave such images alone. None: none,
the published settings.
"""

MildShare = CleanShare
"""Share of the images (of those not left as they are) whose strength is drawn from the mildest tenth of the range: a
blind model must above all not spoil good pictures, and a uniform draw shows it few. None: none, the published settings.
"""


class NoSettings(TaskSettings):
    """For tasks whose degradation has no knob."""
