"""Programs in a worker that write what they like into the pipe for its events.

They are here because a worker imports the module of what it runs; without pytest, that is quick.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.sandbox.events import event_frame
from kiwinb.sandbox.observed import run_observed
from kiwinb.sandbox.worker import Report
from kiwinb.steps.step import Output, StepContext

FIND_PIPES = """
import os, sys
payload = sys.stdin.buffer.read()
own = {os.stat(number).st_ino for number in (0, 1, 2)}
parent = f"/proc/{os.getppid()}/fd"
found = 0
for number in os.listdir(parent):
    try:
        written_to = os.lstat(f"{parent}/{number}").st_mode & 0o200
        if written_to and os.readlink(f"{parent}/{number}").startswith("pipe:"):
            pipe = os.open(f"{parent}/{number}", os.O_WRONLY)
            if os.fstat(pipe).st_ino not in own:
                left = memoryview(payload)
                while left:
                    left = left[os.write(pipe, left):]
                found += 1
    except OSError:
        pass
sys.exit(found != 1)
"""
"""A program that writes its standard input into the pipes of its parent process."""


def _write_as_attacker(payload: bytes) -> None:
    """Run a program that finds the pipe and writes to it."""
    subprocess.run([sys.executable, "-c", FIND_PIPES], input=payload, check=True)


def attack(payload: bytes, _report: Report) -> int:
    _write_as_attacker(payload)
    return 7


@dataclass(frozen=True)
class Opens:
    """Runs code where it is unpickled."""

    marker: str

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.marker,)


def framed(data: bytes) -> bytes:
    return struct.pack("=Q", len(data)) + data


NONSENSE = {
    "text": b"A" * 5000,
    "empty": framed(b""),
    "no JSON": framed(b"\x80\x04."),
    "too long": struct.pack("=Q", 1 << 62),
    "a long line": event_frame("log", "x" * 100_000),
    "a long progress": framed(b'[["progress",0.5%s],[]]\n' % (b" " * (9 << 20))),
    "deep": framed(b"[" * 200_000),
    "a deep result": framed(b'[["result",%s%s],[]]\n' % (b"[" * 900, b"]" * 900)),
    "an unknown kind": event_frame("run", "rm"),
    "a kind that is no text": framed(b'[[["log"],"x"],[]]\n'),
    "a line that is no text": event_frame("log", 5),
    "a wrong result": event_frame("result", "seven"),
    "a truth value": event_frame("result", True),
    "no result": event_frame("result", None),
    "bytes that are not there": framed(b'[["result",{"bytes":0}],[]]\n'),
    "sizes": framed(b'[["result",7],[99]]\n'),
    "negative sizes": framed(b'[["result",7],[3,-3]]\nabc'),
    "more than the result": framed(b'[["result",7],[]]\nabc'),
    "a large number": framed(b'[["progress",%s],[]]\n' % (b"9" * 5000)),
    "an overflow": framed(b'[["progress",1%s],[]]\n' % (b"0" * 400)),
    "not a number": framed(b'[["progress",NaN],[]]\n'),
    "too much progress": event_frame("progress", 1.5),
    "a second start": event_frame("ready", None),
    "a second map": event_frame("map", None),
    "half an error": event_frame("error", {"name": "HostError"}),
    "an error with more": event_frame("error", {"name": "HostError", "problem": "", "x": 1}),
    "an error that is text": event_frame("error", "HostError"),
}


@dataclass(frozen=True)
class Forge:
    """Claim that the step is done."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        (context.root / "half").touch()
        _write_as_attacker(event_frame("result", None))
        time.sleep(60)


def attack_observer(payload: bytes, report: Report) -> int:
    def act(_log: object, _progress: object) -> None:
        _write_as_attacker(payload)

    run_observed(act, report.log, report.progress, Path("/mnt"))
    return 7
