"""Expectations of a recipe: what must hold of its root tree and its image.

::

    from kiwinb import expect

    with expect.all() as checks:
        expect.size(image, at_most="400 MiB")
        expect.no_package(root, section="x11")
        expect.package(root, "openssh-server", at_least="1:9.2")
        expect.file(root, "/etc/motd", contains="Welcome")

Within ``all()`` everything is measured, shown as one table, and what does not hold is told
together. A call outside of it raises at once. Each is recorded for the headless runner.
"""

from __future__ import annotations

import html
import json
import operator
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import pandas as pd

from kiwinb.errors import BootError, ExpectationError, InspectError
from kiwinb.inspect.files import files, resolver
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.remembered import RememberedTree, remembered
from kiwinb.inspect.tree import Tree
from kiwinb.inspect.unowned import unowned
from kiwinb.packages.databases import find_database
from kiwinb.packages.databases.database import Package
from kiwinb.settings import parse_size
from kiwinb.sizes import binary
from kiwinb.vm.qemu import boot

RECORD_VARIABLE = "KIWINB_RECORD_EXPECTATIONS"
"""Environment variable that names the file which expectations are appended to, as JSON lines."""

Size: TypeAlias = int | str
"""Bytes, or text such as ``400 MiB``."""

_SHOWN = 3

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
    "in": lambda value, bound: value in bound,
    "not in": lambda value, bound: value not in bound,
}


@runtime_checkable
class HasPath(Protocol):
    """What is a file: an ``Image``."""

    @property
    def path(self) -> Path:
        """The file."""
        ...


@dataclass(frozen=True)
class Outcome:
    """One expectation, and what was measured.

    Attributes:
        what: What is measured, in words.
        expected: What is to hold.
        measured: The number or fact that was found.
        passed: It holds.
    """

    what: str
    expected: str
    measured: str
    passed: bool

    def __str__(self) -> str:
        """It in one line."""
        mark = "ok" if self.passed else "FAILED"
        return f"{mark}: {self.what}: {self.measured} (expected: {self.expected})"

    def _repr_html_(self) -> str:
        return _as_html((self,))


@dataclass
class Expectations:
    """Expectations that are reported together; see :func:`all`.

    Attributes:
        outcomes: What was measured so far.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    _trees: dict[object, RememberedTree] = field(default_factory=dict, repr=False)
    _opened: ExitStack = field(default_factory=ExitStack, repr=False)

    def tree(self, source: Source) -> RememberedTree:
        """The tree of a source; each is read once in a block.

        Raises:
            InspectError: It cannot be read.
        """
        place = os.fspath(source) if isinstance(source, str | os.PathLike) else id(source)
        if place not in self._trees:
            self._trees[place] = remembered(self._opened.enter_context(opened(source)))
        return self._trees[place]

    def close(self) -> None:
        """Let go of the trees."""
        self._trees.clear()
        self._opened.close()

    @property
    def passed(self) -> bool:
        """All of them hold."""
        return not self.failures

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """Those that do not."""
        return tuple(item for item in self.outcomes if not item.passed)

    def table(self) -> pd.DataFrame:
        """One row for each: ``what``, ``expected``, ``measured``, ``passed``."""
        columns = list(Outcome.__dataclass_fields__)
        return pd.DataFrame([asdict(item) for item in self.outcomes], columns=columns)

    def check(self) -> None:
        """Raise when one does not hold.

        Raises:
            ExpectationError: Names each that does not, with what was measured.
        """
        if self.failures:
            raise _error(self.failures, len(self.outcomes))

    def __str__(self) -> str:
        return "\n".join(map(str, self.outcomes)) or "nothing was expected"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return _as_html(self.outcomes)


_open: ContextVar[Expectations | None] = ContextVar("expectations", default=None)


@contextmanager
def all() -> Iterator[Expectations]:
    """Measure all expectations in the block, show them as a table, and tell all that fail.

    Raises:
        ExpectationError: At the end of the block, when one or more do not hold.
    """
    found = Expectations()
    token = _open.set(found)
    try:
        yield found
    finally:
        _open.reset(token)
        found.close()
        _show(found)
    found.check()


# --- what can be expected ---


def that(value: Any, relation: str, bound: Any, label: str) -> Outcome:
    """Expect that a value is as a bound says.

    Args:
        value: What was measured.
        relation: ``<``, ``<=``, ``==``, ``!=``, ``>=``, ``>``, ``in`` or ``not in``.
        bound: What it is compared with.
        label: What it is, in words.

    Raises:
        ExpectationError: It does not hold.
        InspectError: There is no such relation.
    """
    if relation not in _OPERATORS:
        known = ", ".join(_OPERATORS)
        raise InspectError(f"no relation {relation!r}", remedy=f"Use one of: {known}.")
    passed = bool(_OPERATORS[relation](value, bound))
    return _report(label, f"{relation} {bound}", f"{value}", passed)


def size(
    source: Source | HasPath, *, at_most: Size | None = None, at_least: Size | None = None
) -> Outcome:
    """Expect a size: of an image or another file its length, of a tree what ``du`` counts.

    Args:
        source: An image, a root tree, or a path.
        at_most: The most it may be.
        at_least: The least.

    Raises:
        ExpectationError: It is not.
    """
    most, least = _bytes(at_most), _bytes(at_least)
    if most is None and least is None:
        raise InspectError("a size is expected, and no bound is given", remedy="Give at_most.")
    what, measured = _measure_size(source)
    passed = (most is None or measured <= most) and (least is None or measured >= least)
    bounds = [f"at most {_exact(most)}"] if most is not None else []
    bounds += [f"at least {_exact(least)}"] if least is not None else []
    return _report(f"size of {what}", ", ".join(bounds), _exact(measured), passed)


def package(
    source: Source, name: str, *, at_least: str | None = None, version: str | None = None
) -> Outcome:
    """Expect that a package is installed.

    Args:
        source: A root tree, an image, or a path.
        name: Of the package.
        at_least: Its version or a later one, in the package manager's order.
        version: Its exact version.

    Raises:
        ExpectationError: It is not, or in another version.
    """
    with _tree(source) as tree:
        database = find_database(tree)
        found = database.packages(tree) if database else ()
    versions = [item.version for item in found if name in (item.name, item.label)]
    passed = bool(versions)
    expected = ["installed"]
    if version is not None:
        expected.append(f"version {version}")
        passed = passed and version in versions
    if at_least is not None and database is not None:
        expected.append(f"version {at_least} or later")
        order = database.compare
        passed = passed and any(order(item, at_least) >= 0 for item in versions)
    measured = f"version {', '.join(versions)}" if versions else "not installed"
    return _report(f"package {name}", ", ".join(expected), measured, passed)


def no_package(source: Source, name: str = "*", *, section: str | None = None) -> Outcome:
    """Expect that no such package is installed.

    Args:
        source: A root tree, an image, or a path.
        name: Of the package, or a pattern with ``*`` for several.
        section: A section, whichever archive area it is of: ``x11`` is ``contrib/x11``, too.

    Raises:
        ExpectationError: There are some; tells which and how large they are.
    """
    if name == "*" and section is None:
        raise InspectError("no package is named", remedy="Give a name, a pattern or a section.")
    with _tree(source) as tree:
        database = find_database(tree)
        installed = database.packages(tree) if database else ()
    found = [
        item
        for item in installed
        if fnmatchcase(item.name, name)
        and (section is None or section in (item.section, item.section.rpartition("/")[2]))
    ]
    what = f"package {name}" if name != "*" else "packages"
    if section is not None:
        what += f" of section {section}"
    return _report(what, "none", _listed_packages(found), not found)


def file(
    source: Source,
    path: str,
    *,
    contains: str | bytes | None = None,
    mode: int | None = None,
    owner: str | None = None,
    target: str | None = None,
) -> Outcome:
    """Expect that something is at a path.

    Args:
        source: A root tree, an image, or a path.
        path: In the tree; symbolic links are followed, unless ``target`` is given.
        contains: Text that is in the file.
        mode: Its permission bits, as in ``0o644``.
        owner: Name of the user it belongs to, or the number as text.
        target: The path is a symbolic link with this target.

    Raises:
        ExpectationError: It is not there, or is not so.
    """
    with _tree(source) as tree:
        row = _find(tree, path, follow=target is None)
        expected, measured, passed = ["there"], ["there"], row is not None
        if row is None:
            measured = ["not there"]
        if mode is not None:
            expected.append(f"mode {mode:04o}")
        if owner is not None:
            expected.append(f"owner {owner}")
        if target is not None:
            expected.append(f"link to {target}")
        if contains is not None:
            expected.append(f"contains {contains!r}")
        if row is not None:
            if mode is not None:
                measured.append(f"mode {row['mode']:04o}")
                passed &= int(row["mode"]) == mode
            if owner is not None:
                measured.append(f"owner {row['owner']}")
                passed &= owner in (row["owner"], str(row["uid"]))
            if target is not None:
                measured.append(f"link to {row['target']}" if row["target"] else "no link")
                passed &= row["target"] == target
            if contains is not None:
                holds, said = _contains(tree, row, contains)
                measured.append(said)
                passed &= holds
    return _report(path, ", ".join(expected), ", ".join(measured), passed)


def no_file(source: Source, path: str) -> Outcome:
    """Expect that nothing is at a path.

    Args:
        source: A root tree, an image, or a path.
        path: In the tree, or a pattern with ``*``, which stands for ``/``, too.

    Raises:
        ExpectationError: There is; tells what, and how much it takes.
    """
    with _tree(source) as tree:
        table = files(tree)
        at = path
        if not any(sign in path for sign in "*?["):
            parent, _, name = path.rstrip("/").rpartition("/")
            at = f"{_resolved(table)[parent]}/{name}"
            found = table[table["path"].eq(at)]
        else:
            found = table[[fnmatchcase(item, at) for item in table["path"]]]
    measured = _listed(found["path"].tolist(), int(found["usage"].sum()))
    return _report(path, "nothing there", measured, found.empty)


def no_unowned(source: Source, under: str = "/", *, ignore: Sequence[str] = ()) -> Outcome:
    """Expect that every file belongs to a package, or is known to be made by a program.

    Args:
        source: A root tree, an image, or a path.
        under: Only what is in this directory.
        ignore: Patterns of paths that may be there all the same.

    Raises:
        ExpectationError: There are others; tells which.
    """
    with _tree(source) as tree:
        table = unowned(tree)
    prefix = f"{under.rstrip('/')}/"
    keep = [
        path.startswith(prefix)
        and not reason
        and not any(fnmatchcase(path, pattern) for pattern in ignore)
        for path, reason in zip(table["path"], table["reason"], strict=True)
    ]
    found = table[keep]
    measured = _listed(found["path"].tolist(), int(found["usage"].sum()))
    return _report(f"files of no package in {under}", "none", measured, found.empty)


def boots(
    image: HasPath | str | os.PathLike[str],
    *,
    firmware: Literal["bios", "efi", "uefi"] = "bios",
    timeout: float = 600,
    until: str = r"login: ",
    memory: int = 1024,
) -> Outcome:
    """Expect that an image boots in QEMU; it is left as it is.

    Args:
        image: A disk image.
        firmware: ``bios``, or ``efi`` (also ``uefi``).
        timeout: Seconds it may take.
        until: Regular expression of what its serial console shows at the end.
        memory: Of the machine, in MiB.

    Raises:
        ExpectationError: It does not; tells what the console showed last.
        HostError: QEMU or the firmware is not installed.
    """
    path = image.path if isinstance(image, HasPath) else Path(image)
    started = time.monotonic()
    kind: Literal["bios", "uefi"] = "bios" if firmware == "bios" else "uefi"
    try:
        with boot(path, firmware=kind, memory=memory) as console:
            console.expect(until, timeout=timeout)
    except BootError as error:
        measured, passed = str(error), False
    else:
        measured, passed = f"after {time.monotonic() - started:.0f} s", True
    expected = f"{until.strip()!r} within {timeout:.0f} s"
    return _report(f"boot of {path.name} ({firmware})", expected, measured, passed)


# --- how it is reported ---


def _report(what: str, expected: str, measured: str, passed: bool) -> Outcome:
    outcome = Outcome(what, expected, measured, passed)
    place = os.environ.get(RECORD_VARIABLE)
    if place:
        with Path(place).open("a", encoding="utf-8") as lines:
            lines.write(f"{json.dumps(asdict(outcome))}\n")
    together = _open.get()
    if together is not None:
        together.outcomes.append(outcome)
    elif not passed:
        raise _error((outcome,), 1)
    return outcome


def _error(failures: Sequence[Outcome], total: int) -> ExpectationError:
    lines = "\n".join(
        f"  {item.what}: {item.measured}; expected: {item.expected}" for item in failures
    )
    if total == 1:
        return ExpectationError(f"an expectation does not hold: {lines.strip()}")
    return ExpectationError(f"{len(failures)} of {total} expectations do not hold:\n{lines}")


def _show(found: Expectations) -> None:
    """In a notebook, below the cell."""
    from kiwinb.notebook.frontend import in_notebook

    if found.outcomes and in_notebook():
        from IPython.display import display

        display(found)


def _as_html(outcomes: Sequence[Outcome]) -> str:
    rows = "".join(
        f"<tr><td style='text-align:left'>{'✓' if item.passed else '<b>✗ failed</b>'}</td>"
        + "".join(
            f"<td style='text-align:left;white-space:pre-wrap'>{html.escape(text)}</td>"
            for text in (item.what, item.expected, item.measured)
        )
        + "</tr>"
        for item in outcomes
    )
    heads = "".join(
        f"<th style='text-align:left'>{name}</th>" for name in ("", "what", "expected", "measured")
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


# --- how it is measured ---


def _bytes(size: Size | None) -> int | None:
    if size is None or isinstance(size, int):
        return size
    found = parse_size(size)
    if found is None:
        raise InspectError(f"{size!r} is no size", remedy="Write it as in '400 MiB'.")
    return found


def _exact(size: int) -> str:
    return f"{binary(size)} ({size} bytes)" if size >= 1024 else f"{size} bytes"


def _measure_size(source: Source | HasPath) -> tuple[str, int]:
    place = source.path if isinstance(source, HasPath) else source
    if isinstance(place, str | os.PathLike) and Path(place).is_file():
        return Path(place).name, Path(place).stat().st_size
    with _tree(place) as tree:
        return tree.name, int(files(tree)["usage"].sum())


def _resolved(table: pd.DataFrame) -> Any:
    links = table[table["type"].eq("symlink")]
    return resolver(dict(zip(links["path"], links["target"], strict=True)))


@contextmanager
def _tree(source: Source) -> Iterator[Tree]:
    together = _open.get()
    if together is not None:
        yield together.tree(source)
    else:
        with opened(source) as tree:
            yield remembered(tree)


def _find(tree: Tree, path: str, *, follow: bool) -> pd.Series | None:
    table = files(tree)
    directories = _resolved(table)
    parent, _, name = path.rstrip("/").rpartition("/")
    at = directories[path] if follow else f"{directories[parent]}/{name}"
    found = table[table["path"].eq(at or "/")]
    return None if found.empty else found.iloc[0]


def _contains(tree: Tree, row: pd.Series, contains: str | bytes) -> tuple[bool, str]:
    if row["type"] != "file":
        return False, f"a {row['type']}"
    wanted = contains.encode() if isinstance(contains, str) else contains
    content = tree.read(row["path"])
    if wanted in content:
        return True, "contains it"
    start = content[:60].decode("utf-8", "replace")
    return False, f"does not contain it: {len(content)} bytes, {start!r}…"


def _listed_packages(found: Sequence[Package]) -> str:
    return _listed([item.label for item in found], sum(item.installed_size or 0 for item in found))


def _listed(names: Sequence[str], size: int) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{len(names)} ({binary(size)}): {shown}"
