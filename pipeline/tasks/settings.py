"""What a task's settings are."""

from __future__ import annotations

from pipeline.config import Settings


class TaskSettings(Settings):
    """Base of every task's settings."""


class NoSettings(TaskSettings):
    """For tasks whose degradation has no knob."""
