"""Encode images as tasks of a Ray cluster, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from pipeline.cluster import connect, map_tasks
from pipeline.data.packing.encode import Encoded, PackSettings, Skipped, encode_source
from pipeline.data.packing.sources import Source

T = TypeVar("T")


def in_order(numbered: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Values by their numbers 0, 1, 2, …, each as soon as those before it have come."""
    early: dict[int, T] = {}
    due = 0
    for number, value in numbered:
        early[number] = value
        while due in early:
            yield early.pop(due)
            due += 1


def encode_on_ray(sources: Sequence[Source], settings: PackSettings) -> Iterator[list[Encoded] | Skipped]:
    """As ``encode_here``, with one task per image on the cluster of RAY_ADDRESS.

    Every node must see the sources: S3 addresses do, local folders only when they are shared.

    Raises:
        UserError: there is no cluster.
    """

    def encode(source: Source) -> list[Encoded] | Skipped:
        return encode_source(source, settings)

    connect()
    yield from in_order(map_tasks(encode, sources))
