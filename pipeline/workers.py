"""How many workers a run may have, as a number or as a range, and what each takes of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator


def read_workers(value: Any) -> int | tuple[int, int]:
    """``4``, or ``[2, 8]`` for as many as there is room for; raises ValueError with one line for anything else."""
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(numbers) > 2 or not numbers or any(type(number) is not int for number in numbers):
        raise ValueError("expected a whole number, or [min, max]")
    least, most = numbers[0], numbers[-1]
    if least < 1:
        raise ValueError("at least 1 worker is needed")
    if least > most:
        raise ValueError(f"the minimum {least} is above the maximum {most}")
    return most if least == most else (least, most)


Workers = Annotated[int | tuple[int, int], BeforeValidator(read_workers)]


def nearest_worlds(allowed: Sequence[int], world_size: int) -> str:
    """The neighbors of ``world_size`` among ``allowed`` (ascending), as text: ``2 or 4``."""
    below = [world for world in allowed if world < world_size][-1:]
    above = [world for world in allowed if world > world_size][:1]
    return " or ".join(map(str, below + above))


def micro_batch_size(batch: int, world_size: int, largest_world: int, crops: int = 1) -> int:
    """Samples of one forward and backward pass, where the configuration names no ``micro_batch_size``.

    All that a worker has of the batch, as long as that is no more than in ``largest_world``: a smaller
    world accumulates instead, because a worker's memory does not grow when others leave. The ``crops`` of
    an image stay together.
    """
    images, most = batch // (world_size * crops), batch // (largest_world * crops)
    return crops * max((size for size in range(1, min(images, most) + 1) if images % size == 0), default=1)
