"""A disk that records what is written to it, and when it is told to keep it.

It is one file, ``disk``, in a file system of its own that speaks the protocol of ``/dev/fuse``. A
loop device makes a block device of that file, and passes each flush on as an fsync(2). All that
arrives goes to a trace, in the order in which it arrives. So do words that a program writes to the
second file, ``mark``: when that write returns, the word is in the trace.

python tests/fault/recorded_disk.py MOUNT_POINT TRACE BYTES    serves until it is unmounted
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from disk_trace import FLUSH, MARK, WRITE, pack

from kiwinb.sandbox.mounts import mount

_ROOT, _DISK, _MARK = 1, 2, 3
_NODES = {b"disk": _DISK, b"mark": _MARK}
_REQUEST = struct.Struct("<IIQQIIII")  # struct fuse_in_header, see linux/fuse.h
_REPLY = struct.Struct("<IiQ")  # struct fuse_out_header
_IO = struct.Struct("<QQI")  # the beginning of fuse_read_in and fuse_write_in
_IO_SIZE = 40  # of all of fuse_write_in
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_DIRECT_IO = 1  # FOPEN_DIRECT_IO
_MAX_PAGES = 1 << 22  # FUSE_MAX_PAGES
_LARGEST = 1 << 20
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE = 1, 2, 3, 4, 14, 15, 16
_RELEASE, _FSYNC, _FLUSH, _INIT, _INTERRUPT, _DESTROY, _FORGET_MANY = 18, 20, 25, 26, 36, 38, 42
_START_SECONDS = 10.0


class _Server:
    """Answer the kernel's requests.

    Args:
        disk: The content of the disk.
        trace: Gets what arrives.
        size: Bytes of the disk.
    """

    def __init__(self, disk: BinaryIO, trace: BinaryIO, size: int) -> None:
        self._disk = disk.fileno()
        self._trace = trace
        self._size = size

    def serve(self, kernel: int) -> None:
        """Answer requests until the file system is unmounted."""
        while True:
            try:
                request = os.read(kernel, _LARGEST + (1 << 16))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                if error.errno == errno.ENODEV:
                    return
                raise
            _length, code, unique, node, *_rest = _REQUEST.unpack_from(request)
            if code in (_FORGET, _FORGET_MANY, _INTERRUPT):
                continue
            try:
                answer, failed = self._answer(code, node, request[_REQUEST.size :]), 0
            except OSError as error:
                answer, failed = b"", error.errno or errno.EIO
            os.write(kernel, _REPLY.pack(_REPLY.size + len(answer), -failed, unique) + answer)

    def _answer(self, code: int, node: int, body: bytes) -> bytes:
        if code == _INIT:
            flags, pages = _MAX_PAGES, _LARGEST // 4096
            head = struct.pack("<IIIIHHIIHH", 7, 31, 0, flags, 16, 12, _LARGEST, 1, pages, 0)
            return head.ljust(64, b"\0")
        if code == _LOOKUP:
            found = _NODES.get(body.rstrip(b"\0"))
            if found is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            return struct.pack("<QQQQII", found, 0, 3600, 3600, 0, 0) + self._attributes(found)
        if code in (_GETATTR, _SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
        if code == _OPEN:
            return struct.pack("<QII", 0, _DIRECT_IO, 0)
        if code == _READ:
            _handle, offset, size = _IO.unpack_from(body)
            return os.pread(self._disk, size, offset) if node == _DISK else b""
        if code == _WRITE:
            return self._write(node, body)
        if code == _FSYNC and node == _DISK:
            self._note(pack(FLUSH))
        elif code not in (_FSYNC, _FLUSH, _RELEASE, _DESTROY):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        return b""

    def _write(self, node: int, body: bytes) -> bytes:
        _handle, offset, size = _IO.unpack_from(body)
        data = body[_IO_SIZE : _IO_SIZE + size]
        if node == _DISK:
            self._trace.write(pack(WRITE, offset, data))
            os.pwrite(self._disk, data, offset)
        else:
            self._note(pack(MARK, 0, data.strip()))
        return struct.pack("<II", size, 0)

    def _note(self, event: bytes) -> None:
        self._trace.write(event)
        self._trace.flush()

    def _attributes(self, node: int) -> bytes:
        size = self._size if node == _DISK else 0
        mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o600
        links = 2 if node == _ROOT else 1
        times = (0,) * 6
        return _ATTRIBUTES.pack(
            node, size, size // 512, *times[:3], *times[3:], mode, links, 0, 0, 0, 4096, 0
        )


@dataclass(frozen=True)
class RecordedDisk:
    """A disk whose writes and flushes are recorded.

    Attributes:
        device: Its block device.
        mark: The file to write words to that go into the trace.
        trace: The file with the trace; complete when the context has ended.
    """

    device: Path
    mark: Path
    trace: Path


@contextmanager
def recorded_disk(directory: Path, size: int) -> Iterator[RecordedDisk]:
    """Provide an empty disk; root only.

    Args:
        directory: An empty directory for it.
        size: In bytes.
    """
    place, trace = directory / "fuse", directory / "trace"
    place.mkdir()
    command = [sys.executable, __file__, str(place), str(trace), str(size)]
    with subprocess.Popen(command) as server:
        try:
            _await(place / "disk", server)
            device = _output("losetup", "--find", "--show", "--direct-io=on", str(place / "disk"))
            try:
                yield RecordedDisk(Path(device), place / "mark", trace)
            finally:
                _output("losetup", "--detach", device)
        finally:
            _unmount(place)
            server.wait(_START_SECONDS)


def _await(file: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not file.exists():
        assert server.poll() is None and time.monotonic() < deadline, "the disk does not start"
        time.sleep(0.01)


def _unmount(place: Path) -> None:
    """Unmount, as soon as the kernel has given the loop device up."""
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run(["umount", place], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            subprocess.run(["umount", "--lazy", place], check=False)
            return
        time.sleep(0.05)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _main(place: Path, trace: Path, size: int) -> None:
    kernel = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={kernel},rootmode=40000,user_id=0,group_id=0,allow_other"
    with trace.with_suffix(".disk").open("w+b") as disk, trace.open("wb") as notes:
        disk.truncate(size)
        mount("recorded-disk", place, "fuse", options=options)
        _Server(disk, notes, size).serve(kernel)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
