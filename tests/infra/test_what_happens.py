"""The part "What happens when" of OPERATIONS.md says what the tables of faults say. To write it anew:

SEMANIR_WRITE_TABLE=1 python -m pytest tests/infra/test_what_happens.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from infra.local.folders import PROJECT_ROOT

OPERATIONS = PROJECT_ROOT / "infra/OPERATIONS.md"
CHECKPOINTS = PROJECT_ROOT / "pipeline/training/checkpoint_faults.md"
NOT_YET = "–"  # a cell that no walk has filled
HTTP = PROJECT_ROOT / "pipeline/runs/http_faults.md"
BEGIN = "<!-- from the tables of faults, by tests/infra/test_what_happens.py -->"
END = "<!-- end -->"


def rows(table: Path) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a file's only table."""
    lines = [line.strip("|\n ").split(" | ") for line in table.read_text().splitlines() if line.startswith("|")]
    return lines[0], lines[2:]


def grouped(cells: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Rows of (harm, to what, where, what happened): harms that end alike are in one row, and so are their objects."""
    harms: dict[tuple[str, str, str], list[str]] = {}
    for harm, to, where, happened in cells:
        harms.setdefault((to, where, happened), []).append(harm)
    objects: dict[tuple[str, str, str], list[str]] = {}
    for (to, where, happened), done in harms.items():
        objects.setdefault((", ".join(dict.fromkeys(done)), where, happened), []).append(to)
    return [f"| {done} | {_named(to)} | {where} | {happened} |" for (done, where, happened), to in objects.items()]


def _named(to: list[str]) -> str:
    return ", ".join(to) if len(to) <= 6 else f"{len(to)} kinds"


def checkpoint_cells() -> Iterable[tuple[str, str, str, str]]:
    head, table = rows(CHECKPOINTS)
    for file, harm, *outcomes in table:
        for where, happened in zip(head[2:], outcomes, strict=True):
            yield harm, file, where, happened


def http_cells() -> Iterable[tuple[str, str, str, str]]:
    head, table = rows(HTTP)
    for server, call, _, *outcomes in table:
        for harm, happened in zip(head[3:], outcomes, strict=True):
            if happened != NOT_YET:
                yield harm, call, server, happened


def section() -> str:
    return "\n".join(
        [
            BEGIN,
            "A file of a checkpoint is damaged while the run is down; then the same command is given (each kind of",
            "file: [table](../pipeline/training/checkpoint_faults.md)):",
            "",
            "| damage | files | which checkpoint | the same command |",
            "|---|---|---|---|",
            *grouped(checkpoint_cells()),
            "",
            "One HTTP call of a run that trains, evaluates and registers is harmed (each kind of call:",
            "[table](../pipeline/runs/http_faults.md)):",
            "",
            "| harm | calls | to | the run |",
            "|---|---|---|---|",
            *grouped(http_cells()),
            END,
        ]
    )


def test_operations_say_what_the_tables_say() -> None:
    text = OPERATIONS.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    assert after, f"{OPERATIONS} has lost the marks of the part that is generated"
    wanted = before + section() + after
    if os.environ.get("SEMANIR_WRITE_TABLE"):
        OPERATIONS.write_text(wanted)
    assert OPERATIONS.read_text() == wanted
