"""How much a program of a step may use of the host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits for each program that a step runs in its cage, with everything that it starts.

    Attributes:
        processes: Number of processes and threads of programs that are alive at the same time.
        memory: Bytes of memory; ``None`` for nine tenths of the host's.
        seconds: Time from the start to the end of the program.
        disk: Bytes by which the free space of the store's file system may shrink; ``None`` for
            no limit but :attr:`reserve`.
        reserve: Bytes that stay free on the file system of the store.
        files: Number of files by which those that the store's file system has room for may shrink;
            ``None`` for no limit but :attr:`reserved_files`.
        reserved_files: Number of files that the file system of the store has still room for.
    """

    processes: int = 8192
    memory: int | None = None
    seconds: int = 12 * 3600
    disk: int | None = None
    reserve: int = 256 << 20
    files: int | None = None
    reserved_files: int = 10_000
