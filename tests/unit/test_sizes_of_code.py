"""The house's limits: functions are shorter than 60 lines, and modules than 400."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kiwinb

LINES_OF_FUNCTION = 60
LINES_OF_MODULE = 400

TABLES: frozenset[str] = frozenset()
"""Modules that may be longer, because they are tables, as ``room/module.py``."""

HOME = Path(kiwinb.__file__).parent
SOURCES = {
    file.relative_to(HOME).as_posix(): file.read_text("utf-8") for file in HOME.rglob("*.py")
}


def long_functions(text: str) -> Iterator[tuple[str, int]]:
    """The functions that are too long: their name, and number of lines from ``def`` on."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines >= LINES_OF_FUNCTION:
                yield node.name, lines


def test_functions_are_short() -> None:
    assert {
        (name, *found) for name, text in SOURCES.items() for found in long_functions(text)
    } == set()


def test_modules_are_short() -> None:
    lines = {name: len(text.splitlines()) for name, text in SOURCES.items()}
    assert {name for name, count in lines.items() if count >= LINES_OF_MODULE} == TABLES


@pytest.mark.parametrize("head", ["def f(", "async def f("])
def test_docstrings_and_parameters_count(head: str) -> None:
    text = f'{head}\n    a: int,\n) -> None:\n    """One.\n\n    Two.\n    """\n'
    function = text + "    a += 1\n" * (LINES_OF_FUNCTION - 8)
    assert [*long_functions(function)] == []
    assert [*long_functions(function + "    a += 1\n")] == [("f", 60)]
    method = "class C:\n" + "".join(f"    {line}\n" for line in function.splitlines())
    assert [*long_functions(method)] == []
    assert [*long_functions(method + "        a += 1\n")] == [("f", 60)]
