"""A plain-text table: benchmarks also run where only torch is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def format_table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows under headings, numbers right-aligned.

    columns: key of the row → heading. Missing values and None show as "-", floats with three significant digits.
    """
    texts = [[cell(row.get(key)) for key in columns] for row in rows]
    headings = list(columns.values())
    widths = [max(len(line[i]) for line in [headings, *texts]) for i in range(len(headings))]
    numeric = [
        all(isinstance(row.get(key), int | float | None) and not isinstance(row.get(key), bool) for row in rows)
        for key in columns
    ]

    def line(cells: Sequence[str]) -> str:
        pairs = zip(cells, widths, numeric, strict=True)
        return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in pairs).rstrip()

    return "\n".join([line(headings), line(["-" * w for w in widths]), *(line(text) for text in texts)])


def cell(value: Any) -> str:
    """A value as the tables show it: floats with three significant digits, nothing as "-"."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
