"""A training as a job of a cluster: sent, followed, and followed again later, by one command."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.errors import UserError, first_line
from pipeline.runs.commit import COMMIT_VARIABLE

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ADDRESS = "RAY_API_SERVER_ADDRESS"
EMBEDDED = " RAY_ADDRESS:"  # in SEMANIR_STACK_SETS: the cluster is this checkout's own, and has its files
LEFT_OUT = [".git", ".venv", ".stack", "build", "shared"]
TOKEN = (
    "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file with the cluster's token (or RAY_AUTH_TOKEN to it)"
)
MAX_SAID = 200  # characters of what a stranger's server says


def job_server(given: str, environ: Mapping[str, str] = os.environ) -> str:
    """The address of the job server: the given one, or RAY_API_SERVER_ADDRESS. Raises UserError without either."""
    address = given or environ.get(ADDRESS, "")
    try:
        parts = urlsplit(address)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        named = False
    if not named:
        raise UserError(f"--on {address or 'without an address'}: give a job server, for example http://head:8265")
    return address.rstrip("/")


def new_job() -> str:
    """The id of a training that is to be sent, known before it is: whoever is interrupted meanwhile can be told."""
    return f"semanir-train-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def submit(address: str, job: str, arguments: Sequence[str], root: Path, commit: str) -> None:
    """Send ``jobs/train_all_tasks.py`` with ``arguments`` to the job server ``address``, as ``job``.

    Another cluster than the embedded one gets the files below ``root``, without what git ignores.

    Raises:
        UserError: no job server answers there, or it refuses: the job, or whoever sends it.
    """
    environment: dict[str, Any] = {"env_vars": {COMMIT_VARIABLE: commit}}
    if EMBEDDED not in f" {os.environ.get('SEMANIR_STACK_SETS', '')}":
        environment |= {"working_dir": str(root), "excludes": LEFT_OUT}
    with _in_words(f"{address} did not take the job"):
        _client(address).submit_job(
            entrypoint=shlex.join(["python", "jobs/train_all_tasks.py", *arguments]),
            submission_id=job,
            runtime_env=environment,
        )


def check_job(address: str, job: str) -> None:
    """Raises UserError when no job server answers there, or it has no such job: in words, its log's is a number."""
    with _in_words(f"job {job} on {address} cannot be followed"):
        _client(address).get_job_info(job)


def follow(address: str, job: str, show: Callable[[str], None]) -> int:
    """Show what ``job`` prints, from its beginning, until it ends; returns its exit status.

    Raises:
        UserError: no job server answers there, or it has no such job.
    """
    client = _client(address)

    async def tail() -> None:
        async for text in client.tail_job_logs(job):
            show(text)

    with _in_words(f"job {job} on {address} cannot be followed"):
        asyncio.run(tail())
        info = client.get_job_info(job)
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
        with _in_words(f"no job server at {address}", f"{address} lets nobody in without its token"):
            return JobSubmissionClient(address)
    except (LookupError, TypeError, AttributeError):  # Ray looks for its version in whatever JSON came
        raise UserError(f"no job server at {address} (what answers there names no version of Ray)") from None
    finally:
        if before is None:
            del os.environ[ADDRESS]
        else:
            os.environ[ADDRESS] = before


@contextmanager
def _in_words(what: str, locked_out: str = "") -> Iterator[None]:
    """Whatever a request to a job server fails with becomes one line that begins with ``what``.

    locked_out: instead of ``what``, where only a token is missing, or is not the cluster's. A server may ask for it at
    any request: with the version that Ray's client asks for first, or when a log is to be shown.
    """
    from aiohttp import ClientError
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:  # whose text goes on with a page of help
        said = (error.message.strip() or "no token").splitlines()[0].rstrip(".")[:MAX_SAID]
        raise UserError(f"{locked_out or what} ({said}): {TOKEN}") from None
    except (RuntimeError, ValueError, OSError, ClientError) as error:
        refused = getattr(error, "status", None) in (401, 403)
        raise UserError(f"{what} ({first_line(error)[:MAX_SAID]})" + (f": {TOKEN}" if refused else "")) from None
