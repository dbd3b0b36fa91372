"""Settings that are one number or a closed range to draw from, with the limits stated beside the field's type."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator


def number_range(least: float, most: float, unit: str) -> BeforeValidator:
    """Annotates a ``Range`` field: one number or [low, high], both in [least, most]; held as (low, high)."""
    return BeforeValidator(_RangeReader("a number", (int, float), float, least, most, unit))


def integer_range(least: int, most: int, unit: str) -> BeforeValidator:
    """Annotates an ``IntRange`` field: one integer or [low, high], both in [least, most]; held as (low, high)."""
    return BeforeValidator(_RangeReader("an integer", (int,), int, least, most, unit))


class _RangeReader:
    def __init__(
        self, kind: str, accepted: tuple[type, ...], convert: type, least: float, most: float, unit: str
    ) -> None:
        self.accepted, self.convert, self.least, self.most = accepted, convert, least, most
        self.wanted = f"wanted {kind} or [low, high] within {least:g}..{most:g} ({unit})"

    def __call__(self, value: Any) -> tuple[Any, Any]:
        ends = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if len(ends) != 2 or any(isinstance(end, bool) or not isinstance(end, self.accepted) for end in ends):
            raise ValueError(f"{self.wanted}, got {value!r}")
        low, high = ends
        # Written so that NaN fails too.
        if not self.least <= low <= high <= self.most:
            raise ValueError(f"{self.wanted}, low first, got {value!r}")
        return self.convert(low), self.convert(high)
