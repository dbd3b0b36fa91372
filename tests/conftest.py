"""Fixtures that every room may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

from infra.local import environment, processes
from infra.local.layout import PROJECT_ROOT, Layout
from infra.local.lifecycle import PARTS

# The same examples in every run, and no verdict on how fast a busy machine is.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


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
        yield Stack(PROJECT_ROOT, layout, environment.sourced(layout.env_file, unclaimed_environ))
    finally:
        infra_local(layout.folder, "down")
    left = {part: processes.find(layout.folder, part) for part in PARTS}
    assert not any(left.values()), f"`down` left processes running: {left}"
