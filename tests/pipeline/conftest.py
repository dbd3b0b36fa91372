"""What several rooms of the pipeline share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import semanir
from tests import mlflow_server as server
from tests.pipeline.seaweed import _seaweed, seaweed  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a small model, random in every layer; returns its folder."""

    def make(name: str = "ushape_tiny", seed: int = 0, **overrides: object) -> Path:
        torch.manual_seed(seed)
        depths = (1, 1, 1) if name == "ushape_tiny" else (2,)
        model = semanir.create_model(name, depths=depths, zero_init_last=False, **overrides)
        return semanir.save(model, tmp_path_factory.mktemp("model"))

    return make


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server for tests that leave many models behind."""
    with server.mlflow_server(tmp_path_factory.mktemp("mlflow-server")) as address:
        yield address
