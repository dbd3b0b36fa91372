"""What a model was not trained for, told by its configuration: sentences for its card."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import RunConfig
from pipeline.tasks import TASKS
from pipeline.tasks.base import Task
from pipeline.tasks.settings import TaskSettings
from pipeline.wording import counted

FEW_IMAGES = 500  # DIV2K's 800 are the least that the field's papers train on


def stated_limits(config: RunConfig, image_counts: Sequence[int]) -> tuple[str, ...]:
    """Sentences on the range, on what was narrowed, on few images and short training.

    Args:
        config: the run's.
        image_counts: of each training set, in samples of its manifest; squares cut of one image count one each.
    """
    task = TASKS[config.task]
    setting = task.parse_settings(config.setting)
    shown = _ranges(setting)
    what = f": {shown}" if shown else " at its one strength"
    lines = [f"Trained for {task.title}{what}. Outside of this it may make a picture worse."]
    narrowed = _narrowed(task, setting)
    if narrowed:
        lines.append(f"Narrower than the task: {narrowed}.")
    if _never_clean(task, setting):
        lines.append("It saw no picture with nothing wrong: a clean picture may lose detail.")
    total = sum(image_counts)
    if total < FEW_IMAGES:
        lines.append(
            f"It learned from {counted(total, 'image')}; the field's papers train on {FEW_IMAGES} and far more."
        )
    seen = config.training.steps * config.training.global_batch_size
    lines.append(
        f"{counted(config.training.steps, 'step')}, {counted(seen, 'patch', 'patches')} of "
        f"{config.data.patch_size} pixels; published models of these"
        " tasks see millions."
    )
    return tuple(lines)


def _ranges(setting: TaskSettings) -> str:
    """The top-level ranges in words."""
    parts = []
    for name, value in setting:
        if isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], str):
            low, high = value
            parts.append(f"{name} {low:g}" if low == high else f"{name} {low:g} to {high:g}")
    return ", ".join(parts)


def _narrowed(task: Task, setting: TaskSettings) -> str:
    """Ranges inside of the task's own, and choices fewer than its own."""
    parts = []
    for name, whole in task.settings():
        value = getattr(setting, name)
        if isinstance(whole, tuple) and value != whole:
            if len(whole) == 2 and not isinstance(whole[0], str):
                inside = whole[0] <= value[0] and value[1] <= whole[1]
                if inside:
                    parts.append(f"{name} {value[0]:g} to {value[1]:g} of {whole[0]:g} to {whole[1]:g}")
            elif set(value) < set(whole):
                parts.append(f"{name} {', '.join(map(str, value))} of {', '.join(map(str, whole))}")
    return "; ".join(parts)


def _never_clean(task: Task, setting: TaskSettings) -> bool:
    """Whether the task could leave pictures as they are, and this setting does not."""
    return "clean_share" in task.settings.model_fields and not getattr(setting, "clean_share", None)
