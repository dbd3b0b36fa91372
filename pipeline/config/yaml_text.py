"""YAML as people write configurations: read with a bound on everything, written so that it reads back the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import UserError, first_line

MAX_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    """YAML 1.1's safe loader, taught that 2e-4 is a number, as people write learning rates."""


class _Dumper(yaml.SafeDumper):
    """Writes what :class:`_Loader` reads back: text that looks like such a number is quoted."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


def read_value(text: str) -> Any:
    """One YAML value, as ``--set`` takes it."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def write_yaml(value: Any) -> str:
    """``value`` as YAML that :func:`read_yaml` reads back as it is."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def read_yaml(path: str | Path, what: str = "configuration file") -> dict[str, Any]:
    """A YAML file whose top is a mapping; raises UserError when it is missing, too large, or anything else."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{what} {path} does not exist")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{what} {path} is larger than {MAX_BYTES} bytes")
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path} is not valid YAML: {first_line(error)}") from None
    if not isinstance(document, dict):
        raise UserError(f"{what} {path}: expected a mapping of keys, found {type(document).__name__}")
    return document
