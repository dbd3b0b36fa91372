"""The dictionary DeepSpeed reads."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import TrainingSettings
from pipeline.training.deepspeed_config import build_deepspeed_config


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_batch_sizes_multiply_up(world: int, micro: int, accumulation: int, stage: int) -> None:
    settings = TrainingSettings(
        steps=1, global_batch_size=world * micro * accumulation, micro_batch_size=micro, num_workers=world,
        zero_stage=stage,
    )  # fmt: skip
    config = build_deepspeed_config(settings, world)
    product = config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"] * world
    assert product == config["train_batch_size"] == settings.global_batch_size
    assert config["zero_optimization"]["stage"] == stage


def test_user_block_is_merged_deeply_and_keeps_the_stage() -> None:
    settings = TrainingSettings(
        steps=1,
        global_batch_size=2,
        zero_stage=2,
        zero_optimization={"offload_optimizer": {"device": "cpu"}, "reduce_bucket_size": 1000},
    )
    zero = build_deepspeed_config(settings, 2)["zero_optimization"]
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
    assert build_deepspeed_config(settings, 2) == expected


def test_adamw_is_named_in_both_of_its_places() -> None:
    optimizer = build_deepspeed_config(TrainingSettings(steps=1, global_batch_size=8, optimizer="adamw"), 2)[
        "optimizer"
    ]
    assert (optimizer["type"], optimizer["params"]["adam_w_mode"]) == ("AdamW", True)
