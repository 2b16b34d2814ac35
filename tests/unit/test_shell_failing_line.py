"""A script that fails names its line, and behaves as it does without that."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kiwinb.prepare.failing_line import VARIABLE, failing_line, watch_text

SCRIPTS = {
    "set-e": ("set -e\necho a\n\nfalse\n", 4),
    "exit": ("echo a\n\nif true; then\n  exit 4\nfi\n", 4),
    "last command": ("true\nif false; then :; fi\nls /nowhere\n", 3),
    "first line": ("exit 7", 1),
    "function": ("set -e\nf() {\n  false\n}\n\nf\n", 6),
    "exit in a function": ("f() {\n  exit 5\n}\necho b\nf\necho c\n", 5),
    "loop": ("set -eu\nf() {\n  false\n}\nif true; then\n  for x in 1; do\n    f\n  done\nfi", 7),
    "unbound": ("set -u\necho a\n\necho $nope\n", 4),
    "subshell": ("set -e\nfalse || true\n( exit 3 )\n", 3),
    "pipe": ("set -e -o pipefail\ntrue\ncat /nowhere | cat\n", 3),
    "sourced": ("set -e\n\n. ./included\n", 3),
    "traced": ("set -ex\necho a b\nfalse\n", 3),
    "own trap": ("trap 'echo mine' EXIT\nfalse\n", None),
    "good": ("false\ntrue\n", None),
    "special": (
        'echo a b\necho "$_"\nfalse | true\necho ${PIPESTATUS[*]} $-\nfalse\necho $? $0\n'
        "bash -c 'trap; echo \"${BASH_ENV-unset}\"; exit 2'\necho $?\nexit 9\n",
        9,
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_line_and_nothing_else(tmp_path: Path, name: str) -> None:
    script, line = SCRIPTS[name]
    (tmp_path / "script").write_text(script)
    (tmp_path / "included").write_text("\n\n\n\nfalse\n")
    result = tmp_path / "it's here"
    (tmp_path / "watch").write_text(watch_text(str(result)))
    plain, watched = (
        subprocess.run(
            ["bash", "script"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **extra},
            capture_output=True,
            text=True,
        )
        for extra in ({}, {VARIABLE: str(tmp_path / "watch")})
    )
    assert failing_line(result) == line
    assert (watched.returncode, watched.stdout) == (plain.returncode, plain.stdout)
    assert watched.stderr.replace("++ ", "") == plain.stderr
