"""The database of dpkg as it is found in the world, held against what dpkg-query says of it."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from formats import shell
from inspect_trees import Deb, MemoryTree, database, write

from kiwinb.errors import InspectError
from kiwinb.inspect.breakdown import group_keys
from kiwinb.inspect.files import files
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.packages import packages
from kiwinb.inspect.remembered import remembered
from kiwinb.inspect.tree import Tree
from kiwinb.inspect.unowned import unowned
from kiwinb.packages.databases import find_database, installed
from kiwinb.packages.databases.directory import DirectoryFiles

ADMIN = "var/lib/dpkg"
WANTED = ("unknown", "install", "hold", "deinstall", "purge")
FLAGS = ("ok", "reinstreq")
EXTRA = {
    "triggers-awaited": "Triggers-Awaited: other\n",
    "triggers-pending": "Triggers-Pending: /usr/share/icons\n",
}
STATES = (
    "not-installed",
    "config-files",
    "half-installed",
    "unpacked",
    "half-configured",
    "triggers-awaited",
    "triggers-pending",
    "installed",
)
BARE = ("not-installed", "config-files")


def record(
    name: str = "a", status: str = "install ok installed", arch: str = "amd64", more: str = ""
) -> str:
    return (
        f"Package: {name}\nStatus: {status}\nMaintainer: me\nArchitecture: {arch}\n"
        f"{EXTRA.get(status.split()[-1], '')}Version: 1\n{more}Description: text\n"
    )


@dataclass(frozen=True)
class Case:
    """The files of a database.

    Attributes:
        status: The file ``status``.
        updates: The files of the journal, by name.
    """

    status: str
    updates: Mapping[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> Path:
        kept = {f"{ADMIN}/updates/{name}": text for name, text in self.updates.items()}
        (root / ADMIN / "updates").mkdir(parents=True)
        texts = {f"{ADMIN}/status": self.status, f"{ADMIN}/info/format": "1\n", **kept}
        return write(root, {path: text.encode() for path, text in texts.items()})


SAME = "Multi-Arch: same\n"
ONE, TWO = record(), record().replace("Version: 1", "Version: 2")
I386 = record(arch="i386")
CASES = {
    "every status": Case(
        "\n".join(
            record(f"p-{'-'.join(words)}", " ".join(words))
            for words in itertools.product(WANTED, FLAGS, STATES)
        )
    ),
    **{
        f"{state} without a version": Case(
            record(status=f"install ok {state}").replace("Version: 1\n", "")
        )
        for state in STATES
    },
    "an empty file": Case(""),
    "no status": Case(ONE.replace("Status: install ok installed\n", "")),
    "an unknown status": Case(record(status="install ok sleeping")),
    "an unknown flag": Case(record(status="install maybe installed")),
    "a status of two words": Case(record(status="install ok")),
    "a status of four words": Case(record(status="install ok installed twice")),
    "a status in capitals": Case(record(status="Install\tOK   Installed")),
    "no name": Case(ONE.replace("Package: a\n", "")),
    "an empty name": Case(ONE.replace("Package: a", "Package:")),
    "a name in capitals": Case(ONE.replace("Package: a", "PACKAGE: A")),
    "no architecture": Case(ONE.replace("Architecture: amd64\n", "")),
    "an empty version": Case(ONE.replace("Version: 1", "Version:")),
    "a version of two words": Case(ONE.replace("Version: 1", "Version: 1 2")),
    "a version twice": Case(ONE + "Version: 3\n"),
    "a size in words": Case(ONE + "Installed-Size: large\n"),
    "a line without a colon": Case(ONE + "Junk\n"),
    "a line that begins with a colon": Case(ONE + ": junk\n"),
    "a space before the colon": Case(ONE.replace("Version:", "Version :")),
    "a comment": Case(ONE + "# comment\n"),
    "an indented first line": Case(" x\n" + ONE),
    "a line of a space between records": Case(f"{ONE} \n{record('b')}"),
    "a line of a tab between records": Case(f"{ONE}\t\n{record('b')}"),
    "many empty lines": Case(f"\n\n\n{ONE}\n\n\n{record('b')}\n\n"),
    "line ends of DOS": Case(ONE.replace("\n", "\r\n")),
    "separators of Unicode in a value": Case(
        f"{ONE.rstrip()}\u2028Package: x\x0bVersion: 9\x85Status: y\n more\x0cArchitecture: z\n"
    ),
    "conffiles": Case(f"{ONE}Conffiles:\n /etc/a 12\n /etc/b newconffile\n /etc/c 1 obsolete\n"),
    **{f"cut off after {size} bytes": Case((ONE + "\n" + TWO)[:size]) for size in range(8, 120, 9)},
    "no line end at last": Case(ONE[:-1]),
    "the same package twice": Case(f"{ONE}\n{TWO}"),
    "the same package for two architectures": Case(f"{ONE}\n{I386}"),
    "a package made for several architectures": Case(
        f"{record(more=SAME)}\n{record(arch='i386', more=SAME)}"
    ),
    "one of two is made for several architectures": Case(f"{record(more=SAME)}\n{I386}"),
    "one of two left its configuration": Case(
        f"{ONE}\n{record(arch='i386', status='deinstall ok config-files')}"
    ),
    "one of two is not installed": Case(
        f"{ONE}\n{record(arch='i386', status='purge ok not-installed')}"
    ),
    "the second record is not installed": Case(f"{ONE}\n{record(status='purge ok not-installed')}"),
    "a journal": Case(ONE, {"0000": TWO, "0001": record("b"), "0002": record("c")}),
    "an order of the journal": Case("", {"0010": ONE, "0002": TWO, "0001": record("b")}),
    "two records in a file of the journal": Case(ONE, {"0000": f"{record('b')}\n{record('c')}"}),
    "an empty file in the journal": Case(ONE, {"0000": ""}),
    "a package that the journal removes": Case(
        ONE, {"0000": "Package: a\nStatus: purge ok not-installed\n"}
    ),
    "a journal that unpacks": Case(ONE, {"0000": record(status="install reinstreq unpacked")}),
    "another architecture in the journal": Case(ONE, {"0000": I386}),
    "a second architecture in the journal": Case(
        record(more=SAME), {"0000": record(arch="i386", more=SAME)}
    ),
    "a package that becomes one for several": Case(ONE, {"0000": record(arch="i386", more=SAME)}),
    "one of two architectures in the journal": Case(
        f"{record(more=SAME)}\n{record(arch='i386', more=SAME)}",
        {"0000": record(arch="i386", more=SAME, status="hold ok half-configured")},
    ),
    "an architecture that the journal removes": Case(
        f"{record(more=SAME)}\n{record(arch='i386', more=SAME)}",
        {"0000": record(arch="i386", more=SAME, status="purge ok not-installed")},
    ),
    "a temporary file in the journal": Case(ONE, {"tmp.i": TWO}),
    "a damaged journal": Case(ONE, {"0000": TWO[:20]}),
    "a journal with names of unequal length": Case(ONE, {"0000": TWO, "01": TWO}),
}


def by_dpkg(root: Path) -> set[tuple[str, ...]] | None:
    """What dpkg-query says of the packages with files; ``None`` if it refuses the database."""
    form = "${Package}|${Version}|${Architecture}|${db:Status-Status}|${db:Status-Abbrev}\n"
    words = ["dpkg-query", f"--admindir={root / ADMIN}", "--show", f"--showformat={form}"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        return None
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return {tuple(row[:4]) for row in rows if row[3] not in BARE}


def by_kiwinb(tree: Tree) -> set[tuple[str, ...]] | None:
    try:
        table = packages(tree)
    except InspectError as error:
        assert f"/{ADMIN}/" in str(error)
        return None
    rows = table[["name", "version", "arch", "state"]].itertuples(index=False, name=None)
    return {tuple(map(str, row)) for row in rows}


@pytest.mark.needs("dpkg-query")
@pytest.mark.parametrize("name", CASES)
def test_as_dpkg_reads_it(name: str, tmp_path: Path) -> None:
    root = CASES[name].write(tmp_path)
    assert by_kiwinb(DirectoryTree(root)) == by_dpkg(root)


def test_the_reason_names_the_line(tmp_path: Path) -> None:
    root = Case(f"{ONE}\n{record(status='install ok sleeping')}").write(tmp_path)
    with pytest.raises(InspectError, match=r"/var/lib/dpkg/status:8: .*install ok sleeping"):
        packages(DirectoryTree(root))


@pytest.mark.needs("dpkg-query")
def test_lists_of_files_as_dpkg_reads_them(tmp_path: Path) -> None:
    debs = [
        Deb("plain", files=["/usr", "/usr/plain"]),
        Deb("lib", fields=SAME, stem="lib:amd64", files=["/usr/lib/amd64"]),
        Deb("lib", fields=SAME, arch="i386", stem="lib:i386", files=["/usr/lib/i386"]),
        Deb("empty"),
    ]
    root = write(tmp_path, {**database(*debs), f"/{ADMIN}/info/format": b"1\n"})
    tree = DirectoryFiles(root)
    found = find_database(tree)
    assert found is not None
    ours = dict(found.owned(tree, found.packages(tree)))
    assert set(ours) == {"plain", "lib:amd64", "lib:i386", "empty"}
    for label, paths in ours.items():
        words = ["dpkg-query", f"--admindir={root / ADMIN}", "--listfiles", label]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert ["/." if path == "/" else path for path in paths] == said.split()


def test_only_complete_packages_count_in_a_build(tmp_path: Path) -> None:
    CASES["every status"].write(tmp_path)
    assert {package.state for package in installed(tmp_path)} == {"installed"}
    assert len(installed(tmp_path)) == len(WANTED) * len(FLAGS)


def _as_directory(root: Path, _scratch: Path) -> Tree:
    return DirectoryTree(root)


def _as_archive(root: Path, scratch: Path) -> Tree:
    shell('tar -C "$root" -cf "$image" .', root=root, image=scratch / "tar")
    return open_tree(scratch / "tar")


def _as_filesystem(root: Path, scratch: Path) -> Tree:
    shell(
        'truncate -s 8M "$image"; mke2fs -q -d "$root" "$image"', root=root, image=scratch / "ext"
    )
    return open_tree(scratch / "ext")


def _remembered(root: Path, _scratch: Path) -> Tree:
    return remembered(DirectoryTree(root))


VIEWS: Mapping[str, Callable[[Path, Path], Tree]] = {
    "directory": _as_directory,
    "tar archive": _as_archive,
    "file system": _as_filesystem,
    "remembered": _remembered,
}
LINKS = {
    "an absolute link": "/usr/lib/sysimage/dpkg",
    "a relative link": "../../usr/lib/sysimage/dpkg",
    "a link that wants to leave the tree": "../../../../../usr/lib/sysimage/dpkg",
    "a link through links": "/sysimage/dpkg",
}


@pytest.mark.needs("mke2fs")
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("link", LINKS)
def test_a_database_behind_a_link(view: str, link: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    kept = database(Deb("bash", files=["/bin/bash"]), Deb("tool", automatic=True))
    moved = {path.replace("/var/lib/dpkg", "/usr/lib/sysimage/dpkg"): kept[path] for path in kept}
    write(root, {**moved, "/bin/bash": b"", "/usr/etc/passwd": b"me:x:4711:1::/:\n"})
    (root / "etc").mkdir()
    (root / "etc/passwd").symlink_to("../usr/etc/passwd")
    (root / "var/lib/dpkg").symlink_to(LINKS[link])
    (root / "sysimage").symlink_to("usr/lib/sysimage")
    os.chown(root / "bin/bash", 4711, 1)
    with VIEWS[view](root, tmp_path) as tree:
        assert packages(tree)["name"].tolist() == ["bash", "tool"]
        table = files(tree).set_index("path")
        assert table.loc["/bin/bash", "package"] == "bash"
        assert table.loc["/bin/bash", "owner"] == "me"
        reasons = unowned(tree).set_index("path")["reason"]
        assert reasons["/usr/lib/sysimage/dpkg/status"] == "database of dpkg"
        kinds = group_keys(tree, files(tree), "type")
        assert kinds[table.index.get_loc("/usr/lib/sysimage/dpkg/status")] == "package database"
    assert [package.name for package in installed(root)] == ["bash", "tool"]


def test_reading_a_linked_database_takes_one_request() -> None:
    class Counted(MemoryTree):
        requests = 0

        def read_many(self, paths: object) -> Mapping[str, bytes]:
            type(self).requests += 1
            return super().read_many(paths)  # type: ignore[arg-type]

    kept = database(Deb("bash", files=["/bin/bash"]))
    moved = {path.replace("/var/lib/dpkg", "/db"): kept[path] for path in kept}
    tree = Counted({**moved, "/var/lib/dpkg": "/db", "/bin/bash": b""})
    assert set(files(tree)["package"]) == {"", "bash"}
    assert Counted.requests == 1


@pytest.mark.parametrize("view", VIEWS)
def test_a_separate_file_for_each_package(view: str, tmp_path: Path) -> None:
    """As in distroless images, whose layers leave dangling links, also beside ``status``."""
    root = tmp_path / "root"
    sums = f"{'0' * 32}  usr/share/zoneinfo/UTC\n"
    write(
        root,
        {
            f"/{ADMIN}/status": record("apt").encode(),
            f"/{ADMIN}/status.d/apt": record("apt").replace("Version: 1", "Version: 0").encode(),
            f"/{ADMIN}/status.d/tzdata": b"Package: tzdata\nVersion: 2\nArchitecture: all",
            f"/{ADMIN}/status.d/tzdata.md5sums": sums.encode(),
            "/elsewhere": b"Package: linked\nVersion: 3\nArchitecture: all\n",
            "/usr/share/zoneinfo/UTC": b"",
            f"/{ADMIN}/status.d/folder/file": b"",
        },
    )
    (root / ADMIN / "status.d/gone").symlink_to("/nowhere")
    (root / ADMIN / "status.d/gone.md5sums").symlink_to("/nowhere")
    (root / ADMIN / "status.d/circle").symlink_to("circle")
    (root / ADMIN / "status.d/linked").symlink_to("/elsewhere")
    with VIEWS[view](root, tmp_path) as tree:
        table = packages(tree)
        assert dict(zip(table["name"], table["version"], strict=True)) == {
            "apt": "1",
            "linked": "3",
            "tzdata": "2",
        }
        found = files(tree).set_index("path")
        assert found.loc["/usr/share/zoneinfo/UTC", "package"] == "tzdata"


def test_a_state_is_a_column() -> None:
    status = f"{record('udeb', 'install ok unpacked')}\n{record('deb')}"
    table = packages(MemoryTree({"/var/lib/dpkg/status": status.encode()}))
    assert dict(zip(table["name"], table["state"], strict=True)) == {
        "deb": "installed",
        "udeb": "unpacked",
    }
