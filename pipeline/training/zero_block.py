"""``training.zero_optimization`` as DeepSpeed reads it: what it refuses or ignores is refused before workers start."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch

from pipeline.config import TrainingSettings
from pipeline.errors import UserError
from pipeline.training.deepspeed_config import zero_optimization
from pipeline.training.deepspeed_internals import zero_config_class
from pipeline.training.engine import import_deepspeed

OFFLOADS = {"offload_optimizer": 1, "offload_param": 3}  # and the first ZeRO stage that does not ignore it


def read_zero(settings: TrainingSettings) -> Any:
    """DeepSpeed's own reading of what its engine will be given: what is left out, or ``auto``, has its default."""
    import_deepspeed(torch.device("cpu"))
    return zero_config_class()(**zero_optimization(settings))


def offloads(zero: Any, part: str) -> bool:
    """Whether ``part`` of OFFLOADS lies in main memory."""
    given = getattr(zero, part)
    return given is not None and given.device == "cpu"


def check_zero_block(block: Mapping[str, Any], stage: int) -> None:
    """Refuse a ``training.zero_optimization`` block that DeepSpeed would, or would ignore, or that checkpoints cannot.

    Raises:
        UserError: naming the key.
    """
    import_deepspeed(torch.device("cpu"))
    from pydantic import ValidationError

    zero_config = zero_config_class()

    if block.get("stage", stage) != stage:
        raise UserError(f"training.zero_optimization.stage is {block['stage']}, but training.zero_stage is {stage}")
    _check_names(block, zero_config.model_fields)
    try:
        zero = zero_config(**{"stage": stage, **block})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, ("training", "zero_optimization", *first["loc"])))
        known = ""
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            close = difflib.get_close_matches(str(first["loc"][0]), zero_config.model_fields, n=3)
            known = f"; did you mean {' or '.join(close)}?" if close else ""
        what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise UserError(f"{key}: {what}{known}") from None
    for part, least in OFFLOADS.items():
        given = getattr(zero, part)
        if given is not None and given.device == "nvme":
            raise UserError(
                f"training.zero_optimization.{part}.device: nvme is not supported, as checkpoints keep what is in "
                "memory; give cpu, or a higher zero_stage on more workers"
            )
        if offloads(zero, part) and stage < least:
            raise UserError(
                f"training.zero_optimization.{part}: DeepSpeed ignores it below training.zero_stage {least}, and "
                f"zero_stage is {stage}: raise it, or leave {part} out"
            )


def _check_names(block: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """A key of old is read by DeepSpeed as another one, which is what a plan and the checks above look at."""
    for key in block:
        about = (fields[key].json_schema_extra if key in fields else None) or {}
        if about.get("deprecated"):
            raise UserError(
                f"training.zero_optimization.{key}: DeepSpeed gave it up for {about['new_param']}; give that, as "
                "its documentation says"
            )
