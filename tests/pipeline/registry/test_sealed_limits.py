"""What a sealed folder may hold at most, each limit taken and one more refused, and how a failed probe is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.registry import sealed
from pipeline.registry.sealed import AlteredModelError

TASK = {
    "format": 1, "task": "sr_x2", "input_channels": 3, "output_channels": 3, "observed_channels": 3, "upscale": 2,
}  # fmt: skip
PARTS = dict.fromkeys(("model.safetensors", "config.json", "task.json", "probe.safetensors"), "0")


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a" * 255, True),
        ("a" * 256, False),
        ("é" * 127 + "a", True),  # 255 bytes
        ("é" * 128, False),
        ("code/" + "a" * 256 + "/b", False),
        ("aaaa/" * 199 + "aaaaa", True),  # 1000 characters
        ("aaaa/" * 199 + "aaaaaa", False),
        ("a\nb", False),
        ("a\x00b", False),
        ("", True),  # no file, and said to be missing
    ],
    ids=lambda value: f"{len(value)} characters" if isinstance(value, str) else str(value),
)
def test_names_are_as_long_as_file_systems_take(tmp_path: Path, name: str, taken: bool) -> None:
    record = {**PARTS, name: "0"}
    (tmp_path / "digests.json").write_text(json.dumps(record))
    if taken:
        assert sealed.read_digests(tmp_path) == record
        return
    with pytest.raises(AlteredModelError, match="names no file that a model has"):
        sealed.read_digests(tmp_path)


@pytest.mark.parametrize("key", ["input_channels", "output_channels", "observed_channels", "upscale"])
@pytest.mark.parametrize(("count", "taken"), [(0, False), (1, True), (256, True), (257, False), (2.0, False)])
def test_counts_are_1_to_256(tmp_path: Path, key: str, count: float, taken: bool) -> None:
    (tmp_path / "task.json").write_text(json.dumps({**TASK, key: count}))
    if taken:
        assert sealed.read_task(tmp_path)[key] == count
        return
    with pytest.raises(AlteredModelError, match=f"{key} is {count}; expected 1 to 256"):
        sealed.read_task(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        ("to_input", None, True),
        ("to_input", {"module": "m", "function": "f"}, True),
        ("to_input", {"function": "f"}, False),
        ("to_input", {"module": "m", "function": 1}, False),
        ("to_input", {"module": 1, "function": "f"}, False),
        ("to_input", "m.f", False),
        ("bounds", {"sigma": [0, 50.5], "quality": [10, 40]}, True),
        ("bounds", {"sigma": [25, 25]}, True),
        ("bounds", {"sigma": [26, 25]}, False),
        ("bounds", {"sigma": [False, True]}, False),
        ("bounds", {"sigma": [1, 2, 3]}, False),
        ("bounds", {"sigma": [0, 50], "quality": None}, False),
    ],
)
def test_the_way_in_and_the_bounds_of_a_task(tmp_path: Path, key: str, value: object, taken: bool) -> None:
    (tmp_path / "task.json").write_text(json.dumps({**TASK, key: value}))
    if taken:
        assert sealed.read_task(tmp_path)[key] == value
        return
    with pytest.raises(AlteredModelError, match=f"{key} is"):
        sealed.read_task(tmp_path)


def test_a_record_may_be_as_long_as_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (sealed.MAX_RECORD_BYTES, sealed.MAX_PROBE_BYTES) == (64 * 1024 * 1024, 1024 * 1024)
    text = json.dumps(TASK)
    (tmp_path / "task.json").write_text(text)
    monkeypatch.setattr(sealed, "MAX_RECORD_BYTES", len(text))
    assert sealed.read_task(tmp_path)["task"] == "sr_x2"
    monkeypatch.setattr(sealed, "MAX_RECORD_BYTES", len(text) - 1)
    with pytest.raises(AlteredModelError, match=f"no file of at most {len(text) - 1} bytes"):
        sealed.read_task(tmp_path)
    (tmp_path / "task.json").unlink()
    (tmp_path / "task.json").mkdir()
    with pytest.raises(AlteredModelError, match="no file of at most"):
        sealed.read_task(tmp_path)


def test_a_probe_may_be_as_large_as_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.zeros(1, 1, 4, 4)
    save_file({"input": image, "output": image + 1}, tmp_path / "probe.safetensors")
    size = (tmp_path / "probe.safetensors").stat().st_size
    monkeypatch.setattr(sealed, "MAX_PROBE_BYTES", size)
    given, expected = sealed.read_probe(tmp_path)
    assert (float(given.max()), float(expected.min())) == (0, 1)
    monkeypatch.setattr(sealed, "MAX_PROBE_BYTES", size - 1)
    with pytest.raises(AlteredModelError, match=f"no file of at most {size - 1} bytes"):
        sealed.read_probe(tmp_path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\n what is wrong\nand why"), "(what is wrong)"),
        (TypeError("   \n"), "(TypeError)"),
        (RuntimeError("a" * 300), f"({'a' * 200})"),
    ],
    ids=["first line", "nothing said", "long"],
)
def test_why_a_model_cannot_take_its_probe_is_said_in_short(tmp_path: Path, error: Exception, said: str) -> None:
    class Refusing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise error

    save_file({"input": torch.zeros(1, 2, 4, 4), "output": torch.zeros(1, 3, 4, 4)}, tmp_path / "probe.safetensors")
    with pytest.raises(AlteredModelError) as raised:
        sealed.check_probe(Refusing(), tmp_path)
    assert str(raised.value).endswith(f"is no probe of this model: it takes no input (1, 2, 4, 4) {said}")
