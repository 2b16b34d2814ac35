"""Tarballs unpack to the tree they were made of, and their bytes depend on nothing else."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_tree import CAPABILITY, EPOCH, make_tree, run_action

from kiwinb.checkpoints.treescan import Entry, compare, scan
from kiwinb.errors import CommandError, ImageError
from kiwinb.images.compress import xz_writer
from kiwinb.images.tarball import TarWriter
from kiwinb.images.tbz import PackTarball
from kiwinb.sandbox.worker import Report, call
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, select

_NODES = ("nodes/*",)


def _pack(top: Path, name: str = "tree", exclude: tuple[str, ...] = (), epoch: int = EPOCH) -> Path:
    action = PackTarball("it.tar.xz", epoch, exclude)
    return run_action(action, top / name, top / f"{name}-out") / "it.tar.xz"


def _round_trip(_argument: None, _report: Report) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        root = make_tree(top / "tree", sockets=False)
        tarball = _pack(top)
        unpacked = top / "unpacked"
        unpacked.mkdir()
        argv = "tar --extract --preserve-permissions --same-owner --numeric-owner --xattrs"
        options = ["--xattrs-include=*", "--delay-directory-restore"]
        options += ["--exclude=nodes/*"]  # no device nodes when rootless
        subprocess.run([*argv.split(), *options, "--file", tarball], cwd=unpacked, check=True)
        return compare(select(root, _NODES, contents=True), scan(unpacked))


@pytest.mark.proves("image kind", "tbz")
def test_gnu_tar_unpacks_the_same_tree() -> None:
    assert call(_round_trip, None) == ()


def _packed(exclude: tuple[str, ...], _report: Report) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        make_tree(Path(directory) / "tree", sockets=False)
        return _pack(Path(directory), exclude=exclude).read_bytes()


def _headers(exclude: tuple[str, ...] = ()) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(call(_packed, exclude))) as archive:
        return archive.getmembers()


def test_headers() -> None:
    members = _headers()
    by_name = {member.name: member for member in members}
    assert members[0].name == "."
    assert (by_name["nodes/null"].type, by_name["nodes/null"].mode) == (tarfile.CHRTYPE, 0o666)
    assert (by_name["nodes/null"].devmajor, by_name["nodes/null"].devminor) == (1, 3)
    assert (by_name["nodes/sda"].type, by_name["nodes/sda"].gid) == (tarfile.BLKTYPE, 6)
    assert by_name["nodes/null"].pax_headers == {}
    assert by_name["a/file"].islnk()
    assert by_name["a/file"].linkname == "a/deep/again"
    assert by_name["a/deep/again"].mtime == EPOCH - 6
    assert by_name["cap"].mtime == EPOCH
    assert by_name["cap"].pax_headers["SCHILY.xattr.security.capability"].encode(
        "utf-8", "surrogateescape"
    ) == (CAPABILITY)
    assert {member.uname + member.gname for member in members} == {""}
    order = [os.fsencode(member.name).split(b"/") for member in members[1:]]
    assert order == sorted(order)


def test_what_is_left_out() -> None:
    by_name = {member.name: member for member in _headers((*MACHINERY, *TEMPORARY))}
    assert not {"image", "image/config.xml", ".profile", "tmp/first"} & by_name.keys()
    assert by_name["tmp"].mode == 0o1777
    assert by_name["var/second"].isfile()
    assert by_name["var/third"].linkname == "var/second"


def _twice(_argument: None, _report: Report) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        make_tree(top / "tree", sockets=False)
        subprocess.run(["cp", "-a", top / "tree", top / "copy"], check=True)
        for directory_name, _, files in os.walk(top / "copy"):
            for name in files:
                path = Path(directory_name, name)
                if path.lstat().st_mtime > EPOCH:
                    os.utime(path, (EPOCH + 99, EPOCH + 99), follow_symlinks=False)
        one = _pack(top).read_bytes()
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        return one, _pack(top, "copy").read_bytes()


def test_same_bytes_from_a_copy_on_one_processor() -> None:
    one, two = call(_twice, None)
    assert one == two


@given(
    name=st.binary(min_size=1, max_size=300).filter(lambda name: not set(name) & {0, 0x2F, 0x2E}),
    content=st.binary(max_size=1200),
)
def test_names_of_any_bytes(name: bytes, content: bytes) -> None:
    stream = io.BytesIO()
    archive = TarWriter(stream, 5)
    archive.add_file(os.fsdecode(name), content)
    archive.close()
    assert len(stream.getvalue()) % 10240 == 0
    stream.seek(0)
    with tarfile.open(fileobj=stream) as found:
        (member,) = found.getmembers()
        assert os.fsencode(member.name) == name
        extracted = found.extractfile(member)
        assert extracted is not None
        assert extracted.read() == content
        assert member.mtime == 5


@given(
    xattrs=st.dictionaries(
        st.text("abc.é", min_size=1, max_size=120), st.binary(max_size=1100), min_size=1, max_size=3
    )
)
def test_attributes_of_any_bytes(xattrs: dict[str, bytes]) -> None:
    stream = io.BytesIO()
    archive = TarWriter(stream, EPOCH)
    entry = Entry(b".", "directory", 0o755, 3_000_000, 2**32 - 2, xattrs=tuple(xattrs.items()))
    archive.add_entry(Path("/"), entry)
    archive.close()
    stream.seek(0)
    with tarfile.open(fileobj=stream) as found:
        (member,) = found.getmembers()
    assert (member.uid, member.gid) == (3_000_000, 2**32 - 2)
    kept = {
        key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape")
        for key, value in member.pax_headers.items()
        if key.startswith("SCHILY.")
    }
    assert kept == xattrs


class _Head(io.BytesIO):
    """Has room for headers only."""

    def write(self, data: object) -> int:
        if self.tell() > 1024:
            raise EOFError
        return super().write(data)  # type: ignore[arg-type]


def test_a_file_of_more_than_8_gib(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate((8 << 30) + 1)
    head = _Head()
    with pytest.raises(EOFError):
        TarWriter(head, EPOCH).add_tree(tmp_path, select(tmp_path)[1:])
    assert b"size=8589934593\n" in head.getvalue()


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("12345")
    entries = select(tmp_path)
    (tmp_path / "file").write_text("1")
    with pytest.raises(ImageError, match="file became shorter"):
        TarWriter(io.BytesIO(), EPOCH).add_tree(tmp_path, entries)


def test_a_failing_xz_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "it.xz"
    with pytest.raises(CommandError, match="option"), xz_writer(path, preset=-1) as stream:
        stream.write(bytes(1 << 22))
    assert not path.exists()


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "it.xz"
    with pytest.raises(ZeroDivisionError), xz_writer(path) as stream:
        stream.write(b"x")
        raise ZeroDivisionError
    assert not path.exists()
