from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import semanir
from pipeline.registry import ModelCard
from pipeline.registry.client import connect
from pipeline.tasks import TASKS
from tests.http_faults import FaultyProxy
from tests.pipeline.held_out import held_out


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def tracking(database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MLflow on one SQLite file for the session: making its tables takes seconds."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}/mlflow.db")
    monkeypatch.setenv("XDG_CACHE_HOME", str(database / "cache"))
    monkeypatch.chdir(database)
    return database


@pytest.fixture
def proxy(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Stands before a real MLflow server, and is the server that this test asks."""
    proxy = FaultyProxy(mlflow_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
    yield proxy
    proxy.close()


@pytest.fixture
def new_run(tracking: Path) -> Callable[[], str]:
    """Makes a run to register under; returns its id."""

    def make() -> str:
        client = connect()
        found = client.get_experiment_by_name("tests")
        experiment = (
            found.experiment_id
            if found
            else client.create_experiment("tests", artifact_location=str(tracking / "artifacts"))
        )
        return str(client.create_run(experiment).info.run_id)

    return make


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """Saves a tiny model of a task, random in every layer; returns its folder."""

    def make(task_name: str, seed: int = 0) -> Path:
        task = TASKS[task_name]
        torch.manual_seed(seed)
        model = semanir.create_model(
            task.tiny_model,
            in_channels=task.input_channels,
            out_channels=task.channels,
            upscale=task.upscale,
            zero_init_last=False,
        )
        return semanir.save(model, tmp_path / f"weights-{task_name}-{seed}")

    return make


@pytest.fixture
def make_card() -> Callable[..., ModelCard]:
    def make(task: str, restored: float = 25.0, protocol: str = "PSNR, RGB, on two images") -> ModelCard:
        return ModelCard(
            task=task,
            setting="sigma 25",
            trained_on="Nine photographs.",
            protocol=protocol,
            baseline=(baseline := next(iter(TASKS[task].baselines))),
            scores=held_out(("good", 20.0, restored + 1), ("bad", 30.0, restored - 1), baseline=baseline),
            steps=3,
            data_fingerprint="data0",
            git_commit="commit0",
            fingerprint=f"{task}-{restored}",
            limits=("Only Gaussian noise.",),
            extra_metrics={"held_out_ssim": 0.5},
        )

    return make


@pytest.fixture
def keys(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Makes a pair of PEM files; returns private and public."""

    def make(
        name: str = "team",
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
        password: bytes = b"",
    ) -> tuple[Path, Path]:
        key = key or ec.generate_private_key(ec.SECP256R1())
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        private.touch(0o600)
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return private, public

    return make
