"""The dictionary DeepSpeed reads."""

from __future__ import annotations

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
