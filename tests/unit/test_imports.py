"""The command line and ``import kiwinb`` bring libraries only when something uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from descriptions import document
from recipes import write_recipe

NOTEBOOK = ("IPython", "anywidget", "ipykernel", "ipywidgets", "jupyter_client", "nbclient")
EXPORT = ("nbconvert", "jinja2", "pygments.formatters")
PLOTS = ("matplotlib", "squarify", "PIL")
TABLES = ("pandas", "numpy")

SCRIPT = """\
import json, sys
from kiwinb import cli
sys.argv = ["kiwinb", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as ended:
    status = ended.code or 0
print("\\n" + json.dumps([status, [*sys.modules]]))
"""


def loaded(command: Sequence[str | Path], directory: Path, status: int) -> set[str]:
    """The modules that are loaded when a command of kiwinb has ended with a status."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command],
        capture_output=True,
        text=True,
        cwd=directory,
        env={
            **os.environ,
            **{"KIWINB_STORE": str(directory / "store"), "KIWINB_CACHE": str(directory / "cache")},
        },
    )
    assert done.returncode == 0, done.stderr
    ended, modules = json.loads(done.stdout.splitlines()[-1])
    assert ended == status, done.stderr
    return {*modules}


def test_importing_kiwinb_brings_no_library() -> None:
    script = "import sys, kiwinb; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    ours = {name for name in done.stdout.split() if name.startswith("kiwinb")}
    assert ours == {"kiwinb", "kiwinb.version"}
    assert not {*NOTEBOOK, *EXPORT, *PLOTS, *TABLES, "lxml", "rich", "yaml"} & {
        *done.stdout.split()
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a description, a recipe, a tree and a matrix."""
    (tmp_path / "description").mkdir()
    document(tmp_path / "description", repository="<repository><source path='/no'/></repository>")
    write_recipe(tmp_path / "r.ipynb", "n: int = 1  # a number")
    (tmp_path / "m.toml").write_text('[[recipe]]\npath = "r.ipynb"\n[parameters]\nn = [1, 2]\n')
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/motd").write_text("hello\n")
    return tmp_path


DESCRIPTION = ("--description", "description")


@pytest.mark.parametrize(
    ("command", "status", "unused"),
    [
        (("--help",), 0, (*TABLES, "lxml", "yaml", "nbformat")),
        (("--version",), 0, (*TABLES, "lxml", "yaml", "nbformat")),
        (("nonesuch",), 2, (*TABLES, "lxml", "yaml", "nbformat")),
        (("run", "--help"), 0, (*TABLES, "yaml", "nbformat")),
        (("run", "r.ipynb", "--help-notebook"), 0, TABLES),
        (("run", "nonesuch.ipynb"), 12, TABLES),
        (("matrix", "m.toml", "--list"), 0, TABLES),
        (("system", "build", *DESCRIPTION, "--target-dir", "out"), 5, (*TABLES, "nbformat")),
        (("system", "build", "--description", "no", "--target-dir", "out"), 3, TABLES),
        (("system", "create", "--root", "no", "--target-dir", "out"), 10, TABLES),
        (("image", "info", *DESCRIPTION), 0, TABLES),
        (("image", "info", *DESCRIPTION, "--resolve-package-list"), 5, TABLES),
        (("description", "show", "description"), 0, TABLES),
        (("doctor", *DESCRIPTION), 8, TABLES),
        (("checkpoints", "list"), 0, TABLES),
        (("result", "list", "--target-dir", "out"), 10, TABLES),
        (("inspect", "--help"), 0, TABLES),
        (("inspect", "files", "tree"), 0, ()),
        (("inspect", "packages", "tree"), 13, ()),
        (("inspect", "diff", "tree", "tree"), 0, ()),
        (("inspect", "files", "no"), 13, ()),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, tuple) else str(item),
)
def test_a_command_brings_only_what_it_uses(
    place: Path, command: tuple[str, ...], status: int, unused: tuple[str, ...]
) -> None:
    found = loaded(command, place, status)
    assert not {*NOTEBOOK, *EXPORT, *PLOTS, *unused} & found
