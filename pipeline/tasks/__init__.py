"""The restoration tasks, by name and by group: the paper's ten, and three that it leaves to the future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pipeline.errors import UserError
from pipeline.tasks.base import Task
from pipeline.tasks.deblurring import DEBLURRING
from pipeline.tasks.demosaicking import DEMOSAICKING
from pipeline.tasks.denoising import DENOISING_COLOR, DENOISING_GRAY
from pipeline.tasks.jpeg import JPEG_COLOR, JPEG_GRAY
from pipeline.tasks.photo import PHOTO
from pipeline.tasks.sr import SR_X2, SR_X3, SR_X4
from pipeline.tasks.unified import UNIFIED_COLOR, UNIFIED_GRAY
from pipeline.tasks.weather import WEATHER

__all__ = ["GROUPS", "TASKS", "Task", "resolve_tasks"]

_PAPER = (
    DENOISING_COLOR,
    DENOISING_GRAY,
    JPEG_COLOR,
    JPEG_GRAY,
    SR_X2,
    SR_X3,
    SR_X4,
    DEBLURRING,
    DEMOSAICKING,
    WEATHER,
)
_ALL = (*_PAPER, UNIFIED_COLOR, UNIFIED_GRAY, PHOTO)

TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})
"""Name -> task, in the order of the tables."""

GROUPS: Mapping[str, tuple[Task, ...]] = MappingProxyType(
    {group: tuple(t for t in _ALL if t.group == group) for group in dict.fromkeys(t.group for t in _ALL)}
)
"""The paper's six tasks, then ours, -> their members; the first stands for the group."""


def resolve_tasks(names: Sequence[str]) -> list[Task]:
    """Tasks for names as a person types them, in the given order, each once.

    "all" is the paper's ten, a group's name its first member, a task's name itself. Raises UserError for an unknown
    name, and when no name is given.
    """
    if not names:
        raise UserError(f"no task given; {_choices()}")
    chosen: dict[str, Task] = {}
    for name in names:
        if name == "all":
            members: tuple[Task, ...] = _PAPER
        elif name in TASKS:
            members = (TASKS[name],)
        elif name in GROUPS:
            members = GROUPS[name][:1]
        else:
            raise UserError(f"unknown task {name!r:.80}; {_choices()}")
        chosen.update((task.name, task) for task in members)
    return list(chosen.values())


def _choices() -> str:
    return f"choose among {', '.join(TASKS)}, the groups {', '.join(GROUPS)}, or all"
