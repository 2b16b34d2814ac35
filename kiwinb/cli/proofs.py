"""Which tests prove what a plug-in does, as the tests themselves say.

A test names the plug-ins that it proves with a marker of pytest::

    @pytest.mark.proves("image kind", "oem", "devicepersistency")
    @pytest.mark.proves("file system", "ext2 ext3 ext4")
    @pytest.mark.proves("disk format", "*", "*")

Its arguments are the sort of plug-in, the names of plug-ins, and what of the description the test
proves that they honour. ``*`` stands for all plug-ins, and for all that they honour.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKER = "proves"
ALL = "*"
TESTS = Path(__file__).parents[2] / "tests"
"""The tests, in a checkout."""


@dataclass(frozen=True)
class Proof:
    """What one test proves.

    Attributes:
        test: The test as pytest names it: ``tests/unit/test_disk_layout.py::test_sizes``.
        sort: The sort of plug-in: ``file system``.
        names: Names of plug-ins, or ``*``.
        honoured: What of a description it proves that they honour, or ``*``.
    """

    test: str
    sort: str
    names: tuple[str, ...]
    honoured: tuple[str, ...]

    def is_about(self, sort: str, name: str) -> bool:
        """Whether it is about a plug-in."""
        return self.sort == sort and (name in self.names or ALL in self.names)

    def is_of(self, part: str) -> bool:
        """Whether it proves that an attribute or element is honoured."""
        return part in self.honoured or ALL in self.honoured


def read_proofs(tests: Path | None = None) -> tuple[Proof, ...]:
    """The proofs that the tests name; none outside of a checkout.

    Those that are about single plug-ins come first.

    Args:
        tests: The directory of the tests; that of the checkout when ``None``.

    Raises:
        ValueError: The arguments of a marker are not texts, or too few.
    """
    top = TESTS if tests is None else tests
    found = [
        proof
        for file in sorted(top.rglob("test_*.py"))
        for proof in _proofs_of(file, f"{top.name}/{file.relative_to(top).as_posix()}")
    ]
    return tuple(sorted(found, key=lambda proof: (ALL in proof.names, proof.test)))


def _proofs_of(file: Path, shown: str) -> Iterator[Proof]:
    text = file.read_text(encoding="utf-8")
    if MARKER not in text:
        return
    for node in ast.parse(text).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == _DECORATOR:
                yield _proof(decorator, f"{shown}::{node.name}")


_DECORATOR = f"pytest.mark.{MARKER}"


def _proof(call: ast.Call, test: str) -> Proof:
    values = [item.value if isinstance(item, ast.Constant) else None for item in call.args]
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < 2 or len(texts) != len(values) or call.keywords:
        raise ValueError(f"{test}: {MARKER} takes a sort, names and what is honoured, as texts")
    return Proof(test, texts[0], tuple(texts[1].split()), tuple(texts[2:]))
