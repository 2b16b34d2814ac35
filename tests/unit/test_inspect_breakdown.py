import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import zstandard
from inspect_trees import Deb, Item, MemoryTree, database

from kiwinb.errors import InspectError
from kiwinb.inspect.breakdown import BY, COLUMNS, By, breakdown, directories
from kiwinb.inspect.files import files
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.kinds import extension

TREE: dict[str, Item | bytes | str] = {
    "/usr/bin/app": Item(b"a" * 5000, mode=0o755),
    "/usr/lib/libz.so.1.2": b"b" * 9000,
    "/usr/share/doc/app/changelog.gz": b"c" * 100,
    "/etc/motd": b"hello\n",
    "/vmlinuz": "boot/vmlinuz-6",
    "/boot/vmlinuz-6": b"k" * 20000,
    "/lib/modules/6/kernel/fs/x.ko.xz": b"m" * 300,
}


def tree() -> MemoryTree:
    debs = database(
        Deb("app", fields="Section: web\n", files=["/usr/bin/app"]),
        Deb("zlib1g", fields="Section: libs\n", files=["/usr/lib/libz.so.1.2"]),
    )
    return MemoryTree({**TREE, **debs})


def groups(by: By, **options: Any) -> pd.DataFrame:
    return breakdown(tree(), by, **options).set_index("group")


@pytest.mark.parametrize("by", BY)
def test_nothing_is_lost(by: By) -> None:
    table = breakdown(tree(), by)
    everything = files(tree())
    assert tuple(table.columns) == COLUMNS
    assert table["usage"].sum() == everything["usage"].sum()
    assert table["size"].sum() == everything["size"].sum()
    assert table["files"].sum() == everything["type"].ne("directory").sum()
    assert math.isclose(table["share"].sum(), 1)
    assert list(table["usage"]) == sorted(table["usage"], reverse=True)
    assert table["compressed"].isna().all()


def test_by_directory() -> None:
    assert groups("directory").loc["/usr", "size"] == 14100
    deeper = groups("directory", depth=2)
    assert deeper.loc["/usr/lib", "size"] == 9000
    assert deeper.loc["/usr/share", "size"] == 100
    assert deeper.loc["/etc", "size"] == 6
    assert deeper.loc["/", "files"] == 1  # the link /vmlinuz


def test_by_directory_under_another() -> None:
    table = files(tree())
    inside = table[table["path"].str.startswith("/usr/")]
    assert set(directories(inside, 1, "/usr")) == {"/usr/bin", "/usr/lib", "/usr/share"}


def test_by_package_and_section() -> None:
    assert groups("package").loc["zlib1g", "size"] == 9000
    assert groups("section").loc["web", "size"] == 5000
    assert "(no package)" in groups("section").index


def test_by_type_and_extension() -> None:
    kinds = groups("type")
    assert kinds.loc["program", "size"] == 5000
    assert kinds.loc["shared library", "size"] == 9000
    assert kinds.loc["documentation", "size"] == 100
    assert kinds.loc["kernel module", "size"] == 300
    assert kinds.loc["kernel and initrd", "size"] == 20000
    assert groups("extension").loc[".ko.xz", "size"] == 300


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libz.so.1.2.13", ".so"),
        ("libz.so", ".so"),
        ("a.tar.GZ", ".tar.gz"),
        ("x.ko.xz", ".ko.xz"),
        ("README", "(none)"),
        (".bashrc", "(none)"),
        ("ls.1.gz", ".gz"),
        ("vmlinuz-6.1.0-13-amd64", "(none)"),
        ("a.PNG", ".png"),
    ],
)
def test_extensions(name: str, expected: str) -> None:
    assert extension(name) == expected


def test_hard_links_count_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"x" * 10000)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/two").hardlink_to(tmp_path / "a/one")
    table = breakdown(DirectoryTree(tmp_path)).set_index("group")
    assert (table.loc["/a", "size"], table.loc["/b", "size"]) == (10000, 0)
    assert table.loc["/b", "files"] == 1


def test_compressed_is_what_zstd_makes_of_the_contents() -> None:
    table = groups("package", compressed=True)
    assert table.loc["zlib1g", "compressed"] == len(
        zstandard.ZstdCompressor(level=3).compressobj().compress(b"b" * 9000)
    ) + len(_end(b"b" * 9000))
    assert (table["compressed"] <= table["size"] + 64).all()


def _end(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(level=3).compressobj()
    stream.compress(data)
    return stream.flush()


def test_an_unknown_grouping() -> None:
    with pytest.raises(InspectError, match="grouped by"):
        breakdown(tree(), "colour")  # type: ignore[arg-type]
