"""What runs keep in their storage and find there again: leases, checkpoints' lists and states, records and journals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from pipeline.errors import UserError
from pipeline.evaluation.measure import PLAN_FILE, claim, stored_scores
from pipeline.metrics.catalog import METRICS
from pipeline.scoring.parquet import encode_scores
from pipeline.scoring.plan import Plan
from pipeline.scoring.record import Score
from pipeline.serving.batch.journal import ATTEMPTS, Journal
from pipeline.serving.batch.names import Name
from pipeline.serving.batch.outcomes import RECORD_NAME, Row, encode_rows, read_record
from pipeline.serving.batch.parts import part_key, read_part, with_known, write_plan
from pipeline.storage import open_storage
from pipeline.storage.lease import _UNREADABLE, FOLDER, _died_here, _numbers, _read
from pipeline.training.checkpoint import of_this_version, read_state
from pipeline.training.context import PlainContext
from pipeline.training.engine_state import FOLDER as ENGINE
from pipeline.training.engine_state import open_slices
from pipeline.training.figures import FILE as FIGURES
from pipeline.training.figures import FigureLog
from pipeline.training.proof import Saving, agreed_files, prove
from pipeline.training.state import TrainingState
from tests.fuzz.case import Case


def record_cases(scratch: Path) -> list[Case]:
    """Below ``scratch``, which is made."""
    scratch.mkdir()
    return [_lease(scratch), *_checkpoint(scratch / "checkpoint"), *_restoring(scratch), *_evaluation(scratch)]


def _lease(scratch: Path) -> Case:
    store = open_storage(str(scratch / "leased"))

    def read(data: bytes) -> object:
        store.write(f"{FOLDER}000001.json", data)
        owners = [owner for number in _numbers(store) if (owner := _read(store, number))]
        if any(_died_here(owner) or owner == _UNREADABLE for owner in owners):
            raise UserError("nobody holds this")
        return owners

    sound = b'{"name": "a", "since": "b", "nonce": "c", "process": "d/e/1/2", "beat": 3, "released": false}'
    return Case("lease", sound, read)


def _checkpoint(folder: Path) -> list[Case]:
    (folder / ENGINE).mkdir(parents=True)
    state = TrainingState("digest", skipped_samples=[{"key": "k"}])
    (folder / "state.json").write_text(json.dumps({"optimizer_steps": 3, **state.to_dict()}))
    slices = folder / ENGINE / "00000-of-00001.safetensors"
    save_file({"weight/a": torch.arange(4.0)}, slices, metadata={"starts": json.dumps({"a": 0})})
    saving = Saving(0, 1, 7, 99)
    proof = prove(folder, saving)

    def slices_of(data: bytes) -> object:
        slices.write_bytes(data)
        with of_this_version("engine/"), open_slices(folder) as stored:
            return stored.read("weight", "a", 0, 4)

    def state_of(data: bytes) -> object:
        (folder / "state.json").write_bytes(data)
        return read_state(folder)

    def figures_of(data: bytes) -> object:
        (folder / FIGURES).write_bytes(data)
        context = PlainContext(folder)
        FigureLog(context).tell_again(folder)
        return context

    log = FigureLog(PlainContext(folder))
    log.tell(1, {"loss": 0.5, "workers": 1})
    log.save(folder)
    return [
        Case("checkpoint figures", (folder / FIGURES).read_bytes(), figures_of),
        Case("checkpoint list", proof.read_bytes(), lambda data: agreed_files({saving.list_name: data}, 1, 7)),
        Case("checkpoint state", (folder / "state.json").read_bytes(), state_of),
        Case("checkpoint slices", slices.read_bytes(), slices_of),
    ]


def _restoring(scratch: Path) -> list[Case]:
    store = open_storage(str(scratch / "restored"))
    row = Row(
        source="a", target="a", digest="d", model="m", settings="s", k=4, seconds=0.5, outcome="restored",
    )  # fmt: skip
    write_plan(store, with_known([Name("a", "a"), Name("b", "b", 3, 4, b"x")], [row], "s"))
    Journal(store, 0).begin("a")
    note = f"{ATTEMPTS}/{0:08d}.json"

    def case(name: str, key: str, sound: bytes, read: Callable[[], object]) -> Case:
        def reader(data: bytes) -> object:
            store.write(key, data)
            return read()

        return Case(name, sound, reader)

    return [
        case("restoring record", RECORD_NAME, encode_rows([row]), lambda: list(read_record(store))),
        case("restoring plan", part_key(0), store.read(part_key(0)), lambda: read_part(store, 0)),
        case("restoring note", note, store.read(note), lambda: Journal(store, 0)),
    ]


def _evaluation(scratch: Path) -> list[Case]:
    store = open_storage(str(scratch / "evaluated"))
    plan = Plan(
        task="sr_x2", setting="{}", images="i", images_digest="d", num_images=1, paired=False, dataset="s",
        baselines=("bicubic",),
    )  # fmt: skip
    claim(plan, store)
    scores = encode_scores([Score(0, "k", "input", None, dict.fromkeys(METRICS, 1.0))])

    def claimed(data: bytes) -> object:
        store.write(PLAN_FILE, data)
        return claim(plan, store)

    def stored(data: bytes) -> object:
        store.write("parts/00000000.parquet", data)
        found = stored_scores(store, set(METRICS))
        if not found:
            raise UserError("measured again")
        return found

    return [Case("evaluation plan", store.read(PLAN_FILE), claimed), Case("evaluation part", scores, stored)]
