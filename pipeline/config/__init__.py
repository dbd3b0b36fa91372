"""Configuration: what a run may be told (schema), how it is told (files, ``--set``), and what names it."""

from pipeline.config.fingerprint import Operational, fingerprint
from pipeline.config.overlay import deep_merge, parse_override, read_config, resolve
from pipeline.config.schema import (
    DataSettings,
    ModelSettings,
    PhaseSettings,
    RunConfig,
    ScheduleSettings,
    TrainingSettings,
)
from pipeline.config.spikes import SpikeSettings
from pipeline.config.yaml_text import read_value, read_yaml, write_yaml
from pipeline.settings.base import Settings, parse_settings

__all__ = [
    "DataSettings",
    "ModelSettings",
    "Operational",
    "PhaseSettings",
    "RunConfig",
    "ScheduleSettings",
    "Settings",
    "SpikeSettings",
    "TrainingSettings",
    "deep_merge",
    "fingerprint",
    "parse_override",
    "parse_settings",
    "read_config",
    "read_value",
    "read_yaml",
    "resolve",
    "write_yaml",
]
