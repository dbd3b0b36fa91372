"""From a configuration file and ``--set`` texts to one task's run.

The file is YAML with two keys: ``defaults`` and, optionally, ``tasks``, whose entries are laid over the defaults for
that task. ``--set a.b=c`` is laid over both. Unknown keys raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.config.schema import RunConfig
from pipeline.config.yaml_text import YamlError, read_document, read_value
from pipeline.errors import UserError, first_line
from pipeline.settings import parse_settings
from pipeline.tasks import TASKS

MAX_KEYS = 16  # of a dotted path


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
    if not equals or not all(keys) or len(keys) > MAX_KEYS:
        raise UserError(f"--set {text!r:.200}: expected a.b=value, for example --set training.steps=100")
    try:
        nested = read_value(value)
    except YamlError as error:
        raise UserError(f"--set {text!r:.200}: the value is not valid YAML ({first_line(error)})") from None
    for key in reversed(keys):
        nested = {key: nested}
    return nested


def read_config(path: str | Path) -> dict[str, Any]:
    """A configuration file as it is written, its keys known and its sections mappings, for every task it names.

    Raises:
        UserError: the file is missing, too large or not YAML; a key is unknown, given twice, or no mapping where the
            configuration has one; a task is unknown. The line is named.
    """
    document = read_document(path)

    def refuse(key: tuple[str, ...], why: str) -> UserError:
        return UserError(f"configuration file {path}, line {document.lines[key]}: {why}")

    layers = document.value
    for key, value in layers.items():
        if key not in ("defaults", "tasks"):
            raise refuse((key,), f"unknown key {key!r:.200} (there are: defaults, tasks)")
        if not isinstance(value, dict | None):
            raise refuse((key,), f"{key!r} must be a mapping, not {value!r:.40}")
    _check_layer(RunConfig, layers.get("defaults"), ("defaults",), refuse)
    for task, entry in (layers.get("tasks") or {}).items():
        if task not in TASKS:
            raise refuse(("tasks", task), f"unknown task {task!r:.80} (there are: {', '.join(TASKS)})")
        _check_layer(RunConfig, entry, ("tasks", task), refuse)
    return dict(layers)


def _check_layer(
    kind: type[BaseModel], layer: Any, at: tuple[str, ...], refuse: Callable[[tuple[str, ...], str], UserError]
) -> None:
    """Refuse keys that ``kind`` does not have, and anything but a mapping where it has settings of their own.

    A later layer would replace such a thing without a word.
    """
    if layer is None:
        return
    if not isinstance(layer, Mapping):
        raise refuse(at, f"{'.'.join(at)!r:.200} must be a mapping, not {layer!r:.40}")
    fields = {name: field for name, field in kind.model_fields.items() if (kind, name) != (RunConfig, "task")}
    for key, value in layer.items():
        if key not in fields:
            raise refuse(
                (*at, key), f"unknown key {'.'.join((*at, key))!r:.200} (there are: {', '.join(sorted(fields))})"
            )
        inner = fields[key].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            _check_layer(inner, value, (*at, key), refuse)


def _refuse_override(text: str, key: tuple[str, ...], why: str) -> UserError:
    del key  # the text is no longer than that
    return UserError(f"--set {text!r:.200}: {why}")


def resolve(document: Mapping[str, Any], task: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Lay task entry and overrides over the defaults and validate the result as one task's run.

    Raises:
        UserError: a value that is refused, or an override of ``task``, which is chosen with ``--tasks``.
    """
    merged = deep_merge(document.get("defaults") or {}, (document.get("tasks") or {}).get(task) or {})
    for text in overrides:
        override = parse_override(text)
        if "task" in override:
            raise UserError(f"--set {text!r:.200}: the task is no key of a configuration; choose it with --tasks")
        _check_layer(RunConfig, override, (), partial(_refuse_override, text))
        merged = deep_merge(merged, override)
    return parse_settings(RunConfig, {**merged, "task": task}, where=task)
