"""The files of a model's folder, each altered in turn."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

import semanir
from pipeline.errors import UserError, first_line
from pipeline.evaluation.model_source import open_model
from pipeline.metrics.features import checked, read_tensors
from pipeline.registry import ModelCard, sealed
from pipeline.registry.seal import seal
from pipeline.restoring.restorer import Restorer
from pipeline.scoring.harm import Harm, HarmPoint, decode_harm
from pipeline.shipped.locate import MODELS, locate, read_provenance
from pipeline.tasks import TASKS
from tests.fuzz.case import Case
from tests.pipeline.held_out import held_out


def model_cases(scratch: Path) -> list[Case]:
    """Below ``scratch``, which is made."""
    torch.manual_seed(0)
    small = {"embed_dim": 8, "depths": (1, 1, 1), "window_size": 4, "k": 4, "bias_hidden_dim": 8}
    source = semanir.save(semanir.create_model("ushape_tiny", **small), scratch / "saved")
    scores = held_out(("a", 1.0, 2.0), baseline="b")
    card = ModelCard(
        task="demosaicking", setting="s", trained_on="t", protocol="p", baseline="b", scores=scores, steps=1,
        data_fingerprint="d", git_commit="g", fingerprint="f",
    )  # fmt: skip
    folder = scratch / "sealed"
    seal(source, TASKS["demosaicking"], card, folder, carry_code=False)
    files = (sealed.CONFIG_FILE, sealed.WEIGHTS_FILE, sealed.TASK_FILE, sealed.PROBE_FILE)
    shipped = _copy_shipped(scratch / "shipped")
    return [
        *(_case(folder, name) for name in files),
        Case("model digests.json", (folder / sealed.DIGESTS_FILE).read_bytes(), _with(folder, sealed.DIGESTS_FILE)),
        _provenance(shipped),
        _tensors(scratch / "tensors.safetensors"),
        Case("harm curve", Harm("d", (HarmPoint("sigma 25", 1.0, 0.5, "k", 20.0),)).encode().encode(), _harm),
        _shipped_digests(shipped),
    ]


def _case(folder: Path, name: str) -> Case:
    """One file altered, as if whoever did it had written the digests anew; the folder is sound again afterward."""
    sound = (folder / name).read_bytes()

    def read(data: bytes) -> object:
        (folder / name).write_bytes(data)
        try:
            return Restorer(folder, device="cpu"), open_task(folder)
        finally:
            (folder / name).write_bytes(sound)

    return Case(f"model {name}", sound, read, every=4)


def open_task(folder: Path) -> str | None:
    """Evaluation's reader, without the digests."""
    return open_model(str(folder)).task if sealed.read_digests(folder) == _true_digests(folder) else None


def _true_digests(folder: Path) -> dict[str, str]:
    return {name: sealed.file_digest(folder / name) for name in sealed.read_digests(folder)}


def _with(folder: Path, name: str) -> object:
    sound = (folder / name).read_bytes()

    def read(data: bytes) -> object:
        (folder / name).write_bytes(data)
        try:
            return sealed.verify_digests(folder)
        finally:
            (folder / name).write_bytes(sound)

    return read


def _tensors(path: Path) -> Case:
    """Weights of the frozen networks that metrics and losses look through."""
    save_file({"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}, path)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return checked(read_tensors(str(path), "--weights"), {"a.weight": (2, 3), "a.bias": (2,)}, "--weights")

    return Case("frozen weights", path.read_bytes(), read)


def _harm(data: bytes) -> object:
    try:
        return decode_harm(data.decode())
    except ValueError as error:  # a version's curve that cannot be read counts as none
        raise UserError(first_line(error)) from None


def _copy_shipped(models: Path) -> Path:
    """One shipped model's small files, its digests stating no others."""
    source = next(MODELS.glob("*/provenance.json")).parent
    folder = models / "one"
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_bytes((source / "provenance.json").read_bytes())
    sealed.write_digests(folder)
    return folder


def _provenance(folder: Path) -> Case:
    path = folder.parent / "provenance.json"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_provenance(path.parent)

    return Case("provenance.json", (folder / "provenance.json").read_bytes(), read)


def _shipped_digests(folder: Path) -> Case:
    path = folder / sealed.DIGESTS_FILE

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return locate("shipped:one", folder.parent)

    return Case("shipped digests.json", path.read_bytes(), read)
