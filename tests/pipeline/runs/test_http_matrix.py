"""One call of a whole run is harmed, to S3 or MLflow: what becomes of the run, and what the same command does then.

The table that this confirms is committed as pipeline/runs/http_faults.md. To write it anew after a change:

    SEMANIR_WRITE_TABLE=1 python -m pytest -m slow tests/pipeline/runs/test_http_matrix.py

Calls of one kind differ by when they come. The first of each is harmed; SEMANIR_ALIKE=N harms N, spread over the run.
All of it is slow. Its slice in every run of the tests are the calls of a registration, in
tests/pipeline/registry/test_transaction.py and test_publish.py.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import pytest

from infra.local.folders import PROJECT_ROOT
from tests.http_faults import Fault
from tests.pipeline.runs.laboratory import HANGS_S, OUTAGE_S, Cell, Laboratory, Server, counted, laboratory

TABLE = PROJECT_ROOT / "pipeline" / "runs" / "http_faults.md"
FAULTS: dict[Fault, str] = {"killed_after": "kill −9", "lost": "answer lost", "stalled": "no answer"}
NOT_YET = "–"
UPLOADS = 4  # of the files of a model, all alike, so many are harmed
API = "/api/2.0/mlflow"
RUN = "/tests/whole-run/runs/RUN"


@pytest.fixture(scope="module")
def lab(_seaweed: Any, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    if _seaweed.process is None:
        _seaweed.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _seaweed.environment.items():
            patch.setenv(name, value)
        _seaweed.wait()
        with laboratory(tmp_path_factory.mktemp("lab"), _seaweed.endpoint, mlflow_server) as lab:
            yield lab


@pytest.fixture(scope="module")
def whole(lab: Laboratory) -> dict[str, Any]:
    """What the run makes when nothing is harmed, and its calls."""
    lab.clear()
    lab.arm(None)
    assert lab.run(5 * HANGS_S).status == 0  # with all imports
    return {"result": lab.result(), "calls": {server: counted(proxy) for server, proxy in lab.proxies.items()}}


def outcome(lab: Laboratory, cell: Cell, result: dict[str, Any]) -> str:
    """What became of the run, in words; "" when the run was over before such a call came."""
    lab.clear()
    lab.arm(cell)
    first = lab.run()
    if not lab.proxies[cell.server].harmed:
        return ""
    assert first.seconds < HANGS_S
    if first.status == 0:
        assert lab.result() == result
        return "goes on; equal to the last bit"
    if not cell.fault.startswith("killed"):
        assert first.refusal.count("\n") == 0, first.said
        assert "RUNNING" not in lab.statuses(), first.said
    lab.arm(None)
    again = lab.run()
    assert again.status == 0, first.said + again.said
    assert lab.result() == result
    what = "" if cell.fault.startswith("killed") else "ends with one line; "
    return f"{what}the same command: equal to the last bit"


STOPPED = [
    Cell("S3", f"PUT {RUN}/step-000000002/best/model.safetensors", 0, "halted"),
    Cell("MLflow", f"POST {API}/logged-models", 0, "halted"),
]


@pytest.mark.slow
@pytest.mark.parametrize("cell", STOPPED, ids=lambda cell: cell.server)
@pytest.mark.parametrize("back", [True, False], ids=["for a while", "for good"])
def test_a_server_that_is_stopped(lab: Laboratory, whole: dict[str, Any], cell: Cell, back: bool) -> None:
    """By SIGSTOP: it takes calls and answers none."""

    def stop() -> None:
        lab.signal(cell.server, signal.SIGSTOP)
        if back:
            threading.Timer(OUTAGE_S / 2, lab.signal, [cell.server, signal.SIGCONT]).start()

    lab.clear()
    lab.arm(cell, stop)
    try:
        first = lab.run()
    finally:
        lab.signal(cell.server, signal.SIGCONT)
    assert lab.proxies[cell.server].harmed
    if not back:
        assert first.seconds < HANGS_S
        assert "still failing after" in first.refusal, first.said
        lab.arm(None)
        first = lab.run()
    assert first.status == 0, first.said
    assert lab.result() == whole["result"]


def cells(calls: Counter[str], server: Server, fault: Fault) -> Iterator[Cell]:
    for kind, count in calls.items():
        most = min(int(os.environ.get("SEMANIR_ALIKE", "1")), UPLOADS if kind.endswith("…") else count, count)
        for number in sorted({round(index * (count - 1) / max(most - 1, 1)) for index in range(most)}):
            yield Cell(server, kind, number, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("server", get_args(Server))
def test_every_call(lab: Laboratory, whole: dict[str, Any], server: Server, fault: Fault) -> None:
    found: dict[str, list[str]] = {}
    failed: list[str] = []
    for cell in cells(whole["calls"][server], server, fault):
        try:
            found.setdefault(cell.kind, []).append(outcome(lab, cell, whole["result"]))
        except AssertionError as error:  # the others are to be seen as well
            failed.append(f"{cell}: {error}")
    assert not failed, "\n\n".join(failed)
    table = committed()
    for kind, said in found.items():
        known = table.get((server, kind), (0, {}))[1]
        text = " or ".join(sorted(set(filter(None, said))))
        if os.environ.get("SEMANIR_WRITE_TABLE"):
            table[server, kind] = whole["calls"][server][kind], {**known, fault: text}
        elif known.get(fault):
            assert set(said) <= {"", *known[fault].split(" or ")}, kind
    if os.environ.get("SEMANIR_WRITE_TABLE"):
        write_table(table)


Table = dict[tuple[Server, str], tuple[int, dict[Fault, str]]]


def committed() -> Table:
    """(server, kind of call) → how many of it a whole run makes, and what each fault leads to."""
    rows = [line.strip("|\n ").split(" | ") for line in TABLE.read_text().splitlines() if " | `" in line]
    return {
        (server, kind.strip("`")): (int(count), _known(outcomes))  # type: ignore[misc]
        for server, kind, count, *outcomes in rows
    }


def _known(outcomes: Sequence[str]) -> dict[Fault, str]:
    return {fault: text for fault, text in zip(FAULTS, outcomes, strict=True) if text != NOT_YET}


def write_table(table: Table) -> None:
    lines = [
        "# What becomes of a run whose calls to S3 and MLflow are harmed", "",
        "A run of four steps, with two checkpoints, evaluation and registration, in one process without a cluster. At",
        "one call the process is killed after the server did its work, or the answer is lost with the connection, or",
        "never comes while the connection stays open. Killed, or ended with one line, the run gets the same command",
        "again. Then the checkpoint, the figures, the data sets and the version's tags are those of a run that nothing",
        "befell; there is one READY version, with the alias, one FINISHED run, and none RUNNING; no process is left,",
        "and no cell takes two minutes. Of calls of one kind, which differ by when they come, the first was harmed.",
        "`python -m pytest -m slow tests/pipeline/runs/test_http_matrix.py` confirms every cell; the file's docstring",
        "has the command that writes this table, and the setting that harms later calls too. –: not walked yet.", "",
        f"| server | call | calls | {' | '.join(FAULTS.values())} |", "|---|---|---:|---|---|---|",
    ]  # fmt: skip
    for (server, kind), (count, outcomes) in table.items():
        texts = " | ".join(outcomes.get(fault) or NOT_YET for fault in FAULTS)
        lines.append(f"| {server} | `{kind}` | {count} | {texts} |")
    TABLE.write_text("\n".join(lines) + "\n")
