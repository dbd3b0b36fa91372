"""What is refused before a worker starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import resolve
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.errors import UserError
from pipeline.runs.preflight import check_config, check_data, check_runs

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("preflight")
    (root / "images").mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(root / "images" / "one.png")
    pack_dataset(folder_sources(str(root / "images")), str(root / "shards"))
    return str(root / "shards")


def config(shards: str, task: str, *overrides: str) -> Any:
    document = {
        "defaults": {
            "storage": f"{shards}-runs",
            "data": {"train": shards, "val": shards, "patch_size": 32},
            "training": {"steps": 1, "global_batch_size": 4},
        }
    }
    return resolve(document, task, overrides)


@pytest.mark.parametrize(
    ("task", "override", "words"),
    [
        ("sr_x3", "data.patch_size=32", ["patch_size 32", "multiple of 3", "33"]),
        ("deblurring", "data.patch_size=34", ["patch_size 34", "multiple of 8", "32"]),
        ("denoising_color", "setting.sigma=-1", ["sigma", "-1"]),
        ("denoising_color", "setting.sigmas=1", ["sigmas", "sigma"]),
        ("denoising_color", "model.name=ushape_huge", ["ushape_huge", "ushape_base"]),
        ("denoising_color", "model.k=5000", ["5000", "1024"]),
        ("denoising_color", "training.random_k=[64, 2000]", ["random_k", "2000", "1024"]),
        ("denoising_color", "training.loss=l3", ["l3", "charbonnier"]),
        ("denoising_color", "data.streams=3", ["3 streams"]),
        (
            "denoising_color",
            "training.zero_optimization={offload_optimizer: {device: nvme, nvme_path: /tmp}}",
            ["training.zero_optimization.offload_optimizer.device", "nvme", "checkpoints", "cpu"],
        ),
        (
            "denoising_color",
            "training={zero_stage: 0, zero_optimization: {offload_optimizer: {device: cpu}}}",
            ["training.zero_optimization.offload_optimizer", "zero_stage is 0", "below training.zero_stage 1"],
        ),
        (
            "denoising_color",
            "training={zero_stage: 2, zero_optimization: {offload_param: {device: cpu}}}",
            ["training.zero_optimization.offload_param", "zero_stage is 2", "below training.zero_stage 3"],
        ),
        (
            "denoising_color",
            "training.zero_optimization={cpu_offload: true}",
            ["training.zero_optimization.cpu_offload", "offload_optimizer"],
        ),
        (
            "denoising_color",
            "training.zero_optimization={stage3_gather_fp16_weights_on_model_save: false}",
            ["stage3_gather_fp16_weights_on_model_save", "gather_16bit_weights_on_model_save"],
        ),
        (
            "denoising_color",
            "training.zero_optimization={offload_optimizer: {device: cpu, ratio: 0.5}}",
            ["training.zero_optimization: ", "Stage 3"],
        ),
        (
            "denoising_color",
            "training.zero_optimization={reduce_bucket_size: auto, overlap_com: true}",
            ["training.zero_optimization.overlap_com: unknown key", "overlap_comm"],
        ),
    ],
)
def test_configuration_is_refused_in_one_line(shards: str, task: str, override: str, words: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        check_config(config(shards, task, override))
    message = str(refusal.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_patch_larger_than_the_smallest_image(shards: str) -> None:
    with pytest.raises(UserError, match="40"):
        check_data(config(shards, "denoising_color", "data.patch_size=48"))
    check_data(config(shards, "denoising_color"))


def test_a_folder_without_shards(shards: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        check_data(config(shards, "denoising_color", f"data.val={tmp_path}"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("gone.mat", None, "does not exist"),
        ("text.npy", b"no array", "cannot be read"),
        ("shake.txt", b"1", "of no known kind"),
        ("folder.png", "folder", "folder.png"),
    ],
)
def test_kernel_files_are_opened(shards: str, tmp_path: Path, name: str, data: Any, said: str) -> None:
    np.save(tmp_path / "sound.npy", np.ones((3, 3)))
    check_data(config(shards, "deblurring", f"setting.kernel_files=[{tmp_path}/sound.npy]"))
    if data == "folder":
        (tmp_path / name).mkdir()
    elif data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=said) as refusal:
        check_data(config(shards, "deblurring", f"setting.kernel_files=[{tmp_path}/sound.npy, {tmp_path}/{name}]"))
    assert "\n" not in str(refusal.value)
    assert name in str(refusal.value)


def test_mlflow_that_is_not_named_or_does_not_answer(shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI is not set"):
        check_runs([config(shards, "denoising_color")])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9"):
        check_runs([config(shards, "denoising_color")])


NOT_RUNS = ("sweeps", "ablations")
RUNS = [path for path in sorted((ROOT / "jobs/configs").rglob("*.yaml")) if path.parent.name not in NOT_RUNS]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_shipped_configurations_are_sound(path: Path) -> None:
    from pipeline.config import read_config
    from pipeline.tasks import TASKS

    document = read_config(path)
    for task in document.get("tasks") or TASKS:
        check_config(resolve(document, task))
