"""The dictionary DeepSpeed reads."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import TrainingSettings, resolve
from pipeline.data.batches import Phase
from pipeline.training.deepspeed_config import build_deepspeed_config
from pipeline.training.phases import training_phases

WHOLE = [Phase(global_batch_size=8, micro_batch_size=4)]  # a worker of two takes its half at once


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_batch_sizes_multiply_up(world: int, micro: int, accumulation: int, stage: int) -> None:
    total = world * micro * accumulation
    settings = TrainingSettings(steps=1, global_batch_size=total, num_workers=world, zero_stage=stage)
    config = build_deepspeed_config(settings, [Phase(global_batch_size=total, micro_batch_size=micro)], world)
    assert config["train_micro_batch_size_per_gpu"] == micro
    assert config["gradient_accumulation_steps"] == accumulation
    assert isinstance(config["gradient_accumulation_steps"], int)  # DeepSpeed counts by it
    assert config["train_batch_size"] == total
    assert config["zero_optimization"]["stage"] == stage


def test_the_phase_that_accumulates_the_most_counts() -> None:
    """ZeRO is told once whether the gradients that it holds on the CPU are sums; steps tell the rest themselves."""
    phases = [
        Phase(global_batch_size=64, micro_batch_size=32, steps=1),
        Phase(global_batch_size=8, micro_batch_size=2, steps=1),
        Phase(global_batch_size=16, micro_batch_size=8, steps=1),
    ]
    config = build_deepspeed_config(TrainingSettings(steps=3, global_batch_size=64), phases, 2)
    assert (config["train_batch_size"], config["train_micro_batch_size_per_gpu"]) == (8, 2)
    assert config["gradient_accumulation_steps"] == 2


def test_the_crops_of_an_image_stay_together() -> None:
    """Four workers of at most six: 24 samples are 12 images of two crops, three a worker, which are taken singly."""
    values = {"steps": 1, "global_batch_size": 24, "num_workers": [4, 6]}
    data = {"train": "unused", "val": "unused", "patch_size": 32, "crops_per_image": 2}
    config = resolve({"defaults": {"storage": "unused", "data": data, "training": values}}, "denoising_color")
    phases = [phase.data_phase(4) for phase in training_phases(config)]
    told = build_deepspeed_config(config.training, phases, 4)
    assert told["train_micro_batch_size_per_gpu"] == 2
    assert told["gradient_accumulation_steps"] == 3


def test_user_block_is_merged_deeply_and_keeps_the_stage() -> None:
    settings = TrainingSettings(
        steps=1,
        global_batch_size=2,
        zero_stage=2,
        zero_optimization={"offload_optimizer": {"device": "cpu"}, "reduce_bucket_size": 1000},
    )
    zero = build_deepspeed_config(settings, WHOLE, 2)["zero_optimization"]
    assert zero["stage"] == 2
    assert zero["offload_optimizer"] == {"device": "cpu"}
    assert zero["reduce_bucket_size"] == 1000


DEFAULTS: dict[str, Any] = {
    "train_batch_size": 8,
    "train_micro_batch_size_per_gpu": 4,
    "gradient_accumulation_steps": 1,
    "gradient_clipping": 0.0,
    "optimizer": {
        "type": "Adam",
        "params": {
            "lr": 2e-4,
            "betas": [0.9, 0.999],
            "weight_decay": 0.0,
            "torch_adam": True,
            "adam_w_mode": False,
        },
    },
    "zero_optimization": {"stage": 1, "contiguous_gradients": True, "overlap_comm": False},
    "bf16": {"enabled": False},
    "steps_per_print": 2**60,
    "wall_clock_breakdown": False,
}


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ({}, (), None),
        ({"gradient_clipping": 0.5}, ("gradient_clipping",), 0.5),
        ({"learning_rate": 1e-3}, ("optimizer", "params", "lr"), 1e-3),
        ({"betas": (0.8, 0.95)}, ("optimizer", "params", "betas"), [0.8, 0.95]),
        ({"weight_decay": 0.1}, ("optimizer", "params", "weight_decay"), 0.1),
        ({"zero_stage": 3}, ("zero_optimization", "stage"), 3),
        ({"use_gpu": True}, ("zero_optimization", "overlap_comm"), True),
        ({"precision": "bf16"}, ("bf16", "enabled"), True),
        ({"zero_optimization": {"overlap_comm": True}}, ("zero_optimization", "overlap_comm"), True),
    ],
    ids=str,
)
def test_a_setting_changes_its_own_key_alone(given: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """DeepSpeed's key names are those of its configuration reference."""
    expected = place = copy.deepcopy(DEFAULTS)
    for key in path[:-1]:
        place = place[key]
    place.update({path[-1]: value} if path else {})
    settings = TrainingSettings(steps=1, global_batch_size=8, **given)
    assert build_deepspeed_config(settings, WHOLE, 2) == expected


def test_adamw_is_named_in_both_of_its_places() -> None:
    settings = TrainingSettings(steps=1, global_batch_size=8, optimizer="adamw")
    optimizer = build_deepspeed_config(settings, WHOLE, 2)["optimizer"]
    assert (optimizer["type"], optimizer["params"]["adam_w_mode"]) == ("AdamW", True)


@pytest.mark.slow
def test_importing_deepspeed_leaves_mlflow_and_the_compiler_where_they_were() -> None:
    program = (
        "import sys, torch; from pipeline.training.engine import import_deepspeed; "
        "import_deepspeed(torch.device('cpu')); from deepspeed.runtime.zero.muon import muon_optimizer; "
        "print([name for name in ('mlflow', 'torch._inductor.compile_fx') if name in sys.modules]); "
        "from deepspeed.runtime import compiler; print(compiler.compile() is torch.compile); "
        "import mlflow; print(mlflow.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "True", "mlflow"]
