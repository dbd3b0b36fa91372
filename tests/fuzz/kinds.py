"""Every kind of input that is read from outside."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.case import Case
from tests.fuzz.configurations import configuration_cases
from tests.fuzz.datasets import dataset_cases
from tests.fuzz.images import image_cases
from tests.fuzz.models import model_cases
from tests.fuzz.records import record_cases


def all_cases(scratch: Path) -> list[Case]:
    """Images of all formats and tars; manifests; YAML; model folders; what runs keep in their storage."""
    return [
        *image_cases(),
        *dataset_cases(scratch / "datasets"),
        *configuration_cases(scratch / "configurations"),
        *model_cases(scratch / "models"),
        *record_cases(scratch / "records"),
    ]
