"""Values as JSON and back, and all that the functions of workers return."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

import kiwinb
from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.errors import CommandError, DescriptionError, DescriptionErrors, Location, StoreError
from kiwinb.inspect.formats.checkpoint import scan_columns
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.matrix.cell import Outcome
from kiwinb.sandbox.failures import Failure, error_of, failure_of
from kiwinb.steps.recorded import StepRecord
from kiwinb.typed_json import WrongData, dumps, from_json, loads, pack, return_type, split

HOME = Path(kiwinb.__file__).parent

SAMPLES: dict[Any, list[Any]] = {
    NoneType: [None],
    bool: [True, False],
    int: [0, -1, 1 << 70],
    float: [0.0, 1.5, -1e300],
    str: ["", "é\n\0", "a\udcff"],
    bytes: [b"", b"\n\0\xff" * 3],
    Path: [Path("/a/b\udcff"), Path()],
}


def samples(kind: Any, depth: int = 0) -> list[Any]:
    """Some values of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in SAMPLES:
        return SAMPLES[kind]
    if origin is Literal:
        return list(arguments)
    if origin in (Union, UnionType):
        return [value for item in arguments for value in samples(item, depth)]
    if origin is tuple and arguments[-1] is not Ellipsis:
        rows = [samples(item, depth) for item in arguments]
        return [tuple(row[n % len(row)] for row in rows) for n in range(max(map(len, rows)))]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        assert arguments[0] is str
        return [{}, dict(zip(SAMPLES[str], samples(arguments[1], depth) * 3, strict=False))]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        make = tuple if origin is tuple else list
        return [make(), *([make(samples(arguments[0], depth + 1))] if depth < 3 else [])]
    assert isinstance(kind, type) and is_dataclass(kind), f"{kind} is no data"
    hints = get_type_hints(kind)
    rows = [samples(hints[item.name], depth + 1) for item in fields(kind)]
    count = max(map(len, rows), default=1)
    return [kind(*(row[n % len(row)] for row in rows)) for n in range(count)]


def _called_in_workers() -> Iterator[Callable[..., object]]:
    """The functions that modules of kiwinb pass to ``call`` and ``in_tree``."""
    for file in HOME.rglob("*.py"):
        text = file.read_text("utf-8")
        if "call(" not in text and "in_tree(" not in text:
            continue
        name = ".".join(("kiwinb", *file.relative_to(HOME).with_suffix("").parts))
        module = importlib.import_module(name.removesuffix(".__init__"))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and (found := _function(node)) is not None:
                value: Any = module
                for name in ast.unparse(found).split("."):
                    value = getattr(value, name)
                yield value


def _function(node: ast.Call) -> ast.expr | None:
    name = ast.unparse(node.func)
    if name == "call":
        return node.args[0]
    if name.endswith(("self.in_tree", "store.in_tree")):
        return node.args[1]
    return None


GENERIC = {"function", "run_in_tree", "_in_tree", "_in_directory"}
"""Functions that call others, whose callers name the type."""

CALLED = {
    function.__qualname__: function
    for function in [
        *_called_in_workers(),
        scan_columns,
        *(
            getattr(DirectoryTree, name)
            for name in ("read", "exists", "resolved", "found", "below", "read_many", "digests")
        ),
    ]
    if function.__qualname__ not in GENERIC
}
"""All functions that workers run, by name."""


def test_all_functions_are_found() -> None:
    assert {"run_step", "scan_tree", "check", "remove", "_try", "_do_nothing"} <= CALLED.keys()
    source = (HOME / "inspect/formats/checkpoint.py").read_text("utf-8")
    asked = [
        ast.unparse(node.args[0])
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._ask"
    ]
    names = {name.rpartition(".")[2] for name in CALLED}
    assert {name.rpartition(".")[2] for name in asked} <= names


DATA = {
    **{name: return_type(function) for name, function in CALLED.items()},
    **{"Failure": Failure, "Outcome": Outcome, "Checkpoint": Checkpoint, "step": StepRecord},
}


@pytest.mark.parametrize("name", DATA)
def test_what_workers_return_is_the_same_afterwards(name: str) -> None:
    declared = DATA[name]
    assert declared not in (object, Any), "the type that it returns is not declared"
    for value in samples(declared):
        assert split(pack(value)).read(declared) == value


@pytest.mark.parametrize("name", DATA)
def test_other_data_is_refused(name: str) -> None:
    declared = DATA[name]
    others: list[Any] = [5.5, ["x", 5, {}], {"x": {"y": None}}, [[[[]]]], {"bytes": 99}]
    for other in others:
        with pytest.raises(WrongData):
            from_json(other, declared)


@dataclass(frozen=True)
class _Sample:
    number: int
    parts: tuple[tuple[str, bytes], ...] = ()
    choice: Literal["a", "b"] | None = None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", r"_Sample.number is missing"),
        ('{"number": true}', r"_Sample.number: an integer is needed, not True"),
        ('{"number": 1, "more": 2}', r"_Sample has no 'more'"),
        ('{"number": 1, "choice": "c"}', r"_Sample.choice: one of 'a', 'b' is needed, not 'c'"),
        ('{"number": 1, "parts": [["a"]]}', r"parts: \[0\]: a list of 2 is needed"),
        ('{"number": 1, "parts": [["a", "b"]]}', r"\[0\]: \[1\]: a number of bytes is needed"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "not JSON"),
        (b"\xff\xff", "not JSON"),
        ("9" * 5000, "not JSON"),
    ],
)
def test_what_is_wrong_is_named(text: str | bytes, problem: str) -> None:
    with pytest.raises(WrongData, match=problem):
        loads(text, _Sample)


def test_what_is_no_data() -> None:
    for value in (object(), {1: 2}, {"a": {3}}, _Sample, dumps):
        with pytest.raises(TypeError, match="is not data"):
            dumps(value)


def test_missing_fields_have_their_defaults() -> None:
    assert all(item.default is not MISSING for item in fields(_Sample)[1:])
    assert loads('{"number": 1}', _Sample) == _Sample(1)


@pytest.mark.parametrize(
    "error",
    [
        StoreError("bad", remedy="Mend it."),
        CommandError(["a", "b\udcff"], -9, ("one", "two"), remedy="Do it."),
        DescriptionErrors(
            [DescriptionError("x", location=Location(Path("f"), 1, 2, "e")), DescriptionError("y")]
        ),
        OSError(28, "No space left on device", "file", None, "other"),
        FileNotFoundError(2, "No such file or directory", b"b\xff"),
        OSError("only words"),
        MemoryError(),
    ],
)
def test_errors_come_back_whole(error: Exception) -> None:
    error.add_note("a note")
    found = error_of(split(pack(failure_of(error))).read(Failure))
    assert type(found) is type(error)
    if not isinstance(error, FileNotFoundError):
        assert str(found) == str(error)
    assert "a note" in found.__notes__
    for name in ("status", "argv", "tail", "errno", "remedy", "location"):
        assert getattr(found, name, None) == getattr(error, name, None)


def test_an_error_of_any_size_has_a_bounded_one() -> None:
    error = CommandError(["x" * 1_000_000] * 5, 1, ["y" * 1_000_000] * 20)
    assert len(pack(failure_of(error))) < 1 << 20
