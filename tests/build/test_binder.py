"""binder/: what it asks for is enough to run the notebooks that need no privileges.

The environment is made as repo2docker makes it: the packages of ``apt.txt``, and ``pip install -r
requirements.txt`` from the root of the repository. The notebooks run in it as an ordinary user
without subordinate ids, who can make no namespaces, with no network and a repository that cannot be
written to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BINDER = REPOSITORY / "binder"
USER = 54321
"""An id that no account has."""

pytestmark = pytest.mark.build

DROP = """\
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000 | 0x40000000):  # CLONE_NEWUSER, CLONE_NEWNET
    raise OSError(ctypes.get_errno(), "unshare")
os.write(1, b"!")
os.read(0, 1)  # until the ids are mapped
with open("/proc/sys/user/max_user_namespaces", "w") as limit:
    limit.write("0")
os.setgroups([])
os.setgid(1000)
os.setuid(1000)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Becomes user 1000 of a namespace that allows no others, and then another program."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that other users can look into."""
    with tempfile.TemporaryDirectory(prefix="kiwinb-binder-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@pytest.fixture(scope="module")
def repository(place: Path) -> Path:
    """What a clone of this repository has."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    clone = place / "repository"
    for name in filter(None, listed.split("\0")):
        source = REPOSITORY / name
        if source.exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, clone / name)
    return clone


@pytest.fixture(scope="module")
def environment(place: Path, repository: Path) -> Path:
    """The virtual environment that binder/ asks for."""
    environment = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run(
        [environment / "bin/pip", "install", "--quiet", "-r", "binder/requirements.txt"],
        cwd=repository,
        check=True,
    )
    return environment


@pytest.fixture
def home(place: Path) -> Iterator[Path]:
    """The home of the ordinary user."""
    home = place / "home"
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, USER, USER)
    yield home
    shutil.rmtree(home)


def run(
    home: Path, environment: Path, *command: str | Path, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command as an ordinary user: who tests, or the one without rights if that is root."""
    variables = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
    }
    if os.geteuid() != 0:
        return subprocess.run(
            command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )
    process = subprocess.Popen(
        [sys.executable, "-c", DROP, *command],
        cwd=cwd,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.read(1) == b"!", process.communicate()[1].decode()
    for kind in ("uid", "gid"):
        Path(f"/proc/{process.pid}/{kind}_map").write_text(f"0 0 1\n1000 {USER} 1\n")
    out, errors = process.communicate(b"!")
    return subprocess.CompletedProcess(command, process.returncode, out.decode(), errors.decode())


def test_packages_of_the_host_are_installed() -> None:
    names = [line for line in (BINDER / "apt.txt").read_text().split() if not line.startswith("#")]
    told = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Status}\n", *names],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(told.split()) == {"installed"}


def test_python_is_one_that_kiwinb_supports() -> None:
    name, _, version = (BINDER / "runtime.txt").read_text().strip().partition("-")
    assert name == "python"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={version}"


def test_jupyterlab_shows_the_widgets(environment: Path, repository: Path, home: Path) -> None:
    listed = run(home, environment, "jupyter", "labextension", "list", cwd=repository)
    assert listed.returncode == 0, listed.stderr
    assert "anywidget" in listed.stdout + listed.stderr


@pytest.mark.parametrize("name", ["tour", "what-changed"])
def test_notebook_runs(name: str, environment: Path, repository: Path, home: Path) -> None:
    if os.geteuid() == 0:
        refused = run(home, environment, "unshare", "--user", "true", cwd=repository)
        assert refused.returncode != 0
        assert run(home, environment, "touch", "file", cwd=repository).returncode != 0
    done = run(
        home,
        environment,
        *("kiwinb", "--json", "run", f"notebooks/{name}.ipynb"),
        *("-o", home / f"{name}.ipynb", "--report", home / f"{name}.html"),
        cwd=repository,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {cell["state"] for cell in told["cells"]} == {"done"}
    assert len(told["expectations"]) >= 5
    assert all(item["passed"] for item in told["expectations"])
    executed = json.loads((home / f"{name}.ipynb").read_text())
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", ())]
    assert all(output["output_type"] != "error" for output in outputs)
    assert "<table" in (home / f"{name}.html").read_text()
