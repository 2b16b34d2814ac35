"""The local database of pacman, held against what pacman says of it."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from inspect_trees import MemoryTree, write

from kiwinb.errors import InspectError
from kiwinb.inspect.files import files
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.packages import packages
from kiwinb.inspect.unowned import unowned
from kiwinb.inspect.verify import verify
from kiwinb.packages.databases import read_database
from kiwinb.packages.databases.database import Package
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.pacman import Pacman

LOCAL = "/var/lib/pacman/local"
NEEDS = [pytest.mark.needs("pacman"), pytest.mark.needs("bsdtar"), pytest.mark.needs("unshare")]


def run(*words: str | Path, cwd: Path | None = None, check: bool = True) -> str:
    done = subprocess.run(
        [*map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def package(top: Path, info: str, content: Mapping[str, str]) -> Path:
    """Make a package as makepkg does."""
    name = re.findall("pkgname = (.*)", info)[0]
    staged = top / name
    write(staged, {path: text.encode() for path, text in content.items()})
    if name == "app":
        (staged / "usr/bin/app").chmod(0o4755)
        (staged / "usr/bin/application").symlink_to("app")
    (staged / ".PKGINFO").write_text(info)
    words = "!all,use-set,type,uid,gid,mode,time,size,md5,sha256,link"
    names = sorted(item.name for item in staged.iterdir())
    form = ("--format=mtree", f"--options={words}", "--uid=0", "--gid=0")
    run("bsdtar", "-czf", ".MTREE", *form, *names, cwd=staged)
    file = top / f"{name}.pkg.tar.gz"
    run("bsdtar", "-czf", file, "--uid=0", "--gid=0", ".MTREE", *names, cwd=staged)
    return file


def pacman(root: Path, *words: str | Path, check: bool = True) -> str:
    config = root.parent / "pacman.conf"
    config.write_text("[options]\nArchitecture = auto\nSigLevel = Never\n")
    options: tuple[str | Path, ...] = (
        "--root",
        root,
        "--config",
        config,
        "--noconfirm",
        "--dbpath",
        root / LOCAL[1:-6],
    )
    places = ("--cachedir", root.parent, "--gpgdir", root.parent, "--logfile", root.parent / "log")
    return run("unshare", "--map-root-user", "pacman", *options, *places, *words, check=check)


def complaints(tree: Path, root: Path, *words: str) -> str:
    """What pacman prints of a copy of a tree."""
    places = ("--root", root, "--dbpath", root / LOCAL[1:-6])
    command: tuple[str | Path, ...] = ("pacman", *places, "--config", tree.parent / "pacman.conf")
    script = ("sh", "-c", 'exec "$@" 2>&1', "-", "unshare", "--map-root-user")
    return run(*script, *command, *words, check=False)


APP = """pkgname = app
pkgbase = app-source
pkgver = 2:1.2-3
pkgdesc = An application
url = https://example.org
builddate = 1700000000
packager = Me <me@example.org>
size = 4711
arch = any
license = MIT
license = BSD
group = tools
backup = etc/app.conf
depend = lib>=1.0
depend = virtual
optdepend = doc: to read
provides = application=7
"""
LIB = """pkgname = lib
pkgver = 1.2-1
pkgdesc = A library
size = 20
arch = any
license = Zlib
provides = virtual
"""
ALONE = "pkgname = alone\npkgver = 1-1\npkgdesc = More\nsize = 0\narch = any\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("pacman")
    root = top / "root"
    (root / LOCAL[1:]).mkdir(parents=True)
    script = "post_install() {\n  echo x > /etc/made-by-app\n}\n"
    made = [
        package(
            top,
            APP,
            {"/etc/app.conf": "config\n", "/usr/bin/app": "#!/bin/sh\n", "/.INSTALL": script},
        ),
        package(top, LIB, {"/usr/lib/lib data": "data\n", "/usr/lib/ünï": "x\n"}),
        package(top, ALONE, {"/srv/alone": ""}),
    ]
    pacman(root, "-U", "--noscriptlet", *made)
    pacman(root, "-D", "--asdeps", "lib", "alone")
    return root


def read(root: Path) -> tuple[Package, ...]:
    found = read_database(DirectoryFiles(root))
    assert found is not None and found[0].name == "pacman"
    return found[1]


class TestAsPacmanReadsIt:
    pytestmark = NEEDS

    def test_versions(self, tree: Path) -> None:
        said = pacman(tree, "-Q").splitlines()
        assert said == [f"{p.name} {p.version}" for p in read(tree)]
        assert len(said) == 3

    @pytest.mark.parametrize("lost", ["%NAME%\nlib\n\n", "%VERSION%\n1.2-1\n\n"])
    def test_what_only_the_name_of_the_directory_says(
        self, lost: str, tree: Path, tmp_path: Path
    ) -> None:
        root = tmp_path / "root"
        shutil.copytree(tree, root, symlinks=True)
        desc = root / LOCAL[1:] / "lib-1.2-1" / "desc"
        assert lost in desc.read_text()
        desc.write_text(desc.read_text().replace(lost, ""))
        said = complaints(tree, root, "-Q").splitlines()
        assert said == [f"{p.name} {p.version}" for p in read(root)]
        assert "lib 1.2-1" in said

    def test_facts(self, tree: Path) -> None:
        said = pacman(tree, "-Qi", "app")
        values = dict(re.findall(r"^(\S[^:]*?) *: (.*)$", said, re.M))
        (app,) = (p for p in read(tree) if p.name == "app")
        assert (app.arch, app.license) == (
            values["Architecture"],
            " ".join(values["Licenses"].split()),
        )
        assert (app.summary, app.vendor) == (values["Description"], values["Packager"])
        assert app.installed_size == 4711
        assert app.section == values["Groups"]
        assert (app.source, app.source_version) == ("app-source", "2:1.2-3")
        depends = [f"{r.name}{r.operator}{r.version}" for group in app.depends for r in group]
        assert depends == values["Depends On"].split()
        provides = [f"{name}={version}" for name, version in app.provides]
        assert provides == values["Provides"].split()

    def test_why(self, tree: Path) -> None:
        found = read(tree)
        asked, others = pacman(tree, "-Qqe").split(), pacman(tree, "-Qqd").split()
        assert [p.name for p in found if p.automatic is False] == asked == ["app"]
        assert [p.name for p in found if p.automatic] == others
        table = packages(DirectoryTree(tree)).set_index("name")
        assert table.loc["lib", "required_by"] == ("app",)
        assert table.loc["lib", "why"] == "dependency of app"
        assert table.loc["app", "why"] == "installed by name"
        assert "nothing here needs it" in str(table.loc["alone", "why"])

    def test_owners(self, tree: Path) -> None:
        files_of = DirectoryFiles(tree)
        ours = dict(Pacman().owned(files_of, read(tree)))
        for label, paths in ours.items():
            said = pacman(tree, "-Qlq", label).splitlines()
            assert paths == [line.removeprefix(str(tree)).rstrip("/") for line in said]
        table = files(DirectoryTree(tree)).set_index("path")["package"]
        for path in ("/usr/bin/application", "/usr/lib/lib data", "/usr/lib/ünï"):
            assert pacman(tree, "-Qoq", tree / path[1:]).strip() == table[path]

    def test_verify(self, tree: Path, tmp_path: Path) -> None:
        root = tmp_path / "root"
        shutil.copytree(tree, root, symlinks=True)
        assert verify(DirectoryTree(root)).empty
        (root / "etc/app.conf").write_text("edited\n")
        (root / "usr/bin/app").chmod(0o755)
        (root / "usr/bin/application").unlink()
        (root / "usr/bin/application").symlink_to("other")
        (root / "usr/lib/lib data").write_text("atad\n")
        (root / "usr/lib/ünï").unlink()
        ours = verify(DirectoryTree(root))
        assert dict(zip(ours["path"], ours["what"], strict=True)) == {
            "/etc/app.conf": "content",
            "/usr/bin/app": "mode",
            "/usr/bin/application": "target",
            "/usr/lib/lib data": "content",
            "/usr/lib/ünï": "missing",
        }
        assert ours.loc[ours["config"], "path"].tolist() == ["/etc/app.conf"]
        said = complaints(tree, root, "-Qkk")
        named = set(re.findall(rf"{root}(/.*?)(?: \(|$)", said, re.M))
        assert set(ours["path"]) <= named

    def test_scripts_explain_files(self, tree: Path, tmp_path: Path) -> None:
        shutil.copytree(tree, tmp_path / "root", symlinks=True)
        write(tmp_path / "root", {"/etc/made-by-app": b"", "/etc/by-hand": b""})
        reasons = unowned(DirectoryTree(tmp_path / "root")).set_index("path")["reason"]
        assert reasons["/etc/made-by-app"] == "named in the install script of app"
        assert reasons["/etc/by-hand"] == ""
        assert reasons[f"{LOCAL}/app-2:1.2-3/desc"] == "database of pacman"

    @pytest.mark.parametrize("damage", ["no desc", "another name", "another version"])
    def test_damage_that_pacman_sees(self, damage: str, tree: Path, tmp_path: Path) -> None:
        root = tmp_path / "root"
        shutil.copytree(tree, root, symlinks=True)
        desc = root / LOCAL[1:] / "lib-1.2-1" / "desc"
        text = desc.read_text()
        changed = {
            "no desc": None,
            "another name": text.replace("%NAME%\nlib", "%NAME%\nbil"),
            "another version": text.replace("1.2-1", "1.3-1"),
        }[damage]
        desc.unlink()
        if changed is not None:
            desc.write_text(changed)
        assert re.search("error|warning", complaints(tree, root, "-Qi"))
        with pytest.raises(InspectError, match=rf"{LOCAL}/lib-1\.2-1/desc"):
            packages(DirectoryTree(root))


DESC = "%NAME%\na\n\n%VERSION%\n1-1\n\n%ARCH%\nany\n\n"


def kept(**more: bytes) -> dict[str, bytes]:
    files = {"ALPM_DB_VERSION": b"9\n", "a-1-1/desc": DESC.encode(), "a-1-1/files": b""}
    return {f"{LOCAL}/{path}": content for path, content in {**files, **more}.items()}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"ALPM_DB_VERSION": b"10\n"}, "ALPM_DB_VERSION: the version '10' is unknown"),
        ({"a-1-1/desc": b"%NAME%\na\n\nx\n"}, "desc:4: not a section: 'x'"),
        ({"a-1/desc": DESC.encode()}, "a-1: not a package"),
        ({"a-2-1/desc": DESC.replace("1-1", "2-1").encode()}, "in several versions"),
    ],
)
def test_damage_names_its_place(more: dict[str, bytes], problem: str) -> None:
    with pytest.raises(InspectError, match=problem):
        packages(MemoryTree(kept(**more)))


def test_a_package_cannot_lead_out_of_the_tree() -> None:
    tree = MemoryTree({f"{LOCAL}/x-1-1/desc": b"%NAME%\n../../..\n\n%VERSION%\n1\n"})
    with pytest.raises(InspectError, match="it describes"):
        packages(tree)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gzip.compress(b"#mtree\n./a type=file size=x\n", mtime=0), "mtree:2: not a number"),
        (gzip.compress(b"#mtree\n", mtime=0)[:-4], "cut off"),
        (b"\x1f\x8bnonsense", "cannot be unpacked"),
        (gzip.compress(bytes(1 << 27)), "too large"),
        (b"#mtree\njunk\n", "mtree:2: not a path"),
    ],
)
def test_damaged_lists_of_files(content: bytes, problem: str) -> None:
    with pytest.raises(InspectError, match=problem):
        verify(MemoryTree(kept(**{"a-1-1/mtree": content})))
