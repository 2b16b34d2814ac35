"""Calls of the C library: errors are raised, and signals do not interrupt them."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
from pathlib import Path

import pytest

from kiwinb.libc import LIBC, libc_call


def test_a_result_is_returned() -> None:
    assert libc_call(LIBC.getpid) == os.getpid()


def test_an_error_is_raised_with_its_path(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match=f"No such file or directory: '{missing}'"):
        libc_call(LIBC.rmdir, os.fsencode(missing), path=missing)
    with pytest.raises(OSError) as caught:
        libc_call(LIBC.close, -1)
    assert caught.value.errno == errno.EBADF and caught.value.filename is None


def test_a_call_that_a_signal_interrupts_is_made_again() -> None:
    reading, writing = os.pipe()
    heard = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: heard.set())
    buffer = ctypes.create_string_buffer(4)

    def interrupt(caller: int) -> None:
        while not heard.wait(0.05):
            signal.pthread_kill(caller, signal.SIGUSR1)
        os.write(writing, b"done")

    thread = threading.Thread(target=interrupt, args=(threading.get_ident(),))
    try:
        thread.start()
        assert libc_call(LIBC.read, reading, buffer, 4) == 4
        assert buffer.raw == b"done" and heard.is_set()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
        os.close(reading)
        os.close(writing)
