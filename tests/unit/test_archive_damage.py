"""Damaged archives are refused wherever kiwinb reads one: none is taken with fewer entries."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from kiwinb.errors import KiwinbError
from kiwinb.images.container.base import import_base, read_base, unpack_base
from kiwinb.images.container.layers import apply_layer
from kiwinb.inspect.formats import open_tree
from kiwinb.prepare.lay_over import lay_archive

BLOCK = 512
MEMBERS = 10
PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}

Tree = dict[str, bytes]


def archive(members: int = MEMBERS, form: int = tarfile.GNU_FORMAT) -> bytes:
    """Files of one block, so that the header of each is 1 KiB behind that of the one before."""
    file = io.BytesIO()
    chance = random.Random(1)
    with tarfile.open(fileobj=file, mode="w", format=form) as made:
        for number in range(members):
            info = tarfile.TarInfo(f"file-{number}")
            info.size = BLOCK
            made.addfile(info, io.BytesIO(chance.randbytes(BLOCK)))
    return file.getvalue()


def files(root: Path) -> Tree:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def overlay(data: bytes, top: Path) -> Tree:
    (top / "root.tar").write_bytes(data)
    (top / "root").mkdir()
    lay_archive(top / "root", top / "root.tar")
    return files(top / "root")


def layer(data: bytes, top: Path) -> Tree:
    (top / "root").mkdir()
    apply_layer(io.BytesIO(data), top / "root")
    return files(top / "root")


def inspected(data: bytes, top: Path) -> Tree:
    (top / "it.tar").write_bytes(data)
    with open_tree(top / "it.tar") as tree:
        table = tree.scan()
        found = table[table["type"] == "file"]["path"].tolist()
        return {path.lstrip("/"): tree.read(path) for path in found}


def layout(directory: Path, layers: list[bytes], plain: list[bytes]) -> Path:
    """An OCI layout."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    ids = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in plain]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": ids}}
    manifest = {
        "config": blob(json.dumps(config).encode()),
        "layers": [blob(data) for data in layers],
    }
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = {"manifests": [blob(json.dumps(manifest).encode())]}
    (directory / "index.json").write_text(json.dumps(index))
    return directory


def container(data: bytes, top: Path) -> Tree:
    """A layer whose digest is right: it was damaged before the image was made."""
    made = layout(top / "layout", [data], [data])
    (top / "base").mkdir()
    import_base(made, None, "x86_64", top / "base")
    (top / "root").mkdir()
    unpack_base(read_base(top / "base"), top / "root", lambda part: None)
    return files(top / "root")


def inspected_container(data: bytes, top: Path) -> Tree:
    with open_tree(layout(top / "layout", [data], [data])) as tree:
        table = tree.scan()
        found = table[table["type"] == "file"]["path"].tolist()
        return {path.lstrip("/"): tree.read(path) for path in found}


TAKERS: Mapping[str, Callable[[bytes, Path], Tree]] = {
    "overlay": overlay,
    "layer": layer,
    "base container": container,
    "inspector": inspected,
    "inspected container": inspected_container,
}


def refused(take: Callable[[bytes, Path], Tree], data: bytes, top: Path) -> str:
    top.mkdir()
    with pytest.raises(KiwinbError) as caught:
        take(data, top)
    said = str(caught.value)
    assert len(said) < 1500
    return said


@pytest.fixture(params=TAKERS)
def take(request: pytest.FixtureRequest) -> Callable[[bytes, Path], Tree]:
    return TAKERS[request.param]


def test_whole_archives_are_taken(take: Callable[[bytes, Path], Tree], tmp_path: Path) -> None:
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)):
        data = archive(form=form)
        (tmp_path / f"{number}").mkdir()
        assert len(take(data, tmp_path / f"{number}")) == MEMBERS
    for number, rest in enumerate((b"", bytes(BLOCK), b"old data of the tape" * 99)):
        (tmp_path / f"rest {number}").mkdir()
        end = MEMBERS * 2 * BLOCK + 2 * BLOCK
        assert len(take(data[:end] + rest, tmp_path / f"rest {number}")) == MEMBERS


def test_each_damaged_header_is_found(take: Callable[[bytes, Path], Tree], tmp_path: Path) -> None:
    data = archive()
    for number in range(MEMBERS):
        for what, value in (("bad", b"\xff"), ("zero", bytes(BLOCK))):
            at = number * 2 * BLOCK
            damaged = data[:at] + value + data[at + len(value) :]
            refused(take, damaged, tmp_path / f"{what} {number}")


def test_each_early_end_is_found(take: Callable[[bytes, Path], Tree], tmp_path: Path) -> None:
    data = archive()
    for number in range(2 * MEMBERS + 1):
        for more in (0, 100):
            cut = data[: number * BLOCK + more]
            refused(take, cut, tmp_path / f"{number} {more}")


def test_what_follows_the_end_marker_is_no_other_archive(
    take: Callable[[bytes, Path], Tree], tmp_path: Path
) -> None:
    said = refused(take, archive() + archive(3), tmp_path / "two")
    assert "another archive follows its end marker" in said


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("taker", ["overlay", "base container", "inspector"])
def test_a_flipped_bit_never_gives_other_content(taker: str, packer: str, tmp_path: Path) -> None:
    plain = archive(4)
    packed = PACKERS[packer](plain)
    (tmp_path / "whole").mkdir()

    def take(data: bytes, top: Path) -> Tree:
        if taker != "base container":
            return TAKERS[taker](data, top)
        made = layout(top / "layout", [data], [plain])
        (top / "base").mkdir()
        import_base(made, None, "x86_64", top / "base")
        (top / "root").mkdir()
        unpack_base(read_base(top / "base"), top / "root", lambda part: None)
        return files(top / "root")

    wanted = take(packed, tmp_path / "whole")
    assert len(wanted) == 4
    chance = random.Random(packer)
    for number in range(25):
        at = chance.randrange(len(packed)) if number else len(packed) - 6
        damaged = bytearray(packed)
        damaged[at] ^= 1 << chance.randrange(8)
        top = tmp_path / f"{number}"
        top.mkdir()
        try:
            found = take(bytes(damaged), top)
        except KiwinbError:
            continue
        assert found == wanted, f"a bit of byte {at} of {len(packed)}"


def header(name: bytes, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name.decode())
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(**values: str) -> bytes:
    lines = b""
    for key, value in values.items():
        body = f" {key.replace('_', '.')}={value}\n".encode()
        length = len(body) + 1
        while length != len(str(length)) + len(body):
            length += 1
        lines += str(length).encode() + body
    return header(b"pax", tarfile.XHDTYPE, len(lines)) + lines.ljust(
        -(-len(lines) // 512) * 512, b"\0"
    )


HOSTILE: Mapping[str, bytes] = {
    "headers of headers": pax(path="x") * 3000 + archive(),
    "a negative size": archive(2)[: 4 * BLOCK] + pax(size="-1024") + archive(),
    "a name of 8 GiB": header(b"././@LongLink", tarfile.GNUTYPE_LONGNAME, 8 << 30) + archive(),
    "a size of 9,000 digits": pax(size="9" * 9000) + archive(),
    "a time of 400 digits": pax(mtime="9" * 400) + header(b"x", tarfile.REGTYPE, 0) + bytes(1024),
    "a time that is none": pax(mtime="nan") + header(b"x", tarfile.REGTYPE, 0) + bytes(1024),
    "an owner of 30 digits": pax(uid="9" * 30) + header(b"x", tarfile.REGTYPE, 0) + bytes(1024),
    "a sparse map of nothing": (
        pax(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_realsize="5") + archive()
    ),
    "a name with a zero": pax(path="a\0b") + archive(),
    "an attribute without a name": (
        pax(SCHILY_xattr_="x") + header(b"x", tarfile.REGTYPE, 0) + bytes(1024)
    ),
    "a name of 300 characters": pax(path="n" * 300) + header(b"", tarfile.REGTYPE, 0) + bytes(1024),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_headers(what: str, take: Callable[[bytes, Path], Tree], tmp_path: Path) -> None:
    try:
        take(HOSTILE[what], tmp_path)
    except KiwinbError as error:
        assert len(str(error)) < 1500


def sparse_member(size: int) -> bytes:
    """A file of some size that has one block of data, in the form of GNU tar 1.0."""
    said = pax(
        GNU_sparse_major="1",
        GNU_sparse_minor="0",
        GNU_sparse_name="sparse",
        GNU_sparse_realsize=str(size),
    )
    table = f"1\n0\n{BLOCK}\n".encode().ljust(BLOCK, b"\0")
    return said + header(b"x", tarfile.REGTYPE, 2 * BLOCK) + table + b"d" * BLOCK + bytes(1024)


@pytest.mark.timeout(60)
def test_a_sparse_member_of_4_eib_takes_no_space(tmp_path: Path) -> None:
    data = sparse_member(4 << 60)
    refused(overlay, data, tmp_path / "overlay")
    refused(layer, data, tmp_path / "layer")
    (tmp_path / "docker.tar").write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(KiwinbError):
        import_base(tmp_path / "docker.tar", None, "x86_64", tmp_path / "out")
    (tmp_path / "it.tar").write_bytes(data)
    with open_tree(tmp_path / "it.tar") as tree:
        assert tree.scan().set_index("path")["size"]["/sparse"] == 4 << 60


def test_a_sparse_member_keeps_its_holes_in_an_archive_of_an_image(tmp_path: Path) -> None:
    """It is written with them, not as zeros: here, it is larger than what the disk has free."""
    data = sparse_member(1 << 40)
    (tmp_path / "docker.tar").write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(KiwinbError, match=r"manifest\.json"):
        import_base(tmp_path / "docker.tar", None, "x86_64", tmp_path / "out")
