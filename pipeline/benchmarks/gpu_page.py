"""The report as one page of Markdown, whose sections may come from different runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.benchmarks.rows import Row
from pipeline.benchmarks.table import cell
from pipeline.errors import UserError

# In order of what they are worth. Compiling comes last: it took over a minute on an H100's host.
SECTIONS = ("attention", "dictionary", "training", "restoring", "super_resolution", "compiled")
# What follows it in a page stays there when the page is written anew.
BY_HAND = "<!-- below: written by hand -->"
# Stands before each section, by which a later run finds it.
_MARK = re.compile(r"^<!-- section: (\w+) -->$", re.MULTILINE)


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


def read_blocks(page: Path) -> dict[str, str]:
    """The sections that a page holds, by name, as ``as_block`` made them; none of a page that is not there.

    Raises UserError for a file that is no text.
    """
    found = _MARK.split(_read(page)[0])
    return {name: block.strip("\n") for name, block in zip(found[1::2], found[2::2], strict=True)}


def as_block(section: Section, provenance: Mapping[str, Any], *, small: bool) -> str:
    """A section with where and when it was measured, as it stands in a page."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items() if version)
    lines = [
        f"## {section.title}",
        "",
        f"{provenance['device']}, {versions}, Python {provenance['python']}, commit {provenance['commit']}, "
        f"{provenance['time']}.",
        "",
    ]
    if small:
        lines += ["**Tiny sizes: this shows that every path runs. Its times mean nothing.**", ""]
    if section.rows:
        lines += [_line(section.columns.values()), _line("---" for _ in section.columns)]
        lines += [_line(cell(row.get(key)) for key in section.columns) for row in section.rows]
    if section.fault:
        lines += ["" if section.rows else "No figures.", f"Fault: {section.fault}"]
    return "\n".join(lines)


def write_page(path: Path, blocks: Mapping[str, str]) -> None:
    """Write the page's sections in their order; what was written by hand stays below them."""
    by_hand = _read(path)[1]
    lines = [
        "# What a GPU gives",
        "",
        "Written by `make gpu-report`"
        + (", but for what stands below the line: that was written by hand. " if by_hand else ". ")
        + "Attention and dictionaries: medians of alternating rounds; training: the mean of steps in a row; pictures: "
        "the second of two calls. A result that differs from its float32 reference has no figure.",
    ]
    for name in SECTIONS:
        if name in blocks:
            lines += ["", f"<!-- section: {name} -->", "", blocks[name]]
    if by_hand:
        lines += ["", "---", "", BY_HAND, by_hand.rstrip("\n")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read(page: Path) -> tuple[str, str]:
    """(what a run wrote, what stands below the mark) of a page; both "" without one."""
    try:
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
    except UnicodeDecodeError:
        raise UserError(f"--page {page} is no text of UTF-8; give a page of Markdown, or a new file") from None
    measured, _, by_hand = text.partition(f"{BY_HAND}\n")
    return measured.rstrip("\n").removesuffix("---") if by_hand else measured, by_hand


def _line(cells: Any) -> str:
    return f"| {' | '.join(str(value).replace('|', '/') for value in cells)} |"
