"""The report as one page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.benchmarks.rows import Row
from pipeline.benchmarks.table import cell
from pipeline.errors import UserError

# What follows it in a page stays there when the page is written anew.
BY_HAND = "<!-- below: written by hand -->"


@dataclass(frozen=True)
class Section:
    """A table. fault: why there is none, or not all of it; wrong: some result differed from its reference."""

    title: str
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    fault: str = ""

    @property
    def wrong(self) -> bool:
        return any(str(row.get("status", "")).startswith("wrong") for row in self.rows)


def read_by_hand(page: Path) -> str:
    """What stands below the mark in a page; "" without a mark, or without a page.

    Raises UserError for a file that is no text.
    """
    try:
        return page.read_text(encoding="utf-8").partition(f"{BY_HAND}\n")[2] if page.is_file() else ""
    except UnicodeDecodeError:
        raise UserError(f"--page {page} is no text of UTF-8; give a page of Markdown, or a new file") from None


def write_page(path: Path, provenance: Mapping[str, Any], sections: Sequence[Section], *, small: bool) -> None:
    """Write the page, but for what was written by hand."""
    by_hand = read_by_hand(path)
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items() if version)
    lines = [
        "# What a GPU gives",
        "",
        f"{provenance['device']}, {versions}, Python {provenance['python']}, commit {provenance['commit']}, "
        f"{provenance['time']}. Written by `make gpu-report`"
        + (", but for what stands below the line: that was written by hand. " if by_hand else ". ")
        + "Attention and dictionaries: medians of alternating rounds; training: the mean of steps in a row; pictures: "
        "the second of two calls. A result that differs from its float32 reference has no figure.",
    ]
    if small:
        lines += ["", "**Tiny sizes: this page shows that every path runs. Its times mean nothing.**"]
    for section in sections:
        lines += ["", f"## {section.title}", ""]
        if section.rows:
            lines += [_line(section.columns.values()), _line("---" for _ in section.columns)]
            lines += [_line(cell(row.get(key)) for key in section.columns) for row in section.rows]
        if section.fault:
            lines += ["" if section.rows else "No figures.", f"Fault: {section.fault}"]
    if by_hand:
        lines += ["", "---", "", BY_HAND, by_hand.rstrip("\n")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(cells: Any) -> str:
    return f"| {' | '.join(str(value).replace('|', '/') for value in cells)} |"
