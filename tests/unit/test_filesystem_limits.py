"""What a format cannot hold is refused by name, and what it can hold is kept."""

from __future__ import annotations

import filecmp
import os
import re
import socket
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_filesystem import colliding_names, make
from odd_tree import EPOCH, run_action

from kiwinb.checkpoints.treescan import Entry, scan
from kiwinb.errors import ImageError
from kiwinb.images.cpio import PackCpio
from kiwinb.images.tbz import PackTarball
from kiwinb.sandbox.devices import make_stand_in
from kiwinb.storage.filesystem.content import Content, Flag
from kiwinb.storage.filesystem.ext_directory import Form, Name, directory_blocks
from kiwinb.storage.filesystem.limits import EVERYTHING, Limits, check

FILE = Entry(b"a/file", "file", 0o644, 0, 0)
ROOT = Entry(b".", "directory", 0o755, 0, 0)
HELD = Limits("Paper", kinds=EVERYTHING - {"socket"}, flags=False, times=(0, 1 << 32))


def check_entries(limits: Limits, *entries: Entry, modified: int = 0, flags: int = 0) -> None:
    content = Content(Path("/nowhere"), (), 1 << 40)
    content.__dict__["entries"] = (ROOT, *entries)
    content.__dict__["_facts"] = {
        entry.path: _Facts(0, 0) if entry is ROOT else _Facts(modified * 10**9, flags)
        for entry in content.entries
    }
    check(content, limits)


class _Facts:
    def __init__(self, modified_ns: int, flags: int) -> None:
        self.modified_ns, self.flags, self.sparse = modified_ns, flags, False


@pytest.mark.parametrize(
    ("limits", "entry", "options", "message"),
    [
        ({}, replace(FILE, kind="socket"), {}, "it is a socket"),
        ({"path": 5}, FILE, {}, "its path has 6 bytes, and 5 are the most"),
        ({"names": 3}, FILE, {}, "its name has 4 bytes, and 3 are the most"),
        (
            {"target": 3},
            replace(FILE, kind="symlink", target=b"four"),
            {},
            "it is a symbolic link to a path of 4 bytes, and 3 are the most",
        ),
        ({"size": 9}, replace(FILE, size=10), {}, "it has 10 bytes, and 9 are the most"),
        (
            {"minor": 7},
            replace(FILE, kind="char", device=(4095, 8)),
            {},
            "its device numbers are 4095:8, and 4095:7 are the largest",
        ),
        ({"owner": 9}, replace(FILE, gid=10), {}, "its owner is 0:10, and 9 is the largest number"),
        (
            {"owners": 2},
            replace(FILE, uid=5, gid=6),
            {},
            "it belongs to one more owner or group than 2, the most",
        ),
        (
            {"attributes": ("user.",)},
            replace(FILE, xattrs=(("system.x", b""),)),
            {},
            "it has the extended attribute system.x",
        ),
        ({}, FILE, {"flags": Flag.IMMUTABLE}, r"it is immutable (chattr +i)"),
        ({}, FILE, {"flags": Flag.APPEND | Flag.NODUMP}, "it is append-only (chattr +a)"),
        (
            {},
            FILE,
            {"modified": -1},
            "its time is 1969-12-31 23:59:59, and 1970-01-01 00:00:00 is the earliest",
        ),
        (
            {"times": (0, 9)},
            FILE,
            {"modified": 10},
            "its time is 1970-01-01 00:00:10, and 1970-01-01 00:00:09 is the latest",
        ),
    ],
)
def test_what_is_beyond_a_limit_is_named(
    limits: dict[str, Any], entry: Entry, options: dict[str, int], message: str
) -> None:
    text = re.escape(f"Paper cannot hold a/file: {message}\n  Remove it from the root tree")
    with pytest.raises(ImageError, match=text):
        check_entries(replace(HELD, **limits), entry, **options)
    check_entries(Limits("Stone"), entry, **options)


def test_counts_beyond_a_limit() -> None:
    limits = Limits("Paper", links=2, subdirectories=1)
    names = [replace(FILE, path=path, link=b"a") for path in (b"a", b"b", b"c")]
    check_entries(limits, *(replace(name, link=b"a") for name in names[:2]))
    with pytest.raises(ImageError, match="hold a: it has 3 hard links, and 2 are the most"):
        check_entries(limits, *names)
    directories = [replace(ROOT, path=path) for path in (b"a", b"a/b", b"a/c")]
    check_entries(limits, *directories[:2])
    with pytest.raises(ImageError, match="hold a: it has 2 subdirectories, and 1 are the most"):
        check_entries(limits, *directories)


def test_long_paths_are_shortened_in_messages() -> None:
    with pytest.raises(ImageError) as caught:
        check_entries(replace(HELD, path=4095), replace(FILE, path=b"d/" * 4000 + b"end"))
    assert len(str(caught.value)) < 600
    assert "d/end: its path has 8003 bytes" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "numbers", "most"),
    [("xfs", (4095, 1048575), "511:262143"), ("btrfs", (4096, 0), "4095:1048575")],
)
def test_device_numbers(tmp_path: Path, kind: str, numbers: tuple[int, int], most: str) -> None:
    (tmp_path / "tree").mkdir()
    make_stand_in(tmp_path / "tree/node", 0o020600, *numbers)
    with pytest.raises(ImageError, match=f"node: its device numbers are .*, and {most} are"):
        make(tmp_path / "tree", tmp_path / "image", kind)


def test_names_that_collide_in_btrfs(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in colliding_names(57):
        Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).touch()
    make(tree, tmp_path / "image", "btrfs")
    subprocess.run(["btrfs", "check", tmp_path / "image"], check=True, capture_output=True)
    Path(os.fsdecode(os.fsencode(tree) + b"/" + colliding_names(58)[-1])).touch()
    with pytest.raises(ImageError, match="the names of too many files in its directory have the"):
        make(tree, tmp_path / "image", "btrfs")


def test_small_blocks_of_ext4_hold_less(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to("t" * 1024)
    with pytest.raises(ImageError, match="link to a path of 1024 bytes, and 1023 are the most"):
        make(tree, tmp_path / "image", "ext4", options=("-b", "1024"))
    (tree / "link").unlink()
    (tree / "file").touch()
    os.setxattr(tree / "file", "user.long", b"v" * 3000)
    with pytest.raises(ImageError, match="file: its extended attributes have 3009 bytes, which"):
        make(tree, tmp_path / "image", "ext4", options=("-b", "1024"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ext4", ()),
        ("ext4", ("-b", "1024")),
        ("ext4", ("-O", "^metadata_csum")),
        ("ext3", ()),
        ("ext2", ("-O", "^dir_index,^filetype")),
    ],
)
@pytest.mark.proves("file system", "ext2 ext3 ext4")
def test_large_directories_of_ext(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    tree, image = tmp_path / "tree", tmp_path / "image"
    (tree / "many").mkdir(parents=True)
    (tree / "lost+found").mkdir(mode=0o700)
    (tree / "lost+found/kept").write_text("x")
    for number in range(2900):
        (tree / f"many/{number:06}{'n' * 30}").touch()
    make(tree, image, kind, options=options)
    done = subprocess.run(["e2fsck", "-f", "-n", image], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    make(tree, tmp_path / "again", kind, options=options)
    assert filecmp.cmp(image, tmp_path / "again", shallow=False)
    argv: list[str | Path] = ["debugfs", "-R", "htree_dump /many", image]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    levels = re.findall(r"Indirect levels: (\d)", said.stdout)
    indexed = "^dir_index" not in " ".join(options)
    assert levels == ([] if not indexed else ["1" if "1024" in options else "0"])
    argv = ["debugfs", "-R", "cat /many/../lost+found/kept", image]
    assert subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout == b"x"


def test_leaves_of_an_index_go_on_with_the_same_hash() -> None:
    form = Form(1024, False, True, 1, lambda name: (8, 0))
    names = [Name(b"%0100d" % number, 12, 1) for number in range(30)]
    blocks, indexed = directory_blocks(names, 11, 2, form)
    assert indexed
    hashes = [int.from_bytes(blocks[0][40 + 8 * at : 44 + 8 * at], "little") for at in range(3)]
    assert hashes == [9, 9, 9]


def test_paths_that_no_system_call_takes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    at = os.open(tree, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=at)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    descriptor = os.open("far", os.O_CREAT | os.O_WRONLY, dir_fd=at)
    os.write(descriptor, b"far down")
    os.setxattr(descriptor, "user.note", b"n")
    os.close(descriptor)
    os.close(at)
    far = scan(tree)[-1]
    assert (len(far.path), far.size, far.xattrs) == (6033, 8, (("user.note", b"n"),))
    for kind, tool in (("ext4", ["e2fsck", "-f", "-n"]), ("xfs", ["xfs_repair", "-n", "-f"])):
        make(tree, tmp_path / "image", kind)
        subprocess.run([*tool, tmp_path / "image"], check=True, capture_output=True)
    out = run_action(PackTarball("it.tar.xz", EPOCH, ()), tree, tmp_path / "tar")
    with tarfile.open(out / "it.tar.xz") as archive:
        last = archive.getmembers()[-1]
        assert len(last.name) == 6033
        content = archive.extractfile(last)
        assert content is not None and content.read() == b"far down"
    with pytest.raises(ImageError, match=r"A cpio archive cannot hold d.*: its path has"):
        run_action(PackCpio("it.cpio", EPOCH, ()), tree, tmp_path / "cpio")


def test_times_before_1970(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "old").touch()
    os.utime(tree / "old", (-86400.5, -86400.5))
    out = run_action(PackTarball("it.tar.xz", EPOCH, ()), tree, tmp_path / "tar")
    with tarfile.open(out / "it.tar.xz") as archive:
        assert archive.getmember("old").mtime == -86401
    with pytest.raises(ImageError, match="cpio archive cannot hold old: its time is 1969-12-30"):
        run_action(PackCpio("it.cpio", EPOCH, ()), tree, tmp_path / "cpio")


def test_sockets(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(tree, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
    with pytest.raises(ImageError, match="A tar archive cannot hold socket: it is a socket"):
        run_action(PackTarball("it.tar.xz", EPOCH, ()), tree, tmp_path / "tar")
    with pytest.raises(ImageError, match="FAT cannot hold socket: it is a socket"):
        make(tree, tmp_path / "image", "fat16")
    out = run_action(PackCpio("it.cpio", EPOCH, ()), tree, tmp_path / "cpio")
    assert b"socket\0" in (out / "it.cpio").read_bytes()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((b"a:b",), "its name has the character ':'"),
        ((b"ends.",), "its name begins or ends with a space or a dot"),
        ((b"\xff",), "its name is not in UTF-8"),
        ((b"EFI", b"efi"), "only upper and lower case tell its name from EFI"),
        ((b"n" * 250 + b"\xc3\xa9",), None),
    ],
)
def test_names_that_fat_would_change(
    tmp_path: Path, names: tuple[bytes, ...], message: str | None
) -> None:
    (tmp_path / "tree").mkdir()
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/tree/" + name)).touch()
    if message is None:
        make(tmp_path / "tree", tmp_path / "image", "fat16")
        return
    with pytest.raises(ImageError, match=f"FAT cannot hold .*: {re.escape(message)}"):
        make(tmp_path / "tree", tmp_path / "image", "fat16")


def test_an_attribute_that_tar_would_cut(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").touch()
    os.setxattr(tmp_path / "tree/file", b"user.\xff", b"v")
    out = run_action(PackTarball("it.tar.xz", EPOCH, ()), tmp_path / "tree", tmp_path / "one")
    assert (out / "it.tar.xz").exists()
    os.setxattr(tmp_path / "tree/file", "user.a=b", b"v")
    with pytest.raises(ImageError, match=r"attribute user\.a=b has the character ="):
        run_action(PackTarball("it.tar.xz", EPOCH, ()), tmp_path / "tree", tmp_path / "two")
