"""Lists of files: kiwinb reads those of bsdtar, and both read those that kiwinb writes."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import kiwinb
from kiwinb.cli import app
from kiwinb.errors import InspectError
from kiwinb.inspect.files import files
from kiwinb.inspect.mtree import escaped, write

COMPARED = ["path", "type", "size", "mode", "uid", "gid", "mtime", "target"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with names and kinds that are not plain."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/motd").write_text("Welcome\n")
    (root / "etc/shadow").write_text("root:*:\n")
    (root / "etc/shadow").chmod(0o640)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/su").write_bytes(b"\x7fELF")
    (root / "usr/bin/su").chmod(0o4755)
    os.link(root / "usr/bin/su", root / "usr/bin/again")
    (root / "bin").symlink_to("usr/bin")
    (root / "odd").mkdir()
    for name in ("two words", "ümlaut", "back\\slash", "#hash", "tab\there", "new\nline", "a=b"):
        (root / "odd" / name).write_text(name)
    (root / "odd/to nowhere").symlink_to("no such\\040place")
    (root / os.fsdecode(b"odd/\xff\xfe")).write_text("bytes")
    os.mkfifo(root / "odd/pipe")
    (root / "empty").touch()
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (1700000000, 1700000000), follow_symlinks=False)
    os.utime(root, (1700000000, 1700000000))
    return root


def scanned(path: Path) -> pd.DataFrame:
    with kiwinb.open_tree(path) as tree:
        return tree.scan()


@pytest.mark.parametrize("name", ["files.mtree", "files.mtree.gz"])
def test_round_trip(root: Path, tmp_path: Path, name: str) -> None:
    file = write(root, tmp_path / name)
    before, after = scanned(root), scanned(file)
    pd.testing.assert_frame_equal(before[COMPARED], after[COMPARED])
    linked = after[after["path"].isin(["/usr/bin/su", "/usr/bin/again"])]
    assert linked["inode"].nunique() == 1 and set(linked["links"]) == {2}
    others = after[~after["path"].isin(linked["path"])]
    assert others["inode"].is_unique


def test_written_the_same_each_time(root: Path, tmp_path: Path) -> None:
    one = write(root, tmp_path / "one.mtree.gz").read_bytes()
    assert one == write(root, tmp_path / "two.mtree.gz").read_bytes()
    text = gzip.decompress(one)
    assert text.isascii() and text.startswith(b"#mtree\n")
    again = write(tmp_path / "one.mtree.gz", tmp_path / "three.mtree")
    assert again.read_bytes() == text


def test_digests_and_contents(root: Path, tmp_path: Path) -> None:
    with kiwinb.open_tree(write(root, tmp_path / "list")) as tree:
        digest = tree.digests(["/etc/motd"])["/etc/motd"]
        assert digest == hashlib.sha256(b"Welcome\n").hexdigest()
        with pytest.raises(InspectError, match="does not have the content of files") as error:
            tree.read("/etc/motd")
        assert error.value.remedy
        assert tree.exists("/odd/two words") and not tree.exists("/odd/three")


def test_difference_of_lists(root: Path, tmp_path: Path) -> None:
    before = write(root, tmp_path / "before.mtree.gz")
    (root / "etc/motd").write_text("welcomE\n")
    (root / "etc/shadow").chmod(0o600)
    (root / "empty").unlink()
    (root / "new").write_bytes(bytes(5000))
    (root / "bin").unlink()
    (root / "bin").symlink_to("usr/sbin")
    lists = kiwinb.diff(before, write(root, tmp_path / "after.mtree.gz"))
    found = {row.path: (row.change, row.what) for row in lists.files.itertuples()}
    assert found == {
        "/bin": ("changed", "target"),
        "/empty": ("removed", ""),
        "/etc/motd": ("changed", "content"),
        "/etc/shadow": ("changed", "mode"),
        "/new": ("added", ""),
    }
    assert lists.packages.empty
    with_tree = kiwinb.diff(before, root)  # the last release's list and this one's tree
    pd.testing.assert_frame_equal(with_tree.files, lists.files)


def test_a_list_of_a_debian_tree_has_no_package_database(tmp_path: Path) -> None:
    status = tmp_path / "root/var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("Package: base-files\nStatus: install ok installed\nVersion: 1\n")
    with kiwinb.open_tree(write(tmp_path / "root", tmp_path / "list")) as tree:
        table = files(tree)
    assert set(table["package"]) == {""}
    found = kiwinb.diff(tmp_path / "list", tmp_path / "root")
    assert found.packages.empty and not found
    assert "packages: not compared" in found.summary()
    assert set(table["owner"]) == {f"{os.getuid()}"}


@pytest.mark.needs("bsdtar")
def test_list_of_bsdtar(root: Path, tmp_path: Path) -> None:
    """Both all keywords and the default ones, which have no digests."""
    for options, has_digests in (("mtree:all", True), ("mtree:!all,type,size,mode", False)):
        file = tmp_path / "bsdtar.mtree"
        argv: list[str | Path] = [
            "bsdtar",
            "-cf",
            file,
            "--format=mtree",
            f"--options={options}",
            "-C",
            root,
            ".",
        ]
        subprocess.run(argv, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        found, expected = scanned(file), scanned(root)
        columns = COMPARED if has_digests else ["path", "type", "size", "mode"]
        pd.testing.assert_frame_equal(found[columns], expected[columns])
        with kiwinb.open_tree(file) as tree, kiwinb.open_tree(root) as real:
            paths = expected.loc[expected["type"].eq("file"), "path"].tolist()
            if has_digests:
                assert tree.digests(paths) == real.digests(paths)
                linked = found[found["path"].isin(["/usr/bin/su", "/usr/bin/again"])]
                assert linked["inode"].nunique() == 1
                assert not kiwinb.diff(file, root)
            else:
                with pytest.raises(InspectError, match="no SHA-256 of /empty"):
                    tree.digests(paths)


@pytest.mark.needs("bsdtar")
def test_bsdtar_reads_it(root: Path, tmp_path: Path) -> None:
    file = write(root, tmp_path / "files.mtree")
    listed = subprocess.run(["bsdtar", "-tf", file], capture_output=True, check=True).stdout
    expected = len(scanned(root))
    assert len(listed.splitlines()) == expected
    told = subprocess.run(
        ["bsdtar", "-tvf", file, "./etc/shadow"], capture_output=True, text=True, check=True
    ).stdout
    assert told.startswith("-rw-r-----") and " 8 " in told


def checked(file: Path, root: Path) -> tuple[int, str]:
    """Exit status and output of mtree(8), which holds a directory against a list."""
    done = subprocess.run(["mtree", "-f", file, "-p", root], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.needs("mtree")
def test_mtree_accepts_it(root: Path, tmp_path: Path) -> None:
    """Every keyword, every kind of file and every name: it finds no difference."""
    if os.geteuid() == 0:
        os.mknod(root / "odd/null", 0o020666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(root / "odd/socket"))
    (root / "odd/socket").chmod(0o755)
    for path in (root / "odd/null", root / "odd/socket", root / "odd"):
        if path.exists():
            os.utime(path, (1700000000, 1700000000))
    for byte in set(range(1, 256)) - {ord("/")}:
        path = root / f"byte {byte}" / os.fsdecode(b"n%cz" % byte)
        path.parent.mkdir()  # of its own, as mtree takes * ? [ for patterns even in its own lists
        path.touch()
        os.utime(path, (1700000000, 1700000000))
        os.utime(path.parent, (1700000000, 1700000000))
    os.utime(root, (1700000000, 1700000000))
    os.utime(root / "odd", (1700000000, 1700000000))
    file = write(root, tmp_path / "files.mtree")
    assert checked(file, root) == (0, "")
    with kiwinb.open_tree(file) as tree, kiwinb.open_tree(root) as known:
        pd.testing.assert_frame_equal(tree.scan()[COMPARED], known.scan()[COMPARED])


@pytest.mark.needs("mtree")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ln -sfn usr/sbin bin", "link ref"),
        ("chmod 600 etc/shadow", "permissions"),
        ("printf 'welcomE\\n' > etc/motd", "sha256"),
        ("printf more >> etc/motd", "size"),
        ("ln empty another", "extra: another"),
        ("rm odd/pipe", "missing: ./odd/pipe"),
        ("rm usr/bin/again", "link count"),
    ],
)
def test_mtree_tells_what_changed(root: Path, tmp_path: Path, change: str, said: str) -> None:
    file = write(root, tmp_path / "files.mtree")
    subprocess.run(change, shell=True, cwd=root, check=True)
    status, text = checked(file, root)
    assert status == 2 and said in text


@pytest.mark.needs("mtree")
def test_list_of_mtree(root: Path, tmp_path: Path) -> None:
    for byte in set(range(1, 256)) - {ord("/")}:  # all that it escapes, each in its own way
        (root / "odd" / os.fsdecode(b"n%cz" % byte)).touch()
    for path in (root / "odd").iterdir():
        os.utime(path, (1700000000, 1700000000), follow_symlinks=False)
    argv: list[str | Path] = ["mtree", "-c", "-k", "all", "-K", "uid,gid", "-p", root]
    (tmp_path / "list").write_bytes(subprocess.run(argv, capture_output=True, check=True).stdout)
    pd.testing.assert_frame_equal(scanned(tmp_path / "list")[COMPARED], scanned(root)[COMPARED])
    with kiwinb.open_tree(tmp_path / "list") as tree:
        digest = tree.digests(["/etc/motd"])["/etc/motd"]
    assert digest == hashlib.sha256(b"Welcome\n").hexdigest()


def test_names_within_directories(tmp_path: Path) -> None:
    """The form that FreeBSD's mtree writes, in words of our own."""
    file = tmp_path / "list"
    file.write_text(
        "#\t   user: somebody\n"
        "\n"
        "# .\n"
        "/set type=file uid=0 gid=0 mode=0644 nlink=1\n"
        ".               type=dir mode=0755 time=1700000000.5\n"
        "    etc         type=dir mode=0755 \\\n"
        "                time=1700000001.000000000\n"
        "        two\\040words size=3 mode=0600\n"
        "        tab\\there size=4 optional\n"
        "    # etc\n"
        "    ..\n"
        "/unset uid\n"
        "    link        type=link link=etc/two\\040words\n"
        "    disk        type=block device=native,8,1 uid=0 gid=6 mode=0660\n"
        "..\n"
    )
    table = scanned(file).set_index("path")
    assert list(table.index) == [
        *("/", "/disk", "/etc", "/etc/tab\there", "/etc/two words", "/link")
    ]
    assert table.loc["/", "mtime"] == 1700000000
    assert table.loc["/etc", "mtime"] == 1700000001
    assert table.loc["/etc/two words", "mode"] == 0o600
    assert table.loc["/etc/two words", "size"] == 3
    assert table.loc["/etc/two words", "allocated"] == 4096
    assert table.loc["/link", "target"] == "etc/two words"
    assert table.loc["/disk", "type"] == "block"
    assert table.loc["/disk", "gid"] == 6


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("./a type=cable", "there is no type 'cable'"),
        ("./a type=file mode=rw-r--r--", "mode=rw-r--r-- is no number"),
        ("./a type=file size=much", "size=much is no number"),
        ("./a type=file sha256=abc", "'abc' is no SHA-256"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "list"
    file.write_text(f"#mtree\n\n{line}\n")
    with kiwinb.open_tree(file) as tree, pytest.raises(InspectError) as error:
        tree.scan()
    assert f"line 3: {problem}" in str(error.value)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("two words", r"two\040words"), ("ü", r"\303\274"), ("a#b\\c=d", r"a\043b\134c\075d")],
)
def test_escapes(name: str, text: str) -> None:
    assert escaped(name) == text


def test_command(root: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    file = tmp_path / "files.mtree.gz"
    done = runner.invoke(app, ["inspect", "mtree", str(root), "-o", str(file)])
    assert done.exit_code == 0, done.output
    shown = runner.invoke(app, ["inspect", "mtree", str(root)]).stdout
    assert shown == gzip.decompress(file.read_bytes()).decode()
    (root / "etc/motd").unlink()
    told = runner.invoke(app, ["inspect", "diff", "--files", str(file), str(root)])
    assert "/etc/motd" in told.stdout and "removed" in told.stdout
    nowhere = runner.invoke(app, ["inspect", "mtree", str(root), "-o", str(tmp_path / "no/file")])
    assert nowhere.exit_code != 0 and "cannot be written" in f"{nowhere.output}{nowhere.exception}"


def test_a_list_that_was_cut_off_is_refused(root: Path, tmp_path: Path) -> None:
    """At each byte: there is no smaller tree in it."""
    whole = write(root, tmp_path / "whole").read_bytes()
    file = tmp_path / "cut"
    first = whole.index(b"\n", len("#mtree\n")) + 1  # behind the number of paths
    for end in range(first, len(whole), 7):
        file.write_bytes(whole[:end])
        with pytest.raises(InspectError, match="but is damaged: "):
            scanned(file)
    assert whole.count(b"\n") - 3 == len(scanned(tmp_path / "whole"))


@pytest.mark.needs("mtree")
def test_a_list_of_mtree_that_was_cut_off_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "odd")
    done = subprocess.run(["mtree", "-c", "-p", root], stdout=subprocess.PIPE, check=True)
    lines = done.stdout.splitlines(keepends=True)
    file = tmp_path / "cut"
    file.write_bytes(done.stdout)
    assert "/usr/bin/su" in set(scanned(file)["path"])
    inside = [at for at, line in enumerate(lines) if line.strip().startswith(b"su")]
    for end in (inside[0], inside[0] + 1):
        file.write_bytes(b"".join(lines[:end]))
        with pytest.raises(InspectError, match=r"in the directory (\./)?usr/bin"):
            scanned(file)
