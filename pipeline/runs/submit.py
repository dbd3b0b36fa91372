"""A training as a job of a cluster: sent, followed, and followed again later, by one command."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError, first_line
from pipeline.runs.commit import COMMIT_VARIABLE

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ADDRESS = "RAY_API_SERVER_ADDRESS"
EMBEDDED = " RAY_ADDRESS:"  # in SEMANIR_STACK_SETS: the cluster is this checkout's own, and has its files
LEFT_OUT = [".git", ".venv", ".stack", "build", "shared"]


def job_server(given: str, environ: Mapping[str, str] = os.environ) -> str:
    """The address of the job server: the given one, or RAY_API_SERVER_ADDRESS. Raises UserError without either."""
    address = given or environ.get(ADDRESS, "")
    if not address.startswith(("http://", "https://")):
        raise UserError(f"--on {address or 'without an address'}: give a job server, for example http://head:8265")
    return address.rstrip("/")


def submit(address: str, arguments: Sequence[str], root: Path, commit: str) -> str:
    """Send ``jobs/train_all_tasks.py`` with ``arguments`` to the job server ``address``; returns the job's id.

    Another cluster than the embedded one gets the files below ``root``, without what git ignores.

    Raises:
        UserError: no job server answers there, or it refuses.
    """
    job = f"semanir-train-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    environment: dict[str, Any] = {"env_vars": {COMMIT_VARIABLE: commit}}
    if EMBEDDED not in f" {os.environ.get('SEMANIR_STACK_SETS', '')}":
        environment |= {"working_dir": str(root), "excludes": LEFT_OUT}
    try:
        return _client(address).submit_job(
            entrypoint=shlex.join(["python", "jobs/train_all_tasks.py", *arguments]),
            submission_id=job,
            runtime_env=environment,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{address} did not take the job ({first_line(error)})") from None


def check_job(address: str, job: str) -> None:
    """Raises UserError when no job server answers there, or it has no such job: in words, its log's is a number."""
    try:
        _client(address).get_job_info(job)
    except (RuntimeError, OSError) as error:
        raise UserError(f"job {job} on {address} cannot be followed ({first_line(error)})") from None


def follow(address: str, job: str, show: Callable[[str], None]) -> int:
    """Show what ``job`` prints, from its beginning, until it ends; returns its exit status.

    Raises:
        UserError: no job server answers there, or it has no such job.
    """
    from aiohttp import ClientError

    client = _client(address)

    async def tail() -> None:
        async for text in client.tail_job_logs(job):
            show(text)

    try:
        asyncio.run(tail())
        info = client.get_job_info(job)
    except (RuntimeError, OSError, ClientError) as error:
        raise UserError(f"job {job} on {address} cannot be followed ({first_line(error)})") from None
    status = info.driver_exit_code
    return int(status) if status is not None else int(str(info.status) != "SUCCEEDED")


def where_to_look(address: str, job: str, at: str) -> str:
    """What a person needs to know of a job at once. ``at``: the option ``--on …`` as it was given."""
    return (
        f"job {job}: {address}/#/jobs/{job} (asks for the token of RAY_AUTH_TOKEN_PATH)\n"
        f"follow it again: semanir train {at} --attach {job}\nstop it, saved: {ADDRESS}={address} ray job stop {job}"
    )


def _client(address: str) -> JobSubmissionClient:
    from ray.job_submission import JobSubmissionClient

    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = address  # to Ray the variable counts more than the argument
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"no job server at {address} ({first_line(error)})") from None
    finally:
        if before is None:
            del os.environ[ADDRESS]
        else:
            os.environ[ADDRESS] = before
