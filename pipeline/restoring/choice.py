"""Which model restores when a person names a task, an address, or nothing but pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import shipped
from pipeline.errors import UserError
from pipeline.registry import sealed
from pipeline.registry.logged_model import ARTIFACT

# Taken when nothing is named, the first that comes with the package. Not photo first, although it is made for ordinary
# pictures: what keeps it from harming good ones leaves it little to mend, as its card says.
DEFAULTS = ("unified_color", "photo")
SCHEMES = ("models:", "runs:", shipped.SCHEME)


@dataclass(frozen=True)
class Choice:
    """model: an address for ``pipeline.registry.pull``. inputs: the pictures. chosen_by: "" when a person named it."""

    model: str
    inputs: tuple[str, ...]
    chosen_by: str = ""


def choose(words: Sequence[str], model: str | None, task: str | None, names: Sequence[str] | None = None) -> Choice:
    """Tell model and pictures apart.

    words: the command line's; the first may be a model's address (``models:/…``, ``runs:/…``, ``shipped:…``, or a
    folder that holds weights) unless ``model`` or ``task`` is given. names: the shipped tasks, for tests.

    Raises:
        UserError: both a model and a task are named, no picture is, or no model comes with the package for the task.
    """
    known = shipped.names() if names is None else list(names)
    if model is not None and task is not None:
        raise UserError(f"--model {model} and --task {task} both name a model; give one of them")
    if task is not None and task not in known:
        raise UserError(
            f"no model for task {task!r} comes with the package (there are: {', '.join(known) or 'none'}); "
            "give --model models:/name@champion for one of your own"
        )
    if model is not None or task is not None:
        return Choice(model or shipped.SCHEME + str(task), tuple(words))
    if words and is_model(words[0]):
        if len(words) == 1:
            raise UserError(f"{words[0]} is a model: give the pictures that it shall restore behind it")
        return Choice(words[0], tuple(words[1:]))
    default = next((name for name in DEFAULTS if name in known), None)
    if default is None:
        raise UserError("no model comes with this package; give --model")
    return Choice(shipped.SCHEME + default, tuple(words), "no model was named; --task or --model chooses another")


def is_model(word: str) -> bool:
    """Whether a word of the command line is a model's address, and not a picture or a folder of pictures."""
    return word.startswith(SCHEMES) or any(
        (place / sealed.WEIGHTS_FILE).is_file() for place in (Path(word), Path(word) / "artifacts" / ARTIFACT)
    )
