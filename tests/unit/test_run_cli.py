"""``kiwinb run`` as it is called."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest
from recipes import EXPECT, write_recipe

from kiwinb.cli import main

KIWINB = (sys.executable, "-m", "kiwinb")


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def kiwinb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Calls the command line in this process, in the test's directory."""

    def call(*arguments: str) -> Done:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["kiwinb", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call


def test_parameters_of_all_sorts_and_the_paths_of_images(
    tmp_path: Path, kiwinb: Callable[..., Done]
) -> None:
    write_recipe(
        tmp_path / "r.ipynb",
        EXPECT + "a: int = 1\nb: int = 1\nc: int = 1",
        "from kiwinb.results.artefacts import record_image\nfrom pathlib import Path\n"
        "record_image(Path(f'{a}-{b}-{c}.raw')); expect('a', '7', str(a), True)",
    )
    (tmp_path / "p.yaml").write_text("a: 2\nb: 2\nc: 2\n")
    arguments = ("run", "r.ipynb", "-f", "p.yaml", "-y", "{b: 3, c: 3}", "-p", "c", "4")
    done = kiwinb(*arguments)
    assert done.status == 0, done.err
    assert done.out == f"{tmp_path / '2-3-4.raw'}\n"
    assert "[3/3] from kiwinb" in done.err
    assert "holds" in done.err
    assert (tmp_path / "out/r.ipynb").exists()
    asked = kiwinb("--json", "run", "--resume", *arguments[1:])
    assert json.loads(asked.out)["state"] == "passed"


def test_help_notebook_lists_parameters(tmp_path: Path, kiwinb: Callable[..., Done]) -> None:
    write_recipe(tmp_path / "r.ipynb", "profiles: list[str] = []  # which [ones]")
    done = kiwinb("run", "r.ipynb", "--help-notebook")
    lines = [line.rstrip().split(maxsplit=3) for line in done.out.splitlines()]
    assert lines == [
        ["Name", "Type", "Default", "Help"],
        ["profiles", "list[str]", "[]", "which [ones]"],
    ]
    done = kiwinb("--json", "run", "r.ipynb", "--help-notebook")
    assert json.loads(done.out)[0]["type_name"] == "list[str]"


@pytest.mark.parametrize(
    ("source", "options", "status"),
    [
        ("1/0", (), 12),
        ("import os; os.kill(os.getpid(), 9)", (), 12),
        (EXPECT + "expect('x', '1', '2', False)", (), 14),
        ("import time; time.sleep(60)", ("--timeout", "1"), 15),
        ("1", ("-p", "a", "1"), 2),
        ("a = 1", ("-p", "b", "1"), 2),
        ("a = 1", ("-p", "a", "1:30"), 2),
        ("a = 1", ("-y", "a: x"), 2),
        ("a = 1", ("-y", "[a]"), 2),
        ("a = 1", ("-y", "a: ["), 2),
        ("a = 1", ("-f", "nonesuch.yaml"), 2),
        ("%matplotlib inline", ("-p", "a", "1"), 12),
        ("1", ("--nonesuch",), 2),
    ],
)
def test_exit_status(
    tmp_path: Path, kiwinb: Callable[..., Done], source: str, options: tuple[str, ...], status: int
) -> None:
    write_recipe(tmp_path / "r.ipynb", source)
    done = kiwinb("run", "r.ipynb", *options)
    assert done.status == status
    assert "Traceback" not in done.err


def test_github_actions_are_told_of_the_failing_cell(
    tmp_path: Path, kiwinb: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path / "notebooks/r.ipynb", "raise ValueError('50% of\\nit')")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    done = kiwinb("run", "notebooks/r.ipynb")
    expected = "::error file=notebooks/r.ipynb,title=r.ipynb%2C cell 1::ValueError: 50%25 of%0Ait"
    assert expected in done.err.splitlines()


SLOW = """\
import subprocess, time
from pathlib import Path
child = subprocess.Popen(["sleep", "600"], stderr=subprocess.DEVNULL)
try:
    if not Path("flag").exists():
        Path("pid").write_text(str(child.pid))
        time.sleep(600)
finally:
    child.kill(); child.wait()
"""


def _start_slow(directory: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A run that hangs in its second cell, and its kernel."""
    write_recipe(directory / "r.ipynb", "x = 1", SLOW, "x")
    process = subprocess.Popen(
        [*KIWINB, "run", "r.ipynb", "-o", "o.ipynb"],
        cwd=directory,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (directory / "pid").exists() or not (directory / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = psutil.Process(int((directory / "pid").read_text()))
    kernel = child.parent()
    assert kernel is not None
    return process, kernel


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_it_resumes(
    tmp_path: Path, kiwinb: Callable[..., Done], number: signal.Signals
) -> None:
    process, kernel = _start_slow(tmp_path)
    processes = [kernel, *kernel.children(recursive=True)]
    process.send_signal(number)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "interrupted" in err
    assert not any(item.is_running() for item in processes)
    (tmp_path / "flag").touch()
    done = kiwinb("run", "r.ipynb", "-o", "o.ipynb", "--resume")
    assert done.status == 0
    assert "= [1/3] x = 1" in done.err
    assert "+ [2/3]" in done.err


def test_a_killed_run_takes_its_kernel_along_and_resumes(
    tmp_path: Path, kiwinb: Callable[..., Done]
) -> None:
    process, kernel = _start_slow(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    kernel.wait(timeout=30)  # it notices within a second
    saved = nbformat.read(tmp_path / "o.ipynb", as_version=4)
    states = [cell["state"] for cell in saved.metadata["kiwinb"]["cells"]]
    assert states == ["done", "running", "pending"]
    psutil.Process(int((tmp_path / "pid").read_text())).kill()
    (tmp_path / "flag").touch()
    done = kiwinb("run", "r.ipynb", "-o", "o.ipynb", "--resume")
    assert done.status == 0


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    write_recipe(
        tmp_path / "r.ipynb",
        "import signal, time\nfrom pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "Path('pid').write_text('x')\ntime.sleep(600)",
    )
    process = subprocess.Popen([*KIWINB, "run", "r.ipynb"], cwd=tmp_path, stderr=subprocess.PIPE)
    while not (tmp_path / "pid").exists():
        time.sleep(0.05)
    process.terminate()
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=300)  # and not 600
    assert process.returncode == 128 + signal.SIGTERM
