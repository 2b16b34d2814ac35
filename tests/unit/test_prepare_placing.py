"""Overlays and archives come into the tree as they are, and never get out of it."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kiwinb.description.model import Archive
from kiwinb.errors import DescriptionError
from kiwinb.prepare.lay_over import lay_archive, lay_directory
from kiwinb.prepare.overlay import ImportOverlay, UnpackArchives
from kiwinb.steps.keys import Source
from kiwinb.steps.step import HostPaths, StepContext

as_root = pytest.mark.account("root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / "etc").mkdir(parents=True)
    return path


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "victim").write_text("untouched")
    return path


def _untouched(outside: Path) -> bool:
    names = [path.name for path in outside.iterdir()]
    return names == ["victim"] and (outside / "victim").read_text() == "untouched"


def _archive(path: Path, *members: tarfile.TarInfo, content: bytes = b"new") -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, 0o644
    member.uid, member.gid = os.getuid(), os.getgid()
    return member


def test_modes_times_links_and_attributes_are_kept(root: Path, overlay: Path) -> None:
    tool = overlay / "usr/bin/tool"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o4755)
    os.utime(tool, (1e9, 1e9))
    os.link(tool, tool.with_name("again"))
    (overlay / "etc").mkdir()
    (overlay / "etc/link").symlink_to("../nowhere")
    os.mkfifo(overlay / "etc/pipe")
    os.setxattr(tool, "user.note", b"\xff\0kept")
    lay_directory(root, overlay)
    placed = (root / "usr/bin/tool").stat()
    assert stat.S_IMODE(placed.st_mode) == 0o4755
    assert placed.st_mtime == 1e9
    assert (root / "usr/bin/again").stat().st_ino == placed.st_ino
    assert str((root / "etc/link").readlink()) == "../nowhere"
    assert (root / "etc/pipe").is_fifo()
    assert os.getxattr(root / "usr/bin/tool", "user.note") == b"\xff\0kept"


@as_root
def test_a_directory_belongs_to_root_and_an_archive_keeps_owners(
    root: Path, overlay: Path, tmp_path: Path
) -> None:
    file = overlay / "owned"
    file.write_text("x")
    os.chown(file, 1234, 5678)
    os.mknod(overlay / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    lay_directory(root, overlay)
    assert ((root / "owned").stat().st_uid, (root / "owned").stat().st_gid) == (0, 0)
    node = (root / "null").stat()
    assert (stat.S_ISCHR(node.st_mode), node.st_rdev) == (True, os.makedev(1, 3))

    subprocess.run(["tar", "-cf", tmp_path / "root.tar", "-C", overlay, "."], check=True)
    lay_archive(root, tmp_path / "root.tar")
    assert ((root / "owned").stat().st_uid, (root / "owned").stat().st_gid) == (1234, 5678)


@pytest.mark.parametrize("option", ["--gzip", "--bzip2", "--xz", "--zstd"])
def test_archives_of_each_compression(root: Path, overlay: Path, option: str) -> None:
    (overlay / "file").write_text("packed")
    archive = overlay.parent / "root.tar.z"
    subprocess.run(["tar", option, "-cf", archive, "-C", overlay, "."], check=True)
    lay_archive(root, archive, "/srv")
    assert (root / "srv/file").read_text() == "packed"


def test_a_directory_that_is_there_keeps_its_mode(root: Path, overlay: Path) -> None:
    (root / "etc").chmod(0o711)
    (overlay / "etc").mkdir(mode=0o755)
    (overlay / "etc/file").write_text("x")
    lay_directory(root, overlay)
    assert stat.S_IMODE((root / "etc").stat().st_mode) == 0o711


def _pack(overlay: Path, *members: str) -> Path:
    """Pack a directory as an ordinary user with umask 077 does."""
    archive = overlay.parent / "root.tar.gz"
    for path in (overlay, *overlay.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    owner = ("--owner=1000", "--group=1000", "--numeric-owner")
    argv = ["tar", "-czf", str(archive), *owner, "--no-recursion", "-C", str(overlay), *members]
    subprocess.run(argv, check=True)
    return archive


def _lay_directory(root: Path, overlay: Path) -> None:
    _pack(overlay, ".")
    ImportOverlay((Source("", overlay),)).run(_context(root))


def _lay_tarball(root: Path, overlay: Path) -> None:
    packed = _pack(overlay, ".", "./etc", "./etc/app", "./etc/app/file")
    ImportOverlay((Source("", packed),)).run(_context(root))


def _lay_tarball_backwards(root: Path, overlay: Path) -> None:
    packed = _pack(overlay, "etc/app/file", "etc/app", "etc", ".", "./etc")
    ImportOverlay((Source("", packed),)).run(_context(root))


def _unpack_archive(root: Path, overlay: Path) -> None:
    packed = _pack(overlay, ".", "./etc", "./etc/app", "./etc/app/file")
    UnpackArchives(((Archive("root.tar.gz"), Source("", packed)),)).run(_context(root))


def _unpack_archive_in_a_directory(root: Path, overlay: Path) -> None:
    packed = _pack(overlay / "etc", ".", "./app", "./app/file")
    archive = Archive("root.tar.gz", target_dir="/etc")
    UnpackArchives(((archive, Source("", packed)),)).run(_context(root))


def _context(root: Path) -> StepContext:
    return StepContext(
        root=root,
        out=None,
        inputs={},
        host=HostPaths(root.parent / "cache"),
        log=lambda line: None,
        progress=lambda fraction: None,
        rootless=False,
    )


@as_root
@pytest.mark.parametrize(
    ("lay", "owner"),
    [
        (_lay_directory, 0),
        (_lay_tarball, 1000),
        (_lay_tarball_backwards, 1000),
        (_unpack_archive, 1000),
        (_unpack_archive_in_a_directory, 1000),
    ],
)
def test_directories_of_the_tree_keep_owner_mode_attributes_and_time(
    root: Path, overlay: Path, lay: Callable[[Path, Path], None], owner: int
) -> None:
    (root / "etc").chmod(0o2751)
    os.chown(root / "etc", 7, 8)
    os.chown(root, 3, 4)
    root.chmod(0o755)
    os.setxattr(root / "etc", "user.note", b"kept")
    (overlay / "etc/app").mkdir(parents=True)
    (overlay / "etc/app/file").write_text("x")
    os.setxattr(overlay / "etc", "user.note", b"of the overlay")
    lay(root, overlay)

    def facts(name: str) -> tuple[int, int, int]:
        status = (root / name).stat()
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    assert facts(".") == (3, 4, 0o755)
    assert facts("etc") == (7, 8, 0o2751)
    assert os.getxattr(root / "etc", "user.note") == b"kept"
    assert facts("etc/app") == (owner, owner, 0o700)
    assert facts("etc/app/file") == (owner, owner, 0o600)


@as_root
@pytest.mark.parametrize(
    "lay",
    [_lay_directory, _lay_tarball, _lay_tarball_backwards, _unpack_archive],
)
def test_directories_have_the_time_of_the_tree_or_of_the_overlay(
    root: Path, overlay: Path, lay: Callable[[Path, Path], None]
) -> None:
    for number, place in enumerate((root / "etc", root)):
        os.utime(place, (1e9 + number, 1e9 + number))
    (overlay / "etc/app").mkdir(parents=True)
    (overlay / "etc/app/file").write_text("x")
    for place in (overlay / "etc/app", overlay / "etc", overlay):
        os.utime(place, (1.1e9, 1.1e9))
    lay(root, overlay)
    found = [int((root / name).stat().st_mtime - 1e9) for name in (".", "etc", "etc/app")]
    assert found == [1, 0, 100_000_000]


def test_a_link_to_a_directory_is_followed_inside(root: Path, overlay: Path) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("/usr/lib")
    (overlay / "lib").mkdir()
    (overlay / "lib/module").write_text("x")
    lay_directory(root, overlay)
    assert (root / "usr/lib/module").read_text() == "x"
    assert (root / "lib").is_symlink()


def test_a_link_to_a_directory_that_is_missing(root: Path, overlay: Path) -> None:
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/run/deep/er")
    (overlay / "var/run").mkdir(parents=True)
    (overlay / "var/run/file").write_text("x")
    lay_directory(root, overlay)
    assert (root / "run/deep/er/file").read_text() == "x"


LINKS: list[Callable[[Path], str]] = [
    lambda outside: str(outside),
    lambda outside: "/../../../../.." + str(outside),
    lambda outside: "../" * 20 + str(outside).lstrip("/"),
]


@pytest.mark.parametrize("target", LINKS)
def test_never_through_a_link_of_the_tree(
    root: Path, overlay: Path, outside: Path, target: Callable[[Path], str]
) -> None:
    (root / "srv").symlink_to(target(outside))
    (overlay / "srv").mkdir()
    (overlay / "srv/victim").write_text("attacked")
    lay_directory(root, overlay)
    assert _untouched(outside)
    assert (root / "srv").is_symlink()


def test_a_link_in_the_place_of_a_file_is_replaced(
    root: Path, overlay: Path, outside: Path
) -> None:
    (root / "etc/motd").symlink_to(outside / "victim")
    (overlay / "etc").mkdir()
    (overlay / "etc/motd").write_text("attacked")
    lay_directory(root, overlay)
    assert _untouched(outside)
    assert not (root / "etc/motd").is_symlink()


def test_an_archive_that_lays_a_link_and_goes_through_it(
    root: Path, tmp_path: Path, outside: Path
) -> None:
    members = (_member("out", tarfile.SYMTYPE, str(outside)), _member("out/victim"))
    lay_archive(root, _archive(tmp_path / "a.tar", *members))
    assert _untouched(outside)


@pytest.mark.parametrize("name", ["../outside/victim", "/etc/../../outside/victim", "/etc/motd"])
def test_members_with_names_that_leave_the_tree(
    root: Path, tmp_path: Path, outside: Path, name: str
) -> None:
    archive = _archive(tmp_path / "a.tar", _member(name))
    with pytest.raises(DescriptionError, match="leave the root tree"):
        lay_archive(root, archive)
    assert _untouched(outside)


@pytest.mark.parametrize("time", ["1180591620717411303424", "nan"])
@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.REGTYPE])
def test_a_time_that_no_file_can_have(root: Path, tmp_path: Path, time: str, kind: bytes) -> None:
    member = _member("new", kind)
    member.pax_headers = {"mtime": time}
    with pytest.raises(DescriptionError, match="the archive cannot be unpacked"):
        lay_archive(root, _archive(tmp_path / "a.tar", member))


def test_a_hard_link_to_what_is_outside(root: Path, tmp_path: Path, outside: Path) -> None:
    (root / "out").symlink_to(outside)
    members = (_member("link", tarfile.LNKTYPE, "out/victim"), _member("link"))
    with pytest.raises(DescriptionError):
        lay_archive(root, _archive(tmp_path / "a.tar", *members))
    assert _untouched(outside)


def test_a_file_where_the_tree_has_a_directory(root: Path, overlay: Path) -> None:
    (overlay / "etc").write_text("x")
    with pytest.raises(DescriptionError, match="the tree has a directory there") as caught:
        lay_directory(root, overlay)
    assert "root" in str(caught.value)


def _by_directory(root: Path, overlay: Path) -> None:
    lay_directory(root, overlay)


def _by_archive(root: Path, overlay: Path) -> None:
    archive = overlay.parent / "root.tar"
    subprocess.run(["tar", "-cf", archive, "-C", overlay, "."], check=True)
    lay_archive(root, archive)


both_ways = pytest.mark.parametrize("lay", [_by_directory, _by_archive])


@both_ways
@pytest.mark.parametrize("target", ["data", "/data", "nowhere"])
def test_a_symbolic_link_replaces_an_empty_directory(
    root: Path, overlay: Path, target: str, lay: Callable[[Path, Path], None]
) -> None:
    (root / "data").mkdir()
    (root / "srv").mkdir()
    (overlay / "srv").symlink_to(target)
    lay(root, overlay)
    assert (root / "srv").readlink() == Path(target)


@both_ways
def test_a_symbolic_link_does_not_replace_a_directory_with_content(
    root: Path, overlay: Path, lay: Callable[[Path, Path], None]
) -> None:
    (root / "usr/share/web").mkdir(parents=True)
    (root / "usr/share/web/index.html").write_text("kept")
    (root / "srv").symlink_to("usr/share")
    (overlay / "srv").mkdir()
    (overlay / "srv/web").symlink_to("../data")
    if lay is _by_directory:
        expected = str(overlay / "srv/web")
    else:
        expected = str(overlay.parent / "root.tar")
    with pytest.raises(DescriptionError) as caught:
        lay(root, overlay)
    text = str(caught.value)
    assert expected in text
    assert "/srv/web cannot be placed: it is a symbolic link to ../data" in text
    assert "/usr/share/web with content there, such as /usr/share/web/index.html" in text
    assert (root / "usr/share/web/index.html").read_text() == "kept"


def test_a_directory_of_the_same_archive_makes_way_for_a_link(root: Path, tmp_path: Path) -> None:
    empty = _member("srv", tarfile.DIRTYPE)
    first, again = _member("link", tarfile.SYMTYPE, "data"), _member("srv", tarfile.LNKTYPE, "link")
    lay_archive(root, _archive(tmp_path / "a.tar", empty, first, again))
    assert (root / "srv").readlink() == Path("data")


def test_a_directory_where_the_tree_has_a_file(root: Path, overlay: Path) -> None:
    (root / "srv").write_text("x")
    (overlay / "srv").mkdir()
    with pytest.raises(DescriptionError, match="the tree has a file there"):
        lay_directory(root, overlay)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x28\xb5\x2f\xfdbroken"])
def test_what_is_no_archive(root: Path, tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "root.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(DescriptionError, match="cannot be unpacked"):
        lay_archive(root, archive)


def test_an_archive_that_was_cut_off(root: Path, tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.tar", _member("big"), content=os.urandom(100_000))
    subprocess.run(["gzip", "-k", archive], check=True)
    packed = archive.with_suffix(".tar.gz")
    packed.write_bytes(packed.read_bytes()[:50_000])
    with pytest.raises(DescriptionError, match="cannot be unpacked"):
        lay_archive(root, packed)


@pytest.mark.parametrize("form", ["gnu", "pax"])
@pytest.mark.parametrize("options", ["--label=it", "--listed-incremental=snapshot"])
def test_an_archive_with_a_label_or_an_incremental_one(
    form: str, options: str, tmp_path: Path
) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "file").write_text("content")
    root.mkdir()
    archive = tmp_path / "a.tar"
    words: list[str | Path] = ["tar", f"--format={form}", options, "-cf", archive, "-C", source]
    subprocess.run([*words, "."], check=True, cwd=tmp_path)
    lay_archive(root, archive)
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == [
        "folder",
        "folder/file",
    ]
    assert (root / "folder" / "file").read_text() == "content"


def test_one_of_several_archives(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * 1000)
    volumes: list[str | Path] = ["-f", tmp_path / "1.tar", "-f", tmp_path / "2.tar"]
    words: list[str | Path] = ["tar", "-C", tmp_path, "-M", "-L", "150", "-c", *volumes, "large"]
    subprocess.run(words, check=True)
    (tmp_path / "root").mkdir()
    with pytest.raises(DescriptionError, match="it continues large from another volume"):
        lay_archive(tmp_path / "root", tmp_path / "2.tar")
