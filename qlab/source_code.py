"""What Python files say: which modules they import, and a form of them that comments and layout do not change."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Imported:
    """One import.

    Args:
        module: what is imported, or imported from.
        names: what is imported from it; each may be a module.
        level: how many packages up, for relative imports.
    """

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


@functools.lru_cache(maxsize=512)
def imports_of(source: bytes) -> tuple[Imported, ...]:
    """All imports in a file, in functions too; none if it is not Python."""
    try:
        return tuple(_imports(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):
        return ()


def _imports(tree: ast.AST) -> Iterator[Imported]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Imported(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Imported(node.module or "", tuple(alias.name for alias in node.names), node.level)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value
            if called in ("__import__", "import_module") and isinstance(name, str):
                plain = name.lstrip(".")
                yield Imported(plain, level=len(name) - len(plain))


@functools.lru_cache(maxsize=512)
def code_form(source: bytes) -> str:
    """A hash of what a file computes: the same after an edited comment, docstring or layout, in every Python version.

    Code that reads its own docstrings or line numbers is rare enough to leave them out. What is not Python counts as
    it is.
    """
    try:
        text = "".join(_form(_without_docstrings(ast.parse(source))))
    except (SyntaxError, ValueError, RecursionError):
        return hashlib.sha256(source).hexdigest()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]
    return tree


def _form(value: object) -> Iterator[str]:
    """A syntax tree as text. Fields that are empty are left out: newer versions of Python add some."""
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, part in sorted(ast.iter_fields(value)):
            if part is not None and part != [] and name not in ("kind", "type_comment", "type_ignores"):
                yield f" {name}="
                yield from _form(part)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _form(item)
            yield ","
        yield "]"
    elif isinstance(value, int) and not isinstance(value, bool):
        yield hex(value)  # Python does not write very long ones in decimals
    else:
        yield f"{type(value).__name__}:{value!r}"
