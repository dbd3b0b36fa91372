"""Import the source that a model carries under a private name, beside any installed package of the same name.

Putting a folder on ``sys.path`` does not do: a package that is already imported, or installed, would win
silently, and two registered models would share the code of whichever came first. So absolute imports of the
carried packages, and the namespace of their torch operators, are renamed while compiling. The files on disk
stay as they were trained.

This file travels inside every registered model, so it imports only the standard library.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

_lock = threading.Lock()


def import_carried(code: Path, module: str) -> ModuleType:
    """Import ``module`` (such as ``"semanir"``) from the source tree ``code``.

    Equal trees share one import; different trees never meet. Raises ModuleNotFoundError when it is not carried.
    """
    root = code.resolve()
    packages = frozenset(path.name for path in root.iterdir() if path.is_dir() and path.name != "__pycache__")
    private = f"carried_{tree_digest(root)[:16]}"
    with _lock:
        if private not in sys.modules:
            sys.modules[private] = ModuleType(private, "Source carried by a registered model.")
            sys.meta_path.insert(0, _CarriedFinder(private, packages))
        # The newest copy of equal trees: the one that came first may be gone when a module is imported late.
        sys.modules[private].__path__ = [str(root)]
    return importlib.import_module(f"{private}.{module}")


def tree_digest(root: Path) -> str:
    """SHA-256 over the names and contents of all Python files below ``root``."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


class _CarriedFinder:
    """Finds ``<private>.a.b`` as ``a/b.py`` or ``a/b/__init__.py`` where ``<private>`` lies, and nothing else."""

    def __init__(self, private: str, packages: frozenset[str]) -> None:
        self.private, self.packages = private, packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        private, _, rest = fullname.partition(".")
        if private != self.private or not rest:
            return None
        (root,) = sys.modules[private].__path__
        stem = Path(root).joinpath(*rest.split("."))
        is_package = stem.is_dir()
        file = stem / "__init__.py" if is_package else stem.with_suffix(".py")
        if not file.is_file():
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            file,
            loader=_CarriedLoader(fullname, str(file), self.private, self.packages),
            submodule_search_locations=[str(stem)] if is_package else None,
        )


class _CarriedLoader(importlib.machinery.SourceFileLoader):
    """Compiles with the carried packages renamed; neither reads nor writes bytecode files."""

    def __init__(self, fullname: str, path: str, private: str, packages: frozenset[str]) -> None:
        super().__init__(fullname, path)
        self.private, self.packages = private, packages

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(self.get_data(self.path), filename=self.path)
        renamed = ast.fix_missing_locations(_Rename(self.private, self.packages).visit(tree))
        return compile(renamed, self.path, "exec", dont_inherit=True)


class _Rename(ast.NodeTransformer):
    """``semanir`` becomes ``<private>.semanir`` in imports, ``<private>_semanir`` in operator names."""

    def __init__(self, private: str, packages: frozenset[str]) -> None:
        self.private, self.packages = private, packages

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level == 0 and node.module and node.module.partition(".")[0] in self.packages:
            node.module = f"{self.private}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        for alias in node.names:
            top, dot, _ = alias.name.partition(".")
            if top not in self.packages:
                continue
            if dot and alias.asname is None:
                raise ImportError(f"carried code must say 'from … import' instead of 'import {alias.name}'")
            alias.asname = alias.asname or top
            alias.name = f"{self.private}.{alias.name}"
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            namespace, separator, name = node.value.partition("::")
            if separator and namespace in self.packages:
                return ast.copy_location(ast.Constant(f"{self.private}_{namespace}::{name}"), node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        owner = node.value
        if node.attr in self.packages and isinstance(owner, ast.Attribute) and owner.attr == "ops":
            node.attr = f"{self.private}_{node.attr}"  # torch.ops.semanir
        return node
