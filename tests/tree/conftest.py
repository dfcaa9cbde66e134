import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name inside the package, its text and its syntax tree."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node


def read(folder: str) -> tuple[Module, ...]:
    return tuple(
        Module(path.relative_to(ROOT), _name(path), path.read_text(), ast.parse(path.read_text()))
        for path in sorted((ROOT / folder).rglob("*.py"))
    )


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _package() -> tuple[Module, ...]:
    return read("edgeproxy")


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    return _package()
