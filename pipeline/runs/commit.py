"""Which code trained a model."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

COMMIT_VARIABLE = "SEMANIR_GIT_COMMIT"


def git_commit(root: Path) -> str:
    """The commit of the project at ``root``, ``-dirty`` appended when files differ from it.

    A job submitted with ``--working-dir`` has no ``.git``: pass the commit along in SEMANIR_GIT_COMMIT (see README).
    Without either it is ``unknown``.
    """
    given = os.environ.get(COMMIT_VARIABLE)
    if given:
        return given
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()
