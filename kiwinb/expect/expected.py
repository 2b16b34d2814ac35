"""Expectations about trees, images and values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from kiwinb.errors import InspectError
from kiwinb.expect.measure import (
    HasPath,
    Size,
    bytes_of,
    contains_text,
    exact,
    find,
    listed,
    listed_packages,
    measure_size,
    opened_once,
)
from kiwinb.expect.outcome import Outcome, report
from kiwinb.inspect.database import installed_in
from kiwinb.inspect.files import files
from kiwinb.inspect.links import resolver_of
from kiwinb.inspect.opening import Source
from kiwinb.inspect.unowned import unowned
from kiwinb.packages.databases.database import INSTALLED

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


def that(value: Any, relation: str, bound: Any, label: str) -> Outcome:
    """Expect that a value and a bound are in a relation.

    Args:
        value: The measured value.
        relation: ``<``, ``<=``, ``==``, ``!=``, ``>=``, ``>``, ``in`` or ``not in``.
        bound: The value to compare with.
        label: Description of the value.

    Raises:
        ExpectationError: The expectation does not hold.
        InspectError: There is no such relation.
    """
    if relation not in _OPERATORS:
        known = ", ".join(_OPERATORS)
        raise InspectError(f"no relation {relation!r}", remedy=f"Use one of: {known}.")
    passed = bool(_OPERATORS[relation](value, bound))
    return report(label, f"{relation} {bound}", f"{value}", passed)


def size(
    source: Source | HasPath, *, at_most: Size | None = None, at_least: Size | None = None
) -> Outcome:
    """Expect a size: the length of an image or another file, or the disk usage of a tree.

    Args:
        source: An image, a root tree, or a path.
        at_most: Maximum size.
        at_least: Minimum size.

    Raises:
        ExpectationError: The size is outside the bounds.
        InspectError: No bound is given, or the source cannot be read.
    """
    most, least = bytes_of(at_most), bytes_of(at_least)
    if most is None and least is None:
        raise InspectError("a size is expected, but no bound is given", remedy="Give at_most.")
    what, measured = measure_size(source)
    passed = (most is None or measured <= most) and (least is None or measured >= least)
    bounds = [f"at most {exact(most)}"] if most is not None else []
    bounds += [f"at least {exact(least)}"] if least is not None else []
    return report(f"size of {what}", ", ".join(bounds), exact(measured), passed)


def package(
    source: Source, name: str, *, at_least: str | None = None, version: str | None = None
) -> Outcome:
    """Expect that a package is installed completely.

    Args:
        source: A root tree, an image, or a path.
        name: Name of the package.
        at_least: Minimum version; versions are compared as the package manager does.
        version: Exact version.

    Raises:
        ExpectationError: The package is not installed, or another version is installed.
        InspectError: The source or its package database cannot be read.
    """
    with opened_once(source) as tree:
        installed = installed_in(tree)
    found = installed.packages if installed else ()
    present = [item for item in found if name in (item.name, item.label)]
    versions = [item.version for item in present if item.state == INSTALLED]
    passed = bool(versions)
    expected = ["installed"]
    if version is not None:
        expected.append(f"version {version}")
        passed = passed and version in versions
    if at_least is not None:
        expected.append(f"version {at_least} or later")
    if at_least is not None and installed is not None:
        order = installed.database.compare
        passed = passed and any(order(item, at_least) >= 0 for item in versions)
    measured = f"version {', '.join(versions)}" if versions else "not installed"
    if installed is None:
        measured = "there is no package database"
    elif present and not versions:
        measured = ", ".join(f"version {item.version}, only {item.state}" for item in present)
    return report(f"package {name}", ", ".join(expected), measured, passed)


def no_package(source: Source, name: str = "*", *, section: str | None = None) -> Outcome:
    """Expect that no such package is installed, not even in part.

    Args:
        source: A root tree, an image, or a path.
        name: Name of the package, or a pattern with ``*``.
        section: A section of any archive area: ``x11`` includes ``contrib/x11``.

    Raises:
        ExpectationError: Such packages are installed; the error lists them with their total size.
        InspectError: Neither a name nor a section is given, or the source or its package database
            cannot be read.
    """
    if name == "*" and section is None:
        raise InspectError("no package is named", remedy="Give a name, a pattern or a section.")
    with opened_once(source) as tree:
        installed = installed_in(tree)
    found = [
        item
        for item in (installed.packages if installed else ())
        if fnmatchcase(item.name, name)
        and (section is None or section in (item.section, item.section.rpartition("/")[2]))
    ]
    what = f"package {name}" if name != "*" else "packages"
    if section is not None:
        what += f" of section {section}"
    return report(what, "none", listed_packages(found), not found)


def file(
    source: Source,
    path: str,
    *,
    contains: str | bytes | None = None,
    mode: int | None = None,
    owner: str | None = None,
    target: str | None = None,
) -> Outcome:
    """Expect that a path exists.

    Args:
        source: A root tree, an image, or a path.
        path: A path in the tree; symbolic links are followed, unless ``target`` is given.
        contains: Text that the file has to contain.
        mode: Permission bits, such as ``0o644``.
        owner: Name of the owner, or the number as text.
        target: Target of the symbolic link at this path.

    Raises:
        ExpectationError: The path does not exist, or differs.
    """
    with opened_once(source) as tree:
        row = find(tree, path, follow=target is None)
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
                holds, said = contains_text(tree, row, contains)
                measured.append(said)
                passed &= holds
    return report(path, ", ".join(expected), ", ".join(measured), passed)


def no_file(source: Source, path: str) -> Outcome:
    """Expect that a path does not exist.

    Args:
        source: A root tree, an image, or a path.
        path: A path in the tree, or a pattern with ``*``, which also matches ``/``.

    Raises:
        ExpectationError: The path exists; the error lists the matches with their total size.
    """
    with opened_once(source) as tree:
        table = files(tree)
        at = path
        if not any(sign in path for sign in "*?["):
            parent, _, name = path.rstrip("/").rpartition("/")
            at = f"{resolver_of(table)[parent]}/{name}"
            found = table[table["path"].eq(at)]
        else:
            found = table[[fnmatchcase(item, at) for item in table["path"]]]
    measured = listed(found["path"].tolist(), int(found["usage"].sum()))
    return report(path, "nothing there", measured, found.empty)


def no_unowned(source: Source, under: str = "/", *, ignore: Sequence[str] = ()) -> Outcome:
    """Expect that every file belongs to a package, or that a known program made it.

    Args:
        source: A root tree, an image, or a path.
        under: The directory to check.
        ignore: Patterns of paths to ignore.

    Raises:
        ExpectationError: There are other files; the error lists them.
        InspectError: The source or its package database cannot be read.
    """
    with opened_once(source) as tree:
        table = unowned(tree)
    prefix = f"{under.rstrip('/')}/"
    keep = [
        path.startswith(prefix)
        and not reason
        and not any(fnmatchcase(path, pattern) for pattern in ignore)
        for path, reason in zip(table["path"], table["reason"], strict=True)
    ]
    found = table[keep]
    measured = listed(found["path"].tolist(), int(found["usage"].sum()))
    return report(f"files of no package in {under}", "none", measured, found.empty)
