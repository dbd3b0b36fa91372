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


# The fixtures of the whole stack, other fixtures behind which a server, a cluster or a network stands, and folders
# whose tests start their own.
STACK_FIXTURES = {"stack", "trained"}
SERVER_FIXTURES = {"services", "network", "seaweed", "infra_local", "cluster"}
SERVER_FOLDERS = (
    "tests/infra/",
    "tests/pipeline/serving/batch/",
    "tests/pipeline/serving/service/test_served.py",
    "tests/pipeline/serving/service/test_under_load.py",
    "tests/pipeline/tuning/test_sweep.py",
    "tests/test_end_to_end.py",
)
TRAINING_FOLDERS = ("tests/pipeline/training/",)
LONGEST_FIRST = ("stack", "servers", "mlflow", "training", "database")


def group_of(item: pytest.Item) -> str:
    """Which tests share a process.

    Those of the one stack, those with other servers, of MLflow alone, of MLflow's tables in a file; those that train,
    which load DeepSpeed for themselves and for the ranks that they fork; of all else, those of a file.
    """
    used = set(getattr(item, "fixturenames", ()))
    if used & STACK_FIXTURES:
        return "stack"
    if used & SERVER_FIXTURES or item.nodeid.startswith(SERVER_FOLDERS):
        return "servers"
    if "mlflow_server" in used:
        return "mlflow"
    if item.nodeid.startswith(TRAINING_FOLDERS):
        return "training"
    return "database" if "database" in used else item.nodeid.partition("::")[0]


def pytest_itemcollected(item: pytest.Item) -> None:
    """With several processes (`make test`), one has all tests of a server, so that each server is started once.

    Those tests wait more than they compute; the other processes meanwhile take the rest, a file at a time.
    """
    item.add_marker(pytest.mark.xdist_group(group_of(item)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with servers come first, being the longest part."""
    order = {group: place for place, group in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(group_of(item), len(order)))


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
