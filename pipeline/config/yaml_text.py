"""YAML as people write configurations: bounded before it is built, and refused in one line that names line and key.

YAML's own gifts are refused where they could only surprise: objects of other types than JSON's, a key given twice, a
key that is no text (``no:`` and ``on:`` are booleans in YAML 1.1), times and base-60 numbers (``12:30`` is text here).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.errors import UserError, first_line

MAX_BYTES = 1 << 20
MAX_DEPTH = 32  # lists and mappings inside each other
MAX_VALUES = 20_000  # keys and values, aliases counted with all that they stand for
MAX_NUMBER = 40  # characters
_TAG = "tag:yaml.org,2002:"
_NUMBERS = {_TAG + "int", _TAG + "float"}
_TAGS: dict[type[Node], set[str]] = {
    ScalarNode: {*_NUMBERS, _TAG + "null", _TAG + "bool", _TAG + "str"},
    SequenceNode: {_TAG + "seq"},
    MappingNode: {_TAG + "map"},
}


class YamlError(ValueError):
    """The text is not YAML, or not YAML that a configuration is made of: one line that begins with where."""


@dataclass(frozen=True)
class Document:
    """What a YAML text says, and on which line (from 1) each key stands: ``lines["defaults", "training"]``."""

    value: Any
    lines: Mapping[tuple[str, ...], int]


class _Loader(yaml.SafeLoader):
    """YAML 1.1's safe loader with bounds, taught that 2e-4 is a number, as people write learning rates."""

    depth = values = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        self.values += 1
        if self.depth > MAX_DEPTH:
            raise YamlError(f"line {self._line()}: more than {MAX_DEPTH} lists and mappings inside each other")
        if self.values > MAX_VALUES:
            raise YamlError(f"line {self._line()}: more than {MAX_VALUES} keys and values")
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _line(self) -> int:
        return int(self.peek_event().start_mark.line) + 1


class _Dumper(yaml.SafeDumper):
    """Writes what :class:`_Loader` reads back: text that looks like such a number is quoted."""


_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
_WHOLE = re.compile(r"^[-+]?(0b[01][01_]*|0[0-7][0-7_]*|(0|[1-9][0-9_]*)|0x[0-9a-fA-F][0-9a-fA-F_]*)$")
_FLOAT = re.compile(
    r"^([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
for _class in (_Loader, _Dumper):
    # The class's own copy, without times and with numbers that have no base-60 form.
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in {*_NUMBERS, _TAG + "timestamp"}]
        for first, resolvers in _class.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver(_TAG + "int", _WHOLE, list("-+0123456789"))
    for _pattern in (_FLOAT, _EXPONENT):
        _class.add_implicit_resolver(_TAG + "float", _pattern, list("-+0123456789."))


def parse_yaml(text: str) -> Document:
    """Read one YAML document, in time and memory that its bounds allow.

    Raises:
        YamlError: anything else than text, numbers, booleans, lists and mappings within the bounds.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(None, {})
        _weigh(node, {}, set())
        lines = dict(_check(loader, node, ()))
        return Document(loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise YamlError(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YamlError(first_line(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _weigh(node: Node, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """How many values a node stands for, and how deep, with every alias written out; raises YamlError past the bounds.

    An alias follows what it names, so that is in ``known`` by then and nothing is counted twice over.
    """
    line = node.start_mark.line + 1
    if id(node) in above:
        raise YamlError(f"line {line}: an alias inside what it stands for")
    if id(node) not in known:
        above.add(id(node))
        below = [_weigh(child, known, above) for child in _children(node)]
        above.remove(id(node))
        total, depth = 1 + sum(total for total, _ in below), 1 + max((depth for _, depth in below), default=0)
        if total > MAX_VALUES or depth > MAX_DEPTH:
            raise YamlError(f"line {line}: aliases that stand for more than {MAX_VALUES} values or {MAX_DEPTH} levels")
        known[id(node)] = total, depth
    return known[id(node)]


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [each for pair in node.value for each in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _check(loader: _Loader, node: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """The line of each key at and below ``path``; raises YamlError for what no configuration is made of."""
    line = node.start_mark.line + 1
    if node.tag not in _TAGS[type(node)]:
        shown = node.tag.removeprefix(_TAG)
        raise YamlError(f"line {line}: a value of type {shown!r:.80} is not allowed; put it in quotes if it is text")
    if isinstance(node, ScalarNode):
        _check_scalar(loader, node)
    elif isinstance(node, SequenceNode):
        for number, child in enumerate(node.value):
            yield from _check(loader, child, (*path, str(number)))
    elif isinstance(node, MappingNode):
        found: dict[str, int] = {}
        for key, child in node.value:
            if key.tag == _TAG + "merge":  # of one mapping or a list of them: their keys stand here
                for merged in child.value if isinstance(child, SequenceNode) else [child]:
                    yield from _check(loader, merged, path)
                continue
            at = key.start_mark.line + 1
            if key.tag != _TAG + "str" or not isinstance(key, ScalarNode):
                shown = key.value if isinstance(key, ScalarNode) else key.id
                raise YamlError(f"line {at}: key {shown!r:.80} is no text; put it in quotes")
            _check_scalar(loader, key)
            if key.value in found:
                raise YamlError(f"line {at}: key {key.value!r:.80} is given twice, first on line {found[key.value]}")
            found[key.value] = at
            yield (*path, key.value), at
            yield from _check(loader, child, (*path, key.value))


def _check_scalar(loader: _Loader, node: ScalarNode) -> None:
    line, text = node.start_mark.line + 1, node.value
    if node.tag != _TAG + "str" and node.tag != loader.resolve(ScalarNode, text, (True, False)):
        raise YamlError(f"line {line}: {text[:MAX_NUMBER]!r} is no {node.tag.removeprefix(_TAG)}")
    if node.tag in _NUMBERS and len(text) > MAX_NUMBER:
        raise YamlError(f"line {line}: a number of {len(text)} characters; at most {MAX_NUMBER} are allowed")
    unfit = next((each for each in text if (each < " " and each not in "\t\n") or "\ud800" <= each < "\ue000"), "")
    if unfit:
        raise YamlError(f"line {line}: the character {unfit!r} is not allowed in text")


def read_value(text: str) -> Any:
    """One YAML value, as ``--set`` takes it. Raises YamlError."""
    return parse_yaml(text).value


def write_yaml(value: Any) -> str:
    """``value`` as YAML that :func:`read_yaml` reads back as it is."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def read_document(path: str | Path, what: str = "configuration file") -> Document:
    """A YAML file whose top is a mapping; raises UserError when it is missing, too large, or anything else."""
    path = Path(path)
    try:
        if not path.is_file():  # a pipe, a device or a folder may never end
            raise UserError(f"{what} {path} does not exist" if not path.exists() else f"{what} {path} is no file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UserError(f"{what} {path} is larger than {MAX_BYTES} bytes")
        document = parse_yaml(data.decode("utf-8"))
    except (YamlError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path} is not valid YAML: {first_line(error)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"{what} {path} cannot be read: {first_line(error)}") from None
    if not isinstance(document.value, dict):
        raise UserError(f"{what} {path}: expected a mapping of keys, found {type(document.value).__name__}")
    return document


def read_yaml(path: str | Path, what: str = "configuration file") -> dict[str, Any]:
    """What :func:`read_document` finds, without the lines."""
    found: dict[str, Any] = read_document(path, what).value
    return found
