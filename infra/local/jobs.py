"""Jobs on the embedded Ray, through its job server."""

from __future__ import annotations

import json
import time
import urllib.parse

from infra.local.folders import Layout, StackError
from infra.local.part import get
from infra.local.ports import Ports

_STOP_TIMEOUT_S = 60.0


def _ask(layout: Layout, ports: Ports, path: str, method: str = "GET") -> bytes | None:
    headers = {"Authorization": f"Bearer {layout.ray_token.read_text()}"}
    return get(f"http://127.0.0.1:{ports['dashboard']}/api/jobs/{path}", headers, method=method)


def listed(layout: Layout, ports: Ports) -> list[dict[str, object]] | None:
    """Every job that the head knows, None when it does not answer."""
    answer = _ask(layout, ports, "")
    return None if answer is None else json.loads(answer)


def unfinished(layout: Layout, ports: Ports) -> list[str]:
    """Submission ids of jobs that run or wait; none when the head does not answer."""
    waiting = [job for job in listed(layout, ports) or [] if job["status"] in {"PENDING", "RUNNING"}]
    return [str(job["submission_id"]) for job in waiting if job["submission_id"]]


def stop(layout: Layout, ports: Ports, prefix: str) -> list[str]:
    """Stop the unfinished jobs whose submission id starts with `prefix`, and wait for their end.

    Returns:
        The ids of the stopped jobs.

    Raises:
        StackError: a job did not end in time.
    """
    chosen = [job for job in unfinished(layout, ports) if job.startswith(prefix)]
    for job in chosen:
        _ask(layout, ports, f"{urllib.parse.quote(job)}/stop", method="POST")
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while left := set(chosen) & set(unfinished(layout, ports)):
        if time.monotonic() > deadline:
            raise StackError(f"{', '.join(sorted(left))} did not stop in {_STOP_TIMEOUT_S:.0f} s: try `make down`")
        time.sleep(0.2)
    return chosen
