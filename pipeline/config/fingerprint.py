"""A name for what a configuration asks for: equal names would train equal models.

Hashed is what differs from the defaults, so a field that a later version adds renames no run that leaves it alone. The
other side of that: **a default that changes must change** ``MEANING``, or old names would stand for new models (a test
holds the defaults).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

MEANING = 1  # of what is left out of a fingerprint: the version of all defaults together
T = TypeVar("T")


class _Mark:
    """Beside a field's type: the field decides where, how fast or how safely a run trains, not what it learns."""


OPERATIONAL = _Mark()
Operational = Annotated[T, OPERATIONAL]
"""``log_every: Operational[int] = 20`` – cluster shape, cadence, patience: stays out of the fingerprint."""


def is_operational(field: FieldInfo) -> bool:
    """Whether a field of a settings class was declared ``Operational``."""
    return OPERATIONAL in field.metadata


def fingerprint(settings: BaseModel) -> str:
    """Twelve hex digits over what differs from the defaults, operational fields left out."""
    text = json.dumps({"meaning": MEANING, "settings": deviations(settings)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def deviations(settings: BaseModel) -> dict[str, Any]:
    """The fields that are required or differ from their defaults, as plain values; operational ones left out."""
    found = {}
    for name, field in type(settings).model_fields.items():
        if is_operational(field):
            continue
        value = _plain(getattr(settings, name))
        if field.is_required() or value != _plain(field.get_default(call_default_factory=True)):
            found[name] = value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return deviations(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
