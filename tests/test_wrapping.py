"""Comments and docstrings are filled to the line: no line of one or two words is left over from an earlier wording."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.tree import ROOT, files

WIDTH = 120
ITEM = re.compile(r"[\w`*, ]+:( |$)|[-*|>] ")  # begins a line of its own: "poison: …", "Args:", a list


def prose(source: str) -> dict[int, tuple[str, str]]:
    """Number of a line → what it belongs to (a docstring's first line, or a comment), and its text."""
    lines = source.splitlines()
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for number in range(node.lineno, (node.end_lineno or 0) + 1):
                found[number] = f"docstring {node.lineno}", lines[number - 1].replace('"""', "").strip()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        number = token.start[0]
        if token.type == tokenize.COMMENT and lines[number - 1].lstrip().startswith("# "):
            found[number] = "comment", token.string[2:]
    return found


def left_over(source: str) -> Iterator[str]:
    """``line: text`` of lines of one or two words, the first of which had room in the line before."""
    lines, texts = source.splitlines(), prose(source)
    for number, (part, text) in texts.items():
        before, previous = texts.get(number - 1, ("", ""))
        words = text.split()
        if part != before or not previous or previous.endswith(":") or ITEM.match(text) or not 0 < len(words) < 3:
            continue
        if len(lines[number - 2]) + 1 + len(words[0]) <= WIDTH:
            yield f"{number}: {text}"


def test_no_line_is_left_over() -> None:
    found = {path.relative_to(ROOT).as_posix(): [*left_over(path.read_text(encoding="utf-8"))] for path in files(".py")}
    assert len(found) > 700
    assert {file: lines for file, lines in found.items() if lines} == {}, "fill the lines again"


def test_a_line_that_is_left_over_is_seen() -> None:
    source = (
        'def f():\n    """What it does with\n    images.\n\n    Args:\n        x: here.\n        y: there.\n    """\n'
        "# A comment that was cut\n# here\nx = 1  # beside\n# alone\n# " + 117 * "a" + "\n# stays\n"
    )
    assert list(left_over(source)) == ["3: images.", "10: here"]
