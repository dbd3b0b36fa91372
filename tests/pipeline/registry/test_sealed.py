"""Every file of a sealed folder, the card among them, is proven by its digest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.registry import sealed
from pipeline.registry.sealed import AlteredModelError
from semanir import weights

FILES = (
    "model.safetensors",
    "config.json",
    "task.json",
    "model_card.md",
    "probe.safetensors",
    "code/a.py",
    "code/b/c.py",
)


TASK = {
    "format": 1, "task": "sr_x2", "input_channels": 3, "output_channels": 3, "observed_channels": 3, "upscale": 2,
    "to_input": None,
}  # fmt: skip


def test_the_names_are_those_that_the_library_writes() -> None:
    """The file that travels in every model imports nothing of ours, so it says them again."""
    assert (sealed.WEIGHTS_FILE, sealed.CONFIG_FILE) == (weights.WEIGHTS_FILE, weights.CONFIG_FILE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file of each kind, sealed."""
    root = tmp_path / "model"
    for number, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes([number]) * (number + 1))
    (root / "code/a.pyc").write_bytes(b"made by Python itself")
    sealed.write_digests(root)
    return root


def test_the_record_lists_every_file_but_itself_and_compiled_code(folder: Path) -> None:
    assert sorted(sealed.verify_digests(folder)) == sorted(FILES)
    # The SHA-256 of a zero byte, from outside this code.
    zero = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert sealed.read_digests(folder)["model.safetensors"] == zero
    text = (folder / "digests.json").read_text(encoding="utf-8")
    assert text.startswith('{\n "code/a.py": "')  # in the order of the names, one a line
    assert text.endswith('"\n}\n')
    assert json.loads(text) == sealed.write_digests(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_listed_file_that_is_altered_or_gone_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[0] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(AlteredModelError, match=f"{name} was altered"):
        sealed.verify_digests(folder)
    (folder / name).unlink()
    with pytest.raises(AlteredModelError, match=f"{name} is missing"):
        sealed.verify_digests(folder)


@pytest.mark.parametrize("left", ["task.json", "model_card.md", "probe.safetensors"])
def test_a_seal_that_was_taken_away_is_missed_and_bare_weights_are_none(folder: Path, left: str) -> None:
    assert sealed.is_sealed(folder)
    (folder / "digests.json").unlink()
    for name in {"task.json", "model_card.md", "probe.safetensors"} - {left}:
        (folder / name).unlink()
    with pytest.raises(AlteredModelError, match=f"holds {left} but no digests.json, so nothing proves its weights"):
        sealed.is_sealed(folder)
    (folder / left).unlink()
    assert not sealed.is_sealed(folder)


def test_code_that_was_not_sealed_is_named_and_other_files_may_lie_beside(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    sealed.verify_digests(folder)
    (folder / "code/b/d.py").write_text("")
    with pytest.raises(AlteredModelError, match=r"code that was not registered: code/b/d\.py"):
        sealed.verify_digests(folder)


@pytest.mark.parametrize("left_out", ["model.safetensors", "config.json", "task.json", "probe.safetensors"])
def test_a_record_without_a_part_of_the_model_is_refused(folder: Path, left_out: str) -> None:
    digests = sealed.read_digests(folder)
    del digests[left_out]
    (folder / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(AlteredModelError, match="does not list the weights, configuration, task and probe"):
        sealed.verify_digests(folder)


def test_a_model_s_own_parts_are_enough(folder: Path) -> None:
    parts = {"model.safetensors", "config.json", "task.json", "probe.safetensors"}
    for name in set(FILES) - parts:
        (folder / name).unlink()
    sealed.write_digests(folder)
    assert set(sealed.verify_digests(folder)) == parts


@pytest.mark.parametrize("outside", ["/etc/passwd", "../other", "code/../../other"])
def test_a_record_that_points_outside_is_refused(folder: Path, outside: str) -> None:
    digests = {**sealed.read_digests(folder), outside: "0"}
    (folder / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(AlteredModelError, match="names a file outside the folder"):
        sealed.verify_digests(folder)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_no_record_is_no_seal(folder: Path, text: str) -> None:
    (folder / "digests.json").write_text(text)
    with pytest.raises(AlteredModelError):
        sealed.verify_digests(folder)
    (folder / "digests.json").unlink()
    with pytest.raises(AlteredModelError, match="not a sealed model"):
        sealed.verify_digests(folder)


@pytest.mark.parametrize("inside", ["a..b", "code/a...py", "notes.txt"])
def test_other_files_on_record_are_proven_too(folder: Path, inside: str) -> None:
    (folder / inside).write_text("noted")
    sealed.write_digests(folder)
    assert inside in sealed.verify_digests(folder)
    (folder / inside).write_text("noted again")
    with pytest.raises(AlteredModelError, match="was altered"):
        sealed.verify_digests(folder)


def test_a_task_record_of_another_format_is_refused(folder: Path) -> None:
    (folder / "task.json").write_text(json.dumps(TASK))
    assert sealed.read_task(folder) == {**TASK, "setting": "", "bounds": {}}  # as records of today have them
    for text, said in (('{"format": 2}', "has format 2; this code reads format 1"), ("{}", "has format None")):
        (folder / "task.json").write_text(text)
        with pytest.raises(AlteredModelError, match=said):
            sealed.read_task(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": None}, "task is None"),
        ({"input_channels": "3"}, "input_channels is '3'; expected 1 to 256"),
        ({"observed_channels": 10**9}, "observed_channels is 1000000000"),
        ({"upscale": True}, "upscale is True"),
        ({"to_input": {"module": "os"}}, "to_input is"),
        ({"setting": 3}, "setting is 3; expected a text"),
        ({"bounds": []}, "bounds is"),
        ({"bounds": {"sigma": [5, 1]}}, "bounds is"),
        ({"bounds": {"sigma": ["a", "b"]}}, "bounds is"),
        ({"bounds": {"sigma": [1]}}, "bounds is"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_task_record_names_the_key_that_is_wrong(folder: Path, change: dict[str, object], said: str) -> None:
    (folder / "task.json").write_text(json.dumps({**TASK, **change}))
    with pytest.raises(AlteredModelError, match=said):
        sealed.read_task(folder)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"format": NaN}', '"\\ud800"'])
def test_a_record_that_is_none_is_refused_in_one_line(folder: Path, text: str) -> None:
    (folder / "task.json").write_text(text)
    with pytest.raises(AlteredModelError, match=r"task\.json") as raised:
        sealed.read_task(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "probe",
    [
        b"",
        b"\xff" * 100,
        {"input": torch.zeros(1, 1, 2, 2)},
        {"input": torch.zeros(4), "output": torch.zeros(4)},
        {"input": torch.zeros(1, 1, 2, 2, dtype=torch.int64), "output": torch.zeros(1, 1, 2, 2)},
        {"input": torch.zeros(1, 1, 600, 600), "output": torch.zeros(1, 1, 1, 1)},
    ],
    ids=["empty", "garbage", "no output", "no image", "integers", "too large"],
)
def test_a_probe_that_is_none_is_refused_in_one_line(folder: Path, probe: bytes | dict[str, torch.Tensor]) -> None:
    path = folder / "probe.safetensors"
    if isinstance(probe, bytes):
        path.write_bytes(probe)
    else:
        save_file(probe, path)
    with pytest.raises(AlteredModelError, match=r"probe\.safetensors cannot be read") as raised:
        sealed.check_probe(torch.nn.Identity(), folder)
    assert "\n" not in str(raised.value)


def test_a_probe_of_other_channels_is_none_of_this_model(folder: Path) -> None:
    save_file({"input": torch.zeros(1, 2, 4, 4), "output": torch.zeros(1, 3, 4, 4)}, folder / "probe.safetensors")
    with pytest.raises(AlteredModelError, match="is no probe of this model"):
        sealed.check_probe(torch.nn.Conv2d(3, 3, 1), folder)


@pytest.mark.parametrize(
    ("shift", "at", "refused"),
    [
        (0.049 / 255, "everywhere", False),
        (0.051 / 255, "everywhere", True),
        (0.49 / 255, "one value", False),
        (0.51 / 255, "one value", True),
        (float("nan"), "one value", True),
    ],
)
def test_the_probe_allows_half_a_level_anywhere_and_a_twentieth_on_average(
    folder: Path, shift: float, at: str, refused: bool
) -> None:
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    save_file({"input": x, "output": x.clone()}, folder / "probe.safetensors")

    class Shifted(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            out = x.clone()
            out[(...,) if at == "everywhere" else (0, 0, 0, 0)] += shift
            return out

    if not refused:
        sealed.check_probe(Shifted(), folder)
        return
    with pytest.raises(AlteredModelError, match="does not compute what it did when it was registered"):
        sealed.check_probe(Shifted(), folder)


def test_a_model_of_another_shape_fails_its_probe(folder: Path) -> None:
    save_file({"input": torch.zeros(1, 1, 2, 2), "output": torch.zeros(1, 1, 4, 4)}, folder / "probe.safetensors")
    with pytest.raises(AlteredModelError, match=r"gives shape \(1, 1, 2, 2\), not \(1, 1, 4, 4\)"):
        sealed.check_probe(torch.nn.Identity(), folder)


def test_a_copy_of_a_sealed_folder_is_sealed(folder: Path, tmp_path: Path) -> None:
    assert sealed.verify_digests(shutil.copytree(folder, tmp_path / "copy")) == sealed.verify_digests(folder)
