"""Up, down and status of the embedded stack."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.local import environment, jobs, mlflow_server, ports, processes, ray_head, s3, secrets
from infra.local.folders import PROJECT_ROOT, Layout, StackError, write_private
from infra.local.part import Part

PARTS = ("s3", "mlflow", "ray")
# MLflow and Ray take 15 s on two idle cores, far more on two busy ones.
START_TIMEOUT_S = 180.0
# A running server on a busy machine may be slow to answer; a restart would end its jobs.
ANSWER_TIMEOUT_S = 20.0
_LOG_LINES = 15

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Everything that `up` decided before it touches a process."""

    layout: Layout
    ports: ports.Ports
    claimed: Mapping[str, str]
    parts: list[Part]


def _plan(layout: Layout, environ: Mapping[str, str]) -> Plan:
    """Choose ports, write `.stack/env`, and describe the parts that are not the user's own."""
    layout.create()
    running = [name for name in PARTS if processes.find(layout.folder, name)]
    chosen = ports.settle(ports.load(layout.ports_file), running)
    write_private(layout.ports_file, ports.dump(chosen))
    generated = secrets.load_or_generate(layout)

    claimed = environment.claims(environ)
    own = environment.without_ours(environ)
    reach = environment.values(layout, chosen, generated, claimed)
    extra = environment.common(own)
    environment.write_env_file(layout.env_file, reach, extra)
    inherited = environment.sourced(layout.env_file, own)

    parts = []
    if "s3" not in claimed:
        parts.append(s3.part(layout, chosen, generated, inherited))
    if "mlflow" not in claimed:
        parts.append(mlflow_server.part(layout, chosen, generated, inherited, embedded_s3="s3" not in claimed))
    if "ray" not in claimed:
        parts.append(ray_head.part(layout, chosen, inherited))
    return Plan(layout, chosen, claimed, parts)


def up(layout: Layout, say: Say) -> None:
    """Bring every part up that is not the user's own; parts that run with the same settings stay.

    Raises:
        StackError: a part did not come up, or would have to restart under a running job.
    """
    layout.folder.mkdir(parents=True, exist_ok=True)
    with layout.locked():
        plan = _plan(layout, os.environ)
        for name, variable in plan.claimed.items():
            say(f"{name:8} yours ({variable} is set): not started")
            processes.end(layout.folder, name)
        if "ray" in plan.claimed and plan.parts:
            say("note: a Ray on other machines cannot reach the servers below, which listen on loopback only")
        with ThreadPoolExecutor(len(PARTS)) as pool:
            pending = [pool.submit(_ensure, plan, part, say) for part in plan.parts]
        failures = [error for future in pending if (error := future.exception())]
        for unexpected in failures:
            if not isinstance(unexpected, StackError):
                raise unexpected
        if failures:
            raise StackError("\n".join(str(error) for error in failures))


def _ensure(plan: Plan, part: Part, say: Say) -> None:
    """Leave exactly one healthy instance of the part running."""
    layout = plan.layout
    found = processes.find(layout.folder, part.name)
    if found and set(found.values()) == {part.fingerprint}:
        # It may still be starting: the `up` before this one was interrupted.
        patience = ANSWER_TIMEOUT_S if _was_up(layout, part, found) else START_TIMEOUT_S
        if _wait(part, lambda: bool(processes.find(layout.folder, part.name)), patience):
            _remember_up(layout, part)
            say(f"{part.title:15} {part.address}  (runs already)")
            return
    elif found and part.name == "ray" and (busy := jobs.unfinished(layout, plan.ports)):
        raise StackError(f"Ray has to restart with new settings, but runs {' '.join(busy)}: wait, or `make down` first")
    processes.end(layout.folder, part.name)
    if part.name == "ray":
        ray_head.forget_old_sessions(layout)
    began = time.monotonic()
    _start(layout, part, began + START_TIMEOUT_S, say)
    _remember_up(layout, part)
    say(f"{part.title:15} {part.address}  (started in {time.monotonic() - began:.0f} s)")


def _start(layout: Layout, part: Part, deadline: float, say: Say) -> None:
    """Start the part and wait until it is up; start it again each time that it ended for want of patience.

    Raises:
        StackError: it ended for another reason, or the deadline (of time.monotonic) has passed.
    """
    log = layout.log(part.name)
    env = {**part.env, processes.MARK: processes.mark(layout.folder, part.name, part.fingerprint)}
    while True:
        written = log.stat().st_size if log.exists() else 0
        process = processes.start(part.argv, env, log, PROJECT_ROOT)
        if _wait(part, lambda: process.poll() is None, deadline - time.monotonic()):  # noqa: B023  called before the next
            return
        code = process.poll()
        if code is None or not (part.gives_up and part.gives_up in _since(log, written)):
            what = f"it ended with code {code}" if code is not None else f"no answer for {START_TIMEOUT_S:.0f} s"
            raise StackError(f"{part.title} did not come up: {what}. The end of its log, {log}:\n{_tail(log)}")
        say(f"{part.title:15} gave up on this busy machine: starting it again")
        processes.end(layout.folder, part.name)  # what it had started already


def _birth(found: Iterable[psutil.Process]) -> str:
    """When the first of these processes began: it tells one start of a part from another."""
    return str(min(process.create_time() for process in found))


def _remember_up(layout: Layout, part: Part) -> None:
    """Note that this start of the part came up, so that its silence later is a fault."""
    if found := processes.find(layout.folder, part.name):
        write_private(layout.came_up(part.name), _birth(found))


def _was_up(layout: Layout, part: Part, found: Iterable[psutil.Process]) -> bool:
    note = layout.came_up(part.name)
    return note.exists() and note.read_text() == _birth(found)


def _wait(part: Part, is_alive: Callable[[], bool], patience_s: float) -> bool:
    """Ask until the part answers, ends, or `patience_s` are over."""
    deadline = time.monotonic() + patience_s
    while is_alive():
        if part.is_up():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return False


def _since(log: Path, offset: int) -> str:
    """The end, 8 kB at most, of what was written after `offset`; of a shorter log, which was begun anew, of it all."""
    with log.open("rb") as file:
        size = log.stat().st_size
        file.seek(max(offset if offset <= size else 0, size - 8192))
        return file.read().decode(errors="replace")


def _tail(log: Path) -> str:
    lines = _since(log, 0).splitlines()
    return "\n".join(f"  | {line[:200]}" for line in lines[-_LOG_LINES:])


def down(layout: Layout, say: Say) -> None:
    """End all that `up` started, children and running jobs included; data and credentials stay."""
    if not layout.folder.exists():
        say("nothing was started")
        return
    with layout.locked():
        # First the jobs, then what they talk to.
        ended = {"ray": processes.end(layout.folder, "ray")}
        with ThreadPoolExecutor(2) as pool:
            pending = {n: pool.submit(processes.end, layout.folder, n) for n in ("mlflow", "s3")}
            ended |= {name: future.result() for name, future in pending.items()}
    layout.forget_short_path()
    for name, count in ended.items():
        say(f"{name:8} {f'ended ({count} processes)' if count else 'was not running'}")


def stop_jobs(layout: Layout, prefix: str, say: Say) -> None:
    """Stop what an interrupted `make` left running on the embedded Ray: jobs named `prefix`…

    Raises:
        StackError: a job did not end in time.
    """
    if layout.ray_token.exists():
        for job in jobs.stop(layout, ports.load(layout.ports_file), prefix):
            say(f"stopped {job}, left by an earlier command; its finished steps are kept in checkpoints")


def status(layout: Layout, say: Say) -> bool:
    """Say how each part is; True when every part that is not the user's own is up."""
    if not layout.env_file.exists():
        say("nothing was started")
        return False
    healthy = True
    claimed = environment.claims(os.environ)
    chosen = ports.load(layout.ports_file)
    for name in PARTS:
        found = processes.find(layout.folder, name)
        if name in claimed:
            say(f"{name:8} yours ({claimed[name]} is set)")
        elif found:
            memory = sum(_memory(process) for process in found)
            port = chosen[{"ray": "dashboard"}.get(name, name)]
            say(f"{name:8} runs   http://127.0.0.1:{port}  {len(found)} processes, {memory / 2**20:.0f} MB")
        else:
            healthy = False
            say(f"{name:8} is not running; its log: {layout.log(name)}")
    say(f"logins    Ray's page asks for the token in {layout.ray_token}, MLflow's for what {layout.env_file} holds")
    return healthy


def _memory(process: psutil.Process) -> int:
    """Resident bytes; none of a process that just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
