"""Damage to checkpoints: each kind of file, each kind of harm, in the latest or in all, and what the same command does.

The table that this confirms is committed as pipeline/training/checkpoint_faults.md. To write it anew after a change:

    SEMANIR_WRITE_TABLE=1 python -m pytest -m slow tests/pipeline/training/test_checkpoint_matrix.py
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig, resolve
from pipeline.training.context import PlainContext
from pipeline.training.loop import train
from pipeline.training.proof import proof_of
from tests.pipeline.training.checkpoint_harm import HARMS, files_of, harm

TABLE = Path(__file__).resolve().parents[3] / "pipeline" / "training" / "checkpoint_faults.md"
STEPS, LAST = 6, "step-000000006"
WHERE = ("latest", "all")


def config(shards: Path, workers: int) -> RunConfig:
    """Six steps with checkpoints after the second, the fourth and the last."""
    document = {
        "defaults": {
            "storage": "unused",
            "setting": {"sigma": 25},
            "model": {"name": "ushape_tiny"},
            "data": {"train": str(shards), "val": str(shards), "patch_size": 16, "streams": 4, "block_size": 2},
            "training": {
                "steps": STEPS, "global_batch_size": 4, "learning_rate": 2e-3, "loss": "pseudo_huber", "ema_decay": 0.9,
                "log_every": 1, "validate_every": 2, "checkpoint_every": 2, "num_workers": workers, "zero_stage": 2,
            },
        }
    }  # fmt: skip
    return resolve(document, "denoising_color", ())


def digests(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds, to the last bit; lists count attempts, and figures tell times: not those."""
    return {
        path.relative_to(checkpoint).as_posix(): proof_of(path)
        for path in checkpoint.rglob("*")
        if path.is_file() and path.parent.name != "parts" and path.name != "figures.json"
    }


def interrupted(whole: Path, copy: Path) -> Path:
    """The checkpoints of a run that was killed in its fifth step."""
    shutil.copytree(whole, copy)
    shutil.rmtree(copy / LAST)
    return copy


def outcome(said: list[str], first_step: int, equal: bool) -> str:
    """The cell's text: what was said of the damaged checkpoint, where the run went on, and how it ended."""
    assert all("\n" not in line for line in said)
    kinds = sorted({"unfinished, deleted" if "unfinished" in line else "named, set aside" for line in said[:-1]})
    begins = "begins anew" if first_step == 1 else f"goes on from step {first_step - 1}"
    return f"{' and '.join(kinds)}; {begins}; {'equal to the last bit' if equal else 'DIFFERENT'}"


def committed() -> dict[tuple[str, str, str], str]:
    """(kind of file, harm, where) → outcome, from the table."""
    rows = [line.strip("|\n ").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    cells: dict[tuple[str, str, str], str] = {}
    for file, what, latest, everywhere in rows:
        cells[file.strip("`"), what, "latest"] = latest
        cells[file.strip("`"), what, "all"] = everywhere
    return cells


def kind_of(file: str) -> str:
    """The name of a file for ranks of any number."""
    folder, _, name = file.partition("/")
    return f"{folder}/<rank>.{name.rpartition('.')[2]}" if folder in ("engine", "parts") else file


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of the uninterrupted run of one worker."""
    folder = tmp_path_factory.mktemp("whole")
    train(config(shards, 1), PlainContext(folder))
    return folder


@pytest.mark.parametrize(
    ("file", "what", "where"),
    [
        ("engine/00000-of-00001.safetensors", "bit flipped", "latest"),
        ("best/model.safetensors", "emptied", "latest"),
        ("state.json", "cut", "all"),
        ("parts/00000-of-00001.json", "gone", "latest"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_changes_nothing(
    file: str, what: str, where: str, whole: Path, shards: Path, tmp_path: Path
) -> None:
    context = PlainContext(interrupted(whole, tmp_path / "run"))
    harm(context.storage, file, what, where)
    train(config(shards, 1), context)
    first = min(step for step, metrics in context.logged if "loss" in metrics)
    found = outcome(context.said, first, digests(context.storage / LAST) == digests(whole / LAST))
    assert found == committed()[kind_of(file), what, where]
    assert first == (1 if where == "all" else 3)


def test_nothing_is_said_of_a_sound_checkpoint(whole: Path, shards: Path, tmp_path: Path) -> None:
    context = PlainContext(interrupted(whole, tmp_path / "run"))
    train(config(shards, 1), context)
    assert context.said == []
    assert digests(context.storage / LAST) == digests(whole / LAST)


@pytest.mark.slow
@pytest.mark.parametrize("what", HARMS)
def test_every_cell_on_two_workers(what: str, shards: Path, run_group: Any, tmp_path: Path) -> None:
    run = config(shards, 2).model_dump_json()
    cells = [(file, where) for file in files_of(2) for where in WHERE]
    named = {f"{number}": {"file": file, "what": what, "where": where} for number, (file, where) in enumerate(cells)}
    results = run_group(tmp_path, "matrix", 2, config=run, cells=named)[0]
    expected = digests(tmp_path / "whole" / LAST)
    found = {
        (kind_of(file), what, where): outcome(
            results[number]["said"], results[number]["first"], digests(tmp_path / number / LAST) == expected
        )
        for number, (file, where) in zip(named, cells, strict=True)
    }
    if os.environ.get("SEMANIR_WRITE_TABLE"):
        write_table({**(committed() if TABLE.exists() else {}), **found})
    assert found == {cell: text for cell, text in committed().items() if cell[1] == what}


def write_table(cells: Mapping[tuple[str, str, str], str]) -> None:
    lines = [
        "# What becomes of a run whose checkpoints are damaged", "",
        "Two workers, ZeRO stage 2, a moving average; a run of six steps was killed in its fifth, its checkpoints of",
        "steps 2 and 4 were harmed, and the same command was given again. Each damaged one is named in one line.",
        "`python -m pytest -m slow tests/pipeline/training/test_checkpoint_matrix.py` confirms every cell; the file's",
        "docstring has the command that writes this table.", "",
        "| file | harm | in the latest | in all |", "|---|---|---|---|",
    ]  # fmt: skip
    for file in dict.fromkeys(file for file, _, _ in cells):
        for what in HARMS:
            if (file, what, "latest") in cells:
                lines.append(f"| `{file}` | {what} | {cells[file, what, 'latest']} | {cells[file, what, 'all']} |")
    TABLE.write_text("\n".join(lines) + "\n")
