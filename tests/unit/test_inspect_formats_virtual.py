"""Disks of virtual machines that name other files or servers: nothing but the disk is opened."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from kiwinb.errors import CommandError, InspectError
from kiwinb.inspect.formats import open_tree
from kiwinb.sandbox.foreign_file import TooSlowError, run_on_foreign

pytestmark = pytest.mark.needs("qemu-img")

NAMES: Mapping[str, Callable[[Path, int], str]] = {
    "a server": lambda top, port: f"nbd:127.0.0.1:{port}",
    "a server by its URL": lambda top, port: f"nbd://127.0.0.1:{port}/x",
    "a web server": lambda top, port: f"http://127.0.0.1:{port}/x",
    "options": lambda top, port: (
        f'json:{{"driver":"nbd","server.type":"inet","server.host":"127.0.0.1","server.port":"{port}"}}'
    ),
    "a pipe": lambda top, port: str(top / "pipe"),
    "a directory as FAT": lambda top, port: f"fat:rw:{top}",
    "a file beside it": lambda top, port: "secret",
    "a file of the host": lambda top, port: "/etc/shadow",
    "a device": lambda top, port: "/dev/zero",
}


def header_of_qcow2(name: bytes, *, data_file: bool = False) -> bytes:
    at = 0 if data_file else 512
    fields = (
        b"QFI\xfb",
        3,
        at,
        0 if data_file else len(name),
        16,
        1 << 20,
        0,
        1,
        1 << 16,
        0,
        0,
        0,
        0,
    )
    head = struct.pack(">4sIQIIQIIQQIIQ", *fields)
    head += struct.pack(">QQQII", 4 if data_file else 0, 0, 0, 4, 104)
    if data_file:
        head += struct.pack(">II", 0x44415441, len(name)) + name + bytes(-len(name) % 8)
    return head.ljust(512, b"\0") + name.ljust(1 << 17, b"\0")


def sparse_vmdk(descriptor: str, capacity: int = 2048) -> bytes:
    head = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, capacity, 128, 1, 20, 512, 21, 26, 128)
    return head.ljust(512, b"\0") + descriptor.encode().ljust(1 << 20, b"\0")


def _descriptor(extent: str, parent: str = "") -> str:
    hint = f'parentFileNameHint="{parent}"\n' if parent else ""
    cid = "12345678" if parent else "ffffffff"
    return (
        f'# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID={cid}\ncreateType="custom"\n'
        f'{hint}{extent}\nddb.adapterType = "ide"\n'
    )


DISKS: Mapping[str, Callable[[str], bytes]] = {
    "qcow2 over": lambda name: header_of_qcow2(name.encode()),
    "qcow2 with data in": lambda name: header_of_qcow2(name.encode(), data_file=True),
    "qcow over": lambda name: (
        struct.pack(">4sIQIIQBBHIQ", b"QFI\xfb", 1, 48, len(name), 0, 1 << 20, 12, 9, 0, 0, 4096)
        + name.encode().ljust(8192, b"\0")
    ),
    "qed over": lambda name: (
        struct.pack("<4sIIIQQQQQII", b"QED\0", 65536, 4, 1, 1, 0, 0, 65536, 1 << 20, 64, len(name))
        + name.encode().ljust(1 << 19, b"\0")
    ),
    "vmdk of extents": lambda name: _descriptor(f'RW 2048 FLAT "{name}" 0').encode(),
    "vmdk of sparse extents": lambda name: _descriptor(f'RW 2048 SPARSE "{name}"').encode(),
    "vmdk that is read only": lambda name: _descriptor(f'RDONLY 2048 VMFS "{name}" 0').encode(),
    "vmdk over": lambda name: sparse_vmdk(_descriptor('RW 2048 SPARSE "it"', name)),
    "vmdk without size": lambda name: sparse_vmdk(_descriptor(f'RW 2048 FLAT "{name}" 0'), 0),
}


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server that notes whether anybody connects."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setblocking(False)
        yield made


@pytest.mark.timeout(60)
@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("named", NAMES)
def test_what_a_disk_names_is_not_opened(
    disk: str, named: str, server: socket.socket, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret").write_bytes(b"secret" * 9000)
    name = NAMES[named](tmp_path, server.getsockname()[1])
    image = tmp_path / "it"
    image.write_bytes(DISKS[disk](name.replace('"', "") if "vmdk" in disk else name))
    with pytest.raises(InspectError, match="is not whole: it refers to") as caught:
        open_tree(image)
    assert len(str(caught.value)) < 1000
    with pytest.raises(BlockingIOError):
        server.accept()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("capacity", [1 << 36, (1 << 35) - 8, 1 << 62])
def test_a_disk_that_claims_to_be_huge(capacity: int, tmp_path: Path) -> None:
    """Sectors in a header of VMware; QEMU would look at each grain of them."""
    image = tmp_path / "it.vmdk"
    image.write_bytes(sparse_vmdk(_descriptor('RW 2048 SPARSE "it.vmdk"'), capacity))
    began = time.monotonic()
    with pytest.raises(InspectError):
        open_tree(image)
    assert time.monotonic() - began < 80


@pytest.mark.timeout(60)
def test_a_tool_that_does_not_end_is_ended(tmp_path: Path) -> None:
    mark = f"{tmp_path}/mark"
    waits = f"touch {mark}; tail -f {mark} & exec tail -f {mark}"
    with pytest.raises(TooSlowError, match="not ended after 1 s"):
        run_on_foreign(["sh", "-c", waits], 1, writable=[tmp_path])
    assert (tmp_path / "mark").exists()
    left = [process for process in psutil.process_iter(["cmdline"]) if _names(process, mark)]
    assert not left


def _names(process: psutil.Process, word: str) -> bool:
    return word in (process.info["cmdline"] or ())


@pytest.mark.needs("bwrap")
def test_a_tool_sees_nothing_but_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "given").write_text("given")
    with (tmp_path / "given").open() as given:
        number = given.fileno()
        (tmp_path / "given").unlink()  # it need not have a name
        argv = ["cat", f"/proc/self/fd/{number}"]
        assert run_on_foreign(argv, 20, opened=number) == "given"
    for place in (tmp_path / "secret", f"/proc/{os.getpid()}/environ", "/etc/shadow"):
        with pytest.raises(CommandError) as caught:
            run_on_foreign(["cat", place], 20)
        assert "secret" not in "".join(caught.value.tail).replace(str(place), "")
    with pytest.raises(CommandError):
        run_on_foreign(["touch", tmp_path / "made"], 20)
    assert not (tmp_path / "made").exists()


def test_a_tool_has_no_network(server: socket.socket) -> None:
    port = server.getsockname()[1]
    with pytest.raises(CommandError):
        run_on_foreign(["bash", "-c", f"echo > /dev/tcp/127.0.0.1/{port}"], 20)
    with pytest.raises(BlockingIOError):
        server.accept()
    subprocess.run(["bash", "-c", f"echo > /dev/tcp/127.0.0.1/{port}"], check=True)
    server.setblocking(True)
    server.accept()[0].close()
