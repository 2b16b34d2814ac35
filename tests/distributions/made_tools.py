"""Run the tools that make the distributions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from made_packages import EPOCH


def run_tool(
    argv: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> bytes:
    """Run a tool, for which it is always the same time, and return its output.

    Args:
        argv: The command.
        env: Variables to add to the environment.
        cwd: Its working directory.
    """
    given = {**os.environ, "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(EPOCH), **(env or {})}
    done = subprocess.run(argv, capture_output=True, env=given, cwd=cwd)
    said = (done.stdout + done.stderr)[-3000:].decode(errors="replace")
    assert done.returncode == 0, f"{argv[0]} failed with {done.returncode}:\n{said}"
    return done.stdout
