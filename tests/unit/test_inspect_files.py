import os
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from inspect_trees import Deb, Item, MemoryTree, database, many

from kiwinb.inspect.files import files
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.links import resolver
from kiwinb.inspect.tree import COLUMNS


def owner(table: pd.DataFrame, path: str) -> object:
    return table.set_index("path").loc[path, "package"]


def test_columns() -> None:
    table = files(MemoryTree({"/a": b"x"}))
    assert tuple(table.columns) == (*COLUMNS, "owner", "package", "usage")
    assert list(table["path"]) == ["/", "/a"]


def test_totals_agree_with_du_to_the_byte(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in range(300):  # enough for directories that take several blocks
        path = root / f"d{number % 7}" / f"a-rather-long-name-for-a-file-{number:040d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number * 37))
    first = root / "d0" / "first"
    first.write_bytes(b"y" * 100_000)
    for place in ("d0/second", "d1/third"):
        os.link(first, root / place)
    with (root / "sparse").open("wb") as file:
        file.truncate(50 << 20)
        file.seek(10 << 20)
        file.write(b"data")
    (root / "link").symlink_to("x" * 200)
    os.mkfifo(root / "fifo")
    (root / "empty").mkdir()
    printed = subprocess.run(
        ["du", "-s", "--block-size=1", root], capture_output=True, text=True, check=True
    ).stdout
    table = files(DirectoryTree(root))
    assert table["usage"].sum() == int(printed.split()[0])
    assert table["usage"].sum() < table["size"].sum()  # the sparse file
    linked = table[table["links"].eq(3) & table["type"].eq("file")]
    assert len(linked) == 3
    assert list(linked["usage"].gt(0)) == [True, False, False]


def test_totals_of_a_subdirectory_agree_with_du() -> None:
    """The same on a directory that every host has, with whatever is in it."""
    table = files(DirectoryTree("/usr/share/doc"))
    command = ["du", "-s", "--block-size=1", "/usr/share/doc"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert table["usage"].sum() == int(printed.split()[0])


def test_owners_are_named_by_the_trees_own_users() -> None:
    passwd = b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbroken\nwww:x:33:33::/:/bin/sh\n"
    table = files(
        MemoryTree({"/etc/passwd": passwd, "/a": Item(uid=33), "/b": Item(uid=4711), "/c": b""})
    ).set_index("path")
    assert list(table.loc[["/a", "/b", "/c"], "owner"]) == ["www", "4711", "root"]


def test_no_package_database() -> None:
    table = files(MemoryTree({"/a": b""}))
    assert set(table["package"]) == {""}


def test_ownership_goes_through_linked_directories() -> None:
    tree = MemoryTree(
        {
            "/bin": "usr/bin",
            "/lib": "/usr/lib",
            "/usr/lib64": "../usr/./lib/..//lib",
            "/usr/bin/ls": b"",
            "/usr/lib/libc.so": b"",
            "/usr/lib/ld.so": b"",
            "/usr/lib/other": b"",
            **database(
                Deb("coreutils", files=["/bin", "/bin/ls"]),
                Deb("libc6", files=["/lib", "/lib/libc.so", "/usr/lib64/ld.so"]),
            ),
        }
    )
    table = files(tree)
    assert owner(table, "/usr/bin/ls") == "coreutils"
    assert owner(table, "/usr/lib/libc.so") == "libc6"
    assert owner(table, "/usr/lib/ld.so") == "libc6"
    assert owner(table, "/usr/lib/other") == ""
    assert owner(table, "/lib") == "libc6"


def test_links_that_go_round_in_a_circle_do_no_harm() -> None:
    directories = resolver({"/a": "b", "/b": "a"})
    assert directories["/a/x"].endswith("/x")
    assert resolver({"/up": "../../.."})["/up/etc"] == "/etc"


def test_diverted_files_belong_to_who_diverts() -> None:
    tree = MemoryTree(
        {
            "/bin/sh": b"dash",
            "/bin/sh.distrib": b"old",
            "/etc/x": b"",
            "/etc/x.local": b"",
            **database(
                Deb("bash", files=["/bin/sh", "/etc/x"]),
                Deb("dash", files=["/bin/sh"]),
                diversions="/bin/sh\n/bin/sh.distrib\ndash\n/etc/x\n/etc/x.local\n:\n",
            ),
        }
    )
    table = files(tree)
    assert owner(table, "/bin/sh") == "dash"
    assert owner(table, "/bin/sh.distrib") == "bash"
    assert owner(table, "/etc/x.local") == "bash"
    assert owner(table, "/etc/x") == ""


def test_packages_of_several_architectures_are_told_apart() -> None:
    same = "Multi-Arch: same\n"
    tree = MemoryTree(
        {
            "/usr/lib/x86/libz.so": b"",
            "/usr/lib/i386/libz.so": b"",
            **database(
                Deb("zlib1g", "1", same, ["/usr/lib/x86/libz.so"], stem="zlib1g:amd64"),
                Deb("zlib1g", "1", same, ["/usr/lib/i386/libz.so"], 1, "i386", stem="zlib1g:i386"),
            ),
        }
    )
    table = files(tree)
    assert owner(table, "/usr/lib/x86/libz.so") == "zlib1g:amd64"
    assert owner(table, "/usr/lib/i386/libz.so") == "zlib1g:i386"


def test_shared_directories_belong_to_an_essential_package_first() -> None:
    tree = MemoryTree(
        {
            "/usr/x": b"",
            **database(
                Deb("aaa", files=["/usr", "/usr/x"]),
                Deb("base-files", fields="Essential: yes\n", files=["/usr"]),
            ),
        }
    )
    assert owner(files(tree), "/usr") == "base-files"


def test_packages_without_a_package_manager() -> None:
    sums = "0" * 32
    tree = MemoryTree(
        {
            "/usr/share/zoneinfo/UTC": b"",
            "/var/lib/dpkg/status.d/tzdata": b"Package: tzdata\nVersion: 1\nArchitecture: all\n",
            "/var/lib/dpkg/status.d/tzdata.md5sums": f"{sums}  usr/share/zoneinfo/UTC\n".encode(),
        }
    )
    assert owner(files(tree), "/usr/share/zoneinfo/UTC") == "tzdata"


def test_names_that_are_not_utf8() -> None:
    path = os.fsdecode(b"/etc/\xff")
    tree = MemoryTree({path: b"", **database(Deb("odd", files=[]))})
    tree.items["/var/lib/dpkg/info/odd.list"] = Item(b"/.\n/etc/\xff\n")
    assert owner(files(tree), path) == "odd"


@pytest.mark.timeout(60)
def test_three_hundred_thousand_files_take_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: dict[str, list[str]] = {}
    for path, package in many(300_000):
        listed.setdefault(package, []).append(path)
    tree = MemoryTree(database(*(Deb(name, files=paths) for name, paths in listed.items())))
    large = MemoryTree({path: b"" for paths in listed.values() for path in paths})
    scanned = MemoryTree({**large.items, **tree.items}).scan()
    monkeypatch.setattr(tree, "scan", lambda: scanned)
    monkeypatch.setattr(tree, "exists", set(scanned["path"]).__contains__)
    began = time.process_time()
    table = files(tree)
    assert time.process_time() - began < 3  # it is 0.7 s
    assert table["package"].ne("").sum() >= 300_000
