"""What a Python file imports, read from its source: by statements, by names it spells out, by functions it calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cache

# Functions that import what they are given, by the last part of their name → position and names of that argument.
BY_NAME: dict[str, tuple[int, tuple[str, ...]]] = {
    "import_module": (0, ("name",)),
    "__import__": (0, ("name",)),
    "resolve_name": (0, ("name",)),
    "run_module": (0, ("mod_name",)),
}
# Functions that run code no matter what it is called.
BY_CODE = {"entry_points", "run_path", "spec_from_file_location", "module_from_spec", "exec_module", "load_module"}
SPELLED = re.compile(r"[a-z_]\w*(?:\.\w+)+")  # a module, or what it holds
STATEMENT = re.compile(r"from ([a-z_]\w*(?:\.\w+)*) import (\w+)")
BUILTINS = {"exec", "eval", "__import__"}  # bare names; torch.nn.Module.eval is another thing
DYNAMIC = {*BY_NAME, *BY_CODE, *BUILTINS}


def module_name(file: str) -> str:
    """``pipeline/data/__init__.py`` → ``pipeline.data``."""
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


@dataclass(frozen=True)
class Reader:
    """Reads the imports of one file of the tree.

    file: its path from the root. names: of all modules of the tree, which tell a module from what a module holds.
    doors: packages that count as imported also where another module's ``import`` of them is reached.
    """

    file: str
    names: Set[str]
    doors: Set[str] = frozenset()

    def imports(self, source: str, top_level_only: bool = False) -> Iterator[str]:
        """Full names of all that is imported, as far as the source spells it out.

        top_level_only: of what runs when the module is imported; a body of a function does not.
        """
        tree = parsed(source)
        bound = self.bound(tree)
        for node in run_at_import(tree) if top_level_only else ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = self.absolute(node.level, node.module or "")
                for alias in node.names:
                    yield from self.held(module, alias.name)
            elif isinstance(node, ast.Call):
                yield from self.called(node, bound)

    def reaches(self, source: str) -> Iterator[str]:
        """Modules of the tree that expressions walk to from what was imported, as ``pipeline.registry.pull.pull``."""
        tree = parsed(source)
        bound = self.bound(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and (root := root_of(node)) in bound:
                yield from self.on_the_way(bound[root] + ast.unparse(node)[len(root) :])

    def named(self, source: str) -> Iterator[str]:
        """Modules of the tree whose names stand in texts of the file: by their name, or as the code or the options of
        another Python, who looks a module up comes there too. Docstrings speak of modules and are left out.
        """
        tree = parsed(source)
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                text = STATEMENT.sub(r"\1.\2", node.value.replace(":", "."))
                for spelled in SPELLED.findall(re.sub(r"(^|\s)-[mc]\s*", " ", text)):
                    yield from [*self.on_the_way(spelled)][-1:]

    def hidden(self, source: str) -> list[str]:
        """The places where code is imported whose name is not spelled out: ``line: source``."""
        tree = parsed(source)
        bound = self.bound(tree)
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        walked = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        found = []
        for node in ast.walk(tree):
            unread = isinstance(node, ast.Call) and self.readable(node, bound) is False
            # Handed on instead of called: who calls it with what cannot be read.
            handed = isinstance(node, ast.Name | ast.Attribute) and id(node) not in called and is_dynamic(node, bound)
            named = isinstance(node, ast.Constant) and node.value in DYNAMIC
            # A package that is handed on holds all its modules, and what is asked of it then cannot be read.
            package = isinstance(node, ast.Name) and id(node) not in walked and self.is_package(bound.get(node.id, ""))
            loaded = isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules"
            loaded = loaded and not isinstance(node.slice, ast.Constant)  # type: ignore[attr-defined]
            if unread or handed or named or package or loaded:
                found.append((node.lineno, f"{node.lineno}: {ast.unparse(node)}"))  # type: ignore[attr-defined]
        return [place for _, place in sorted(found)]

    def is_package(self, name: str) -> bool:
        """Whether modules of the tree lie in what is called so."""
        return name in packages(frozenset(self.names))

    def bound(self, tree: ast.AST) -> dict[str, str]:
        """What the file's names that were imported stand for."""
        found: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name.split(".")[0]
                    found |= {alias.asname: alias.name} if alias.asname else {name: name}
            elif isinstance(node, ast.ImportFrom):
                module = self.absolute(node.level, node.module or "")
                found |= {alias.asname or alias.name: f"{module}.{alias.name}".lstrip(".") for alias in node.names}
        return found

    def absolute(self, level: int, module: str, package: str | None = None) -> str:
        """The full name of what is called ``module`` with ``level`` dots before it; no dots: as it stands."""
        if not level:
            return module
        own = module_name(self.file).split(".")
        base = package.split(".") if package else own if self.file.endswith("/__init__.py") else own[:-1]
        return ".".join([*base[: len(base) + 1 - level], *filter(None, [module])])

    def held(self, module: str, name: str) -> Iterator[str]:
        """``from module import name``: the module or, where ``name`` is one, that; and a door that it is reached by."""
        deep = f"{module}.{name}".lstrip(".")
        yield deep if deep in self.names or not module else module
        if name in self.doors and module.split(".")[0] not in self.doors:
            yield name

    def on_the_way(self, spelled: str) -> Iterator[str]:
        """The modules on the way to ``spelled``, and the door if one of them holds it."""
        parts = spelled.split(".")
        for end in range(2, len(parts) + 1):
            if (name := ".".join(parts[:end])) in self.names:
                yield name
            elif name.rpartition(".")[0] in self.names and parts[end - 1] in self.doors:
                yield parts[end - 1]

    def called(self, node: ast.Call, bound: dict[str, str]) -> Iterator[str]:
        """What a call imports, if it is one of those and its arguments are spelled out."""
        if not self.readable(node, bound):
            return
        kind = kind_of(node.func, bound)
        name = text_of(argument(node, *BY_NAME[kind])).partition(":")[0]
        dots = len(name) - len(name.lstrip("."))
        package = argument(node, 1, ("package",)) if kind == "import_module" else None
        own = package is None or (isinstance(package, ast.Name) and package.id == "__package__")
        level = argument(node, 4, ("level",)) if kind == "__import__" else None
        depth = int(level.value) if isinstance(level, ast.Constant) else dots  # type: ignore[arg-type]
        module = self.absolute(depth, name.lstrip("."), None if own else text_of(package))
        while kind == "resolve_name" and module.split(".")[0] in self.names and module not in self.names:
            module = module.rpartition(".")[0]  # the rest are attributes
        yield module
        if kind == "__import__":
            wanted = argument(node, 3, ("fromlist",))
            for part in wanted.elts if isinstance(wanted, ast.List | ast.Tuple) else ():
                yield from self.held(module, text_of(part))

    def readable(self, node: ast.Call, bound: dict[str, str]) -> bool | None:
        """Whether every argument that decides what is imported is spelled out; None: the call imports nothing."""
        kind = kind_of(node.func, bound)
        if not is_dynamic(node.func, bound):
            return None
        if kind not in BY_NAME or any(keyword.arg is None for keyword in node.keywords):
            return False
        decides = [argument(node, *BY_NAME[kind])]
        if kind == "import_module" and (package := argument(node, 1, ("package",))) is not None:
            decides += [] if isinstance(package, ast.Name) and package.id == "__package__" else [package]
        if kind == "__import__":
            wanted, level = argument(node, 3, ("fromlist",)), argument(node, 4, ("level",))
            if wanted is not None and not isinstance(wanted, ast.List | ast.Tuple):
                return False
            if level is not None and not isinstance(level, ast.Constant):
                return False
            decides += wanted.elts if wanted is not None else []
        return all(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in decides)


@cache
def packages(names: frozenset[str]) -> frozenset[str]:
    """All that modules lie in."""
    return frozenset(
        ".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(1, len(parts))
    )


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: no body of a function, nothing for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        yield node
        yield from run_at_import(node)


def root_of(node: ast.expr) -> str:
    """The first name of ``a.b.c``; empty where something else stands there."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def kind_of(function: ast.expr, bound: dict[str, str]) -> str:
    """The last part of a function's own name, whatever the file calls it."""
    if isinstance(function, ast.Name):
        return bound.get(function.id, function.id).rpartition(".")[2]
    return function.attr if isinstance(function, ast.Attribute) else ""


def is_dynamic(function: ast.expr, bound: dict[str, str]) -> bool:
    kind = kind_of(function, bound)
    if kind in BUILTINS - {"__import__"}:
        return isinstance(function, ast.Name) or root_of(function) == "builtins"
    return kind in DYNAMIC


def argument(node: ast.Call, position: int, names: tuple[str, ...]) -> ast.expr | None:
    """An argument of a call, given by its position or its name."""
    given = [keyword.value for keyword in node.keywords if keyword.arg in names]
    return given[0] if given else node.args[position] if len(node.args) > position else None


def text_of(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
