"""Fixtures that every room may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

from infra.local import environment, processes
from infra.local.folders import PROJECT_ROOT, Layout
from infra.local.lifecycle import PARTS

# The same examples in every run, and no verdict on how fast a busy machine is.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

# Ray gives its workers way to all else by default; beside the tests of the other process, and beside its own processes
# that are not workers, they would starve. Here, for all: clusters of the tests' own have this process's environment.
os.environ.setdefault("RAY_worker_niceness", "0")

# The literal job, cut to 30 steps of one task.
SHORT_TRAINING = [
    "ray", "job", "submit", "--", "python", "jobs/train_all_tasks.py", "--tasks", "denoising_color",
    "--set", "training.steps=30", "--set", "training.validate_every=15", "--set", "training.checkpoint_every=15",
    "--set", "training.schedule.warmup_steps=5",
]  # fmt: skip


# Fixtures behind which a server, a cluster or a network stands, and folders whose tests start their own.
SERVER_FIXTURES = {"stack", "trained", "services", "network", "seaweed", "infra_local", "cluster"}
SERVER_FOLDERS = (
    "tests/infra/",
    "tests/pipeline/serving/batch/",
    "tests/pipeline/serving/service/test_served.py",
    "tests/pipeline/serving/service/test_under_load.py",
    "tests/pipeline/tuning/test_sweep.py",
    "tests/test_end_to_end.py",
)


def has_server(item: pytest.Item) -> bool:
    """Whether a test starts servers, a cluster or a network, or shares those of others."""
    used = set(getattr(item, "fixturenames", ()))
    return bool(used & SERVER_FIXTURES) or item.nodeid.startswith(SERVER_FOLDERS)


def pytest_itemcollected(item: pytest.Item) -> None:
    """With several processes (`make test`), one has all tests with servers, so that each server is started once.

    They wait more than they compute; the other processes meanwhile take the rest, a file at a time, or what shares an
    MLflow server of its own.
    """
    if "mlflow_server" in getattr(item, "fixturenames", ()):
        group = "mlflow"
    else:
        group = "servers" if has_server(item) else item.nodeid.partition("::")[0]
    item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with servers come first, being the longest part."""
    items.sort(key=lambda item: not has_server(item))


@dataclass(frozen=True)
class Stack:
    """A running embedded stack.

    Attributes:
        root: the project's folder, where its jobs run.
        layout: the stack's own folder, a temporary one.
        env: the environment of a shell that sourced the stack's `env` file.
    """

    root: Path
    layout: Layout
    env: dict[str, str] = field(repr=False)

    def run(self, command: Sequence[str], timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would who sourced the stack's env file in the project's root."""
        return subprocess.run(
            command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    @property
    def short_training(self) -> list[str]:
        """The command of a short training, to be run in `root` with `env`."""
        return list(SHORT_TRAINING)

    def submit_training(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A short training as a Ray job, with further arguments."""
        return self.run([*self.short_training, *arguments])


InfraLocal = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def unclaimed_environ() -> dict[str, str]:
    """This process's environment without anything that would make a part of the stack the user's own."""
    claims = {name for names in environment.CLAIMS.values() for name in names}
    own = environment.without_ours(os.environ)
    return {name: value for name, value in own.items() if name not in claims}


@pytest.fixture(scope="session")
def infra_local(unclaimed_environ: dict[str, str]) -> InfraLocal:
    """`infra_local(folder, *arguments, **variables)` runs `python -m infra.local --dir folder`."""

    def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.local", "--dir", str(folder), *arguments],
            cwd=PROJECT_ROOT,
            env=unclaimed_environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, infra_local: InfraLocal, unclaimed_environ: dict[str, str]
) -> Iterator[Stack]:
    """The real SeaweedFS, MLflow and Ray, started once for the whole session, away from `.stack`."""
    layout = Layout.at(tmp_path_factory.mktemp("embedded") / "stack")
    try:
        started = infra_local(layout.folder, "up")
        assert started.returncode == 0, started.stdout + started.stderr
        env = environment.sourced(layout.env_file, unclaimed_environ)
        with pytest.MonkeyPatch.context() as patch:
            # Tests that ask its MLflow from this process need the login; the server's address they set themselves.
            for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
                patch.setenv(name, env[name])
            yield Stack(PROJECT_ROOT, layout, env)
    finally:
        infra_local(layout.folder, "down")
    left = {part: processes.find(layout.folder, part) for part in PARTS}
    assert not any(left.values()), f"`down` left processes running: {left}"


@pytest.fixture(scope="session")
def trained(stack: Stack) -> str:
    """What the literal job prints, once it has trained one short task on the packed photographs."""
    packed = stack.run(
        [sys.executable, "jobs/prepare_data.py", "--builtin", "--output", "s3://semanir/datasets/builtin"]
    )
    assert packed.returncode == 0, packed.stdout + packed.stderr
    job = stack.submit_training()
    assert job.returncode == 0, job.stdout + job.stderr
    return job.stdout + job.stderr
