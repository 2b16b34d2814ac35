"""Run programs whose clock says another time, or jumps while they run.

libfaketime changes what a program and all that it starts are told when they ask for the time. It
cannot do so while the clock that measures durations goes on as it is, so where the clock jumps,
``jumping_clock/sitecustomize.py`` does it, for Python alone. What the kernel itself writes, such as
the change time of a file, keeps the right time in both cases.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_JUMPING = Path(__file__).parent / "jumping_clock"
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def wrong_clock(offset: str) -> Mapping[str, str]:
    """The environment of a program whose clock is wrong.

    Args:
        offset: How wrong it is, for example ``+10y``.
    """
    assert LIBRARY is not None, "install the package faketime"
    own = {"LD_PRELOAD": str(LIBRARY), "NO_FAKE_STAT": "1", "FAKETIME": offset}
    return own | {"KIWINB_SETENV": " ".join(own)}


def jumping_clock(file: Path) -> Mapping[str, str]:
    """The environment of a Python program whose clock jumps.

    Args:
        file: A file with the seconds to add to the time, read each time that it is asked for.
    """
    path = os.pathsep.join((str(_JUMPING), *sys.path))
    own = {"PYTHONPATH": path, "JUMPING_CLOCK": str(file)}
    return own | {"KIWINB_SETENV": " ".join(own)}


def run(module: str, *arguments: object, at: Mapping[str, str]) -> str:
    """Run the function ``main`` of a module in a process of its own; return what it prints.

    Args:
        module: The module.
        arguments: The arguments of the function.
        at: What :func:`wrong_clock` or :func:`jumping_clock` returns.
    """
    program = f"import sys, {module}; {module}.main(*sys.argv[1:])"
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **path, **at},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
