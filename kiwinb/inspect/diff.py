"""Compare two root trees: packages, files and sizes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.inspect.database import packages_of
from kiwinb.inspect.files import files
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.package_list import SUFFIX, read_package_list
from kiwinb.inspect.remembered import remembered
from kiwinb.inspect.table import Table
from kiwinb.inspect.tree import Tree
from kiwinb.packages.databases.database import INSTALLED, Package
from kiwinb.paths import normalised
from kiwinb.sizes import signed
from kiwinb.visible import visible

PACKAGE_COLUMNS = (
    "name",
    "arch",
    "before",
    "after",
    "change",
    "size_before",
    "size_after",
    "delta",
)
FILE_COLUMNS = ("path", "change", "what", "size_before", "size_after", "delta")

PackageChange = Literal["added", "removed", "upgraded", "downgraded", "changed"]
Compare = Callable[[str, str], int]


@dataclass(frozen=True)
class Difference:
    """The changes from ``before`` to ``after``.

    Attributes:
        before: Name of the first tree.
        after: Name of the second tree.
        packages: One row for each package that was added, removed, upgraded, downgraded, or changed
            its state: ``name``, ``arch``, ``before`` and ``after`` (versions, with the state in
            brackets if it is not ``installed``, or an empty string), ``change``,
            ``size_before``, ``size_after`` and ``delta`` (bytes, as the packages state; 0 if there
            is no package, NA for a list of packages, which has no sizes).
        files: One row for each path that was added, removed or changed: ``path``, ``change``,
            ``what`` (what changed: ``content``, ``mode``, ``owner``, ``type``, ``target``,
            separated by commas), ``size_before``, ``size_after`` and ``delta`` (bytes in the file).
        usage: Difference in disk usage in bytes, as ``du`` counts it; ``None`` if one of the two is
            a list of packages.
        packages_problem: Why packages were not compared; empty if they were.
    """

    before: str
    after: str
    packages: pd.DataFrame
    files: pd.DataFrame
    usage: int | None
    packages_problem: str = ""

    def summary(self) -> str:
        """Summarise the changes in two lines of text."""
        lines = [f"packages: {_counts(self.packages)}"]
        if self.packages_problem:
            lines = [f"packages: not compared; {visible(self.packages_problem)}"]
        if self.usage is None:
            lines.append("files: not compared, a list of packages has none")
        else:
            lines.append(f"files: {_counts(self.files)}; {signed(self.usage)} on disk")
        known = self.packages["delta"].dropna()
        if len(known):
            lines[0] += f"; {signed(int(known.sum()))} by their own account"
        return "\n".join(lines)

    def __bool__(self) -> bool:
        """Tell whether anything changed."""
        return not (self.packages.empty and self.files.empty)

    def __str__(self) -> str:
        return f"{visible(self.before)} → {visible(self.after)}\n{self.summary()}"


def diff(a: Source, b: Source) -> Difference:
    """Compare two trees, or lists of packages that builds write.

    Each of the two can be a root tree, an image, a checkpoint, a step, a key or the beginning of
    one, or the path of a directory, of an image or of a ``.packages`` file. Versions are compared
    as the package manager does. Digests show whether two files of equal size have the same content.
    If both files belong to the same version of the same package and have the same modification
    time, their contents are taken to be equal.

    Raises:
        InspectError: One of the two cannot be read.
        StoreError: One of the two is not in the store.
    """
    if _is_list(a) or _is_list(b):
        return _packages_only(a, b)
    with opened(a) as first, opened(b) as second:
        before, after = remembered(first), remembered(second)
        one, other = _packages(before), _packages(after)
        packages, problem = _compared(one, other)
        left, right = files(before), files(after)
        changed = _files(before, after, left, right, _same_versions(one.packages, other.packages))
        return Difference(
            before.name,
            after.name,
            packages,
            changed,
            int(right["usage"].sum() - left["usage"].sum()),
            problem,
        )


@dataclass(frozen=True)
class _Side:
    """The packages of one of the two trees.

    Attributes:
        packages: The packages.
        compare: Function that compares their versions.
        problem: Why the packages cannot be read.
    """

    packages: tuple[Package, ...] = ()
    compare: Compare | None = None
    problem: str = ""


def _is_list(source: Source) -> bool:
    return isinstance(source, str | os.PathLike) and (
        Path(source).suffix == SUFFIX and Path(source).is_file()
    )


def _packages_only(a: Source, b: Source) -> Difference:
    sides: list[tuple[str, _Side]] = []
    for source in (a, b):
        if _is_list(source):
            assert isinstance(source, str | os.PathLike)
            found = read_package_list(Path(source))
            sides.append((os.fspath(normalised(source)), _Side(found.packages, found.compare)))
        else:
            with opened(source) as tree:
                sides.append((tree.name, _packages(tree)))
    (before, one), (after, other) = sides
    table, problem = _compared(one, other)
    no_files = Table(columns=list(FILE_COLUMNS))
    return Difference(before, after, table, no_files, None, problem)


def _packages(tree: Tree) -> _Side:
    try:
        found = packages_of(tree)
    except InspectError as error:
        return _Side(problem=error.problem)
    return _Side(found.packages, found.database.compare)


def _compared(one: _Side, other: _Side) -> tuple[pd.DataFrame, str]:
    """Compare packages, or say why that is not possible."""
    problem = "; ".join(dict.fromkeys(side.problem for side in (one, other) if side.problem))
    if problem:
        return diff_packages((), (), None), problem
    return diff_packages(one.packages, other.packages, one.compare or other.compare), ""


def diff_packages(
    before: Iterable[Package], after: Iterable[Package], compare: Compare | None
) -> pd.DataFrame:
    """Compare the packages of two trees; see :class:`Difference` for the columns.

    Args:
        before: Packages of the first tree.
        after: Packages of the second tree.
        compare: Function that compares versions; ``None`` only if there are no packages.
    """
    one, other = _by_name(before), _by_name(after)
    rows = []
    for name, arch in sorted(one.keys() | other.keys()):
        old, new = one.get((name, arch), {}), other.get((name, arch), {})
        gone = [old[version] for version in old if version not in new]
        come = [new[version] for version in new if version not in old]
        if len(gone) == len(come) == 1:
            assert compare is not None, "what has packages has an order of versions"
            sign = compare(gone[0].version, come[0].version)
            change: PackageChange = "upgraded" if sign < 0 else "downgraded"
            if sign:
                rows.append(_row(gone[0], come[0], change))
            elif gone[0].state != come[0].state:  # in two spellings of the same version
                rows.append(_row(gone[0], come[0], "changed"))
            continue
        rows += [
            _row(item, new[version], "changed")
            for version, item in old.items()
            if version in new and new[version].state != item.state
        ]
        rows += [_row(item, None, "removed") for item in gone]
        rows += [_row(None, item, "added") for item in come]
    table = Table(rows, columns=list(PACKAGE_COLUMNS))
    return table.astype(dict.fromkeys(("size_before", "size_after", "delta"), "Int64"))


def _by_name(packages: Iterable[Package]) -> dict[tuple[str, str], dict[str, Package]]:
    found: dict[tuple[str, str], dict[str, Package]] = {}
    for item in packages:
        found.setdefault((item.name, item.arch), {})[item.version] = item
    return found


def _row(old: Package | None, new: Package | None, change: PackageChange) -> tuple[object, ...]:
    some = new or old
    assert some is not None
    sizes = [_size(old), _size(new)]
    delta = None if sizes[0] is None or sizes[1] is None else sizes[1] - sizes[0]
    return (
        some.name,
        some.arch,
        _version(old),
        _version(new),
        change,
        *sizes,
        delta,
    )


def _version(item: Package | None) -> str:
    if item is None or item.state == INSTALLED:
        return item.version if item else ""
    return f"{item.version} ({item.state})"


def _size(item: Package | None) -> int | None:
    return item.installed_size if item else 0


def _same_versions(one: Iterable[Package], other: Iterable[Package]) -> set[str]:
    """Return labels of the packages that both trees have in the same version."""
    versions = {item.label: (item.version, item.arch) for item in one}
    return {item.label for item in other if versions.get(item.label) == (item.version, item.arch)}


def _files(
    before: Tree, after: Tree, left: pd.DataFrame, right: pd.DataFrame, same: set[str]
) -> pd.DataFrame:
    merged = left.merge(
        right, on="path", how="outer", suffixes=("_a", "_b"), indicator=True, sort=True
    )
    both = merged[merged["_merge"].eq("both")]
    what = {
        "content": _contents(before, after, both, same),
        "type": both["type_a"].astype(str).ne(both["type_b"].astype(str)),
        "target": both["target_a"].ne(both["target_b"]),
        "mode": both["mode_a"].ne(both["mode_b"]) & both["type_a"].ne("symlink"),
        "owner": both["uid_a"].ne(both["uid_b"]) | both["gid_a"].ne(both["gid_b"]),
    }
    what["content"] &= ~what["type"]
    what["target"] &= ~what["type"]
    said = _joined(what, both.index)
    change = merged["_merge"].map({"left_only": "removed", "right_only": "added", "both": ""})
    change = change.astype(object)
    change[said.index] = np.where(said.ne(""), "changed", "")
    rows = merged.assign(change=change, what=said.reindex(merged.index, fill_value=""))
    rows = rows[rows["change"].ne("")].reset_index(drop=True)
    sizes = {name: rows[name].fillna(0).astype("int64") for name in ("size_a", "size_b")}
    return rows.assign(
        size_before=sizes["size_a"],
        size_after=sizes["size_b"],
        delta=sizes["size_b"] - sizes["size_a"],
    )[list(FILE_COLUMNS)]


def _contents(before: Tree, after: Tree, both: pd.DataFrame, same: set[str]) -> pd.Series:
    """Tell for each path whether it is a file with different contents."""
    files_of_both = both["type_a"].eq("file") & both["type_b"].eq("file")
    resized = files_of_both & both["size_a"].ne(both["size_b"])
    trusted = (
        both["package_a"].eq(both["package_b"])
        & both["package_a"].isin(same)
        & both["mtime_a"].eq(both["mtime_b"])
    )
    doubtful = files_of_both & ~resized & ~trusted & both["size_a"].gt(0)
    paths = both.loc[doubtful, "path"].tolist()
    one, other = before.digests(paths), after.digests(paths)
    differing = {path for path in paths if one[path] != other[path]}
    return resized | both["path"].isin(differing)


def _joined(what: Mapping[str, pd.Series], index: pd.Index) -> pd.Series:
    said = pd.Series("", index=index, dtype=object)
    for name, is_so in what.items():
        said[is_so] += name + ", "
    return said.str.removesuffix(", ").astype(object)


def _counts(table: pd.DataFrame) -> str:
    counts = table["change"].value_counts()
    order = ("added", "removed", "upgraded", "downgraded", "changed")
    return ", ".join(f"{counts[name]} {name}" for name in order if name in counts) or "no change"
