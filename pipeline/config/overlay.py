"""From a configuration file and ``--set`` texts to one task's run.

The file is YAML with two keys: ``defaults`` and, optionally, ``tasks``, whose entries are laid over the defaults for
that task. ``--set a.b=c`` is laid over both. Unknown keys raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.base import parse_settings
from pipeline.config.schema import RunConfig
from pipeline.config.yaml_text import read_value, read_yaml
from pipeline.errors import UserError, first_line


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mapping by mapping; anything but a mapping is replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = deep_merge(known, value) if both else value  # type: ignore[arg-type]
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """``"training.steps=100"`` → ``{"training": {"steps": 100}}``; the value is read as YAML."""
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {text!r}: expected a.b=value, for example --set training.steps=100")
    try:
        nested = read_value(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text!r}: the value is not valid YAML ({first_line(error)})") from None
    for key in reversed(keys):
        nested = {key: nested}
    return nested


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a configuration file; raises UserError when it is missing, too large, not YAML or has other keys."""
    document = read_yaml(path)
    if not set(document) <= {"defaults", "tasks"}:
        raise UserError(f"configuration file {path}: the top keys are 'defaults' and 'tasks', found {sorted(document)}")
    for key in ("defaults", "tasks"):
        if not isinstance(document.get(key) or {}, dict):
            raise UserError(f"configuration file {path}: {key!r} must be a mapping")
    return document


def resolve(document: Mapping[str, Any], task: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Lay task entry and overrides over the defaults and validate the result as one task's run."""
    merged = deep_merge(document.get("defaults") or {}, (document.get("tasks") or {}).get(task) or {})
    for text in overrides:
        merged = deep_merge(merged, parse_override(text))
    return parse_settings(RunConfig, {**merged, "task": task}, where=task)
