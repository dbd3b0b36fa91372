from __future__ import annotations

from pathlib import Path

import pytest
import torch

import semanir
from pipeline.restoring.restorer import Restorer


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models: "same" restores every picture to itself, "other" changes it at random."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    return {
        name: semanir.save(semanir.create_model("ushape_tiny", zero_init_last=name == "same"), folder / name)
        for name in ("same", "other")
    }


@pytest.fixture
def same(models: dict[str, Path]) -> Restorer:
    return Restorer(models["same"])
