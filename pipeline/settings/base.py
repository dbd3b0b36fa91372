"""What every settings class is, and the one line that says what is wrong with given settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UserError

MAX_FINDINGS = 3  # named in one line
SettingsT = TypeVar("SettingsT", bound=BaseModel)


class Settings(BaseModel):
    """Base of every settings class: immutable; unknown keys, near-enough types ("25" for 25) and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def parse_settings(kind: type[SettingsT], values: Mapping[str, Any], where: str) -> SettingsT:
    """Validate ``values`` (as read from YAML) as ``kind``; one line per UserError, naming key and value."""
    try:
        # Through JSON, strict mode still takes lists for tuples, as YAML has no tuple.
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UserError(f"{where}: {_describe(error, kind)}") from None
    except TypeError as error:  # what JSON cannot say: a date, a set
        raise UserError(f"{where}: {error}") from None


def parse_json(kind: type[SettingsT], data: bytes, where: str, most_bytes: int = 1 << 20) -> SettingsT:
    """Validate a JSON file's bytes as ``kind``.

    Raises:
        UserError: more than ``most_bytes``, no JSON, nested past all reason, or a key or value that is refused: one
            line that begins with ``where``.
    """
    if len(data) > most_bytes:
        raise UserError(f"{where} has {len(data)} bytes; at most {most_bytes} are read")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise UserError(f"{where}: {_describe(error, kind)}") from None


def _describe(error: ValidationError, kind: type[BaseModel]) -> str:
    parts = []
    for item in error.errors(include_url=False)[:MAX_FINDINGS]:
        path = ".".join(str(key) for key in item["loc"])[:200]
        if item["type"] == "extra_forbidden":
            siblings = ", ".join(sorted(_keys_at(kind, item["loc"][:-1]))) or "none"
            parts.append(f"unknown key {path!r:.200} (there are: {siblings})")
        elif item["type"] == "missing":
            parts.append(f"{path!r} is required")
        else:
            message = item["msg"].removeprefix("Value error, ")[:400]
            told = isinstance(item["input"], dict) or "got " in message
            given = "" if told else f" (given: {item['input']!r:.200})"
            parts.append(f"{path}: {message}{given}" if path else f"{message}{given}")
    return "; ".join(parts)


def _keys_at(kind: type[BaseModel], path: Sequence[int | str]) -> set[str]:
    """The keys that the settings at ``path`` inside ``kind`` take: list indices and mapping keys lead nowhere new."""
    kinds = [kind]
    for key in path:
        fields = [each.model_fields[str(key)] for each in kinds if str(key) in each.model_fields]
        kinds = [each for field in fields for each in settings_in(field.annotation)] or kinds
    return {name for each in kinds for name in each.model_fields}


def settings_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that a type mentions: ``tuple[PhaseSettings, ...] | None`` mentions PhaseSettings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for argument in get_args(annotation) for each in settings_in(argument)]
