"""Versions of a registered model, as the registry has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def all_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Every version of a model, oldest first; empty when the model does not exist."""
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return sorted(found, key=lambda v: int(v.version))


def only_version(client: MlflowClient, name: str, tags: Mapping[str, str]) -> ModelVersion | None:
    """The first READY version with these tags, which tell one set of weights; whatever else there is of it goes.

    A request without an answer is sent again, and its server may have made a version each time; a process that died
    may have left one unfinished. None when no whole version is there.
    """
    found = [version for version in all_versions(client, name) if tags.items() <= version.tags.items()]
    ready = [version for version in found if version.status == "READY"]
    for version in found:
        if version not in ready[:1]:
            client.delete_model_version(name, str(version.version))
    return ready[0] if ready else None
