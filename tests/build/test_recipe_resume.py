"""A recipe that is interrupted, then fails, then passes: no build step runs twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recipes import write_recipe
from small_build import write_description

pytestmark = pytest.mark.build

CELLS = (
    "description = 'description'",
    """\
from pathlib import Path
from kiwinb import Appliance
def log(event):
    if event.line is None and event.fraction is None:
        with open("steps", "a") as file:
            file.write(f"{event.step.name} {event.state}\\n")
appliance = Appliance(description, observer=log)
""",
    'appliance.run_until("bootstrap")',
    "root = appliance.prepare()",
    'assert Path("flag").exists(), "no flag"',
    'image = root.create("out/image")\nprint(image.path)',
)
MARK = "KIWINB_TEST_MARK"


def _start(directory: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*(sys.executable, "-m", "kiwinb", "--json", "run", "recipe.ipynb"), *options],
        cwd=directory,
        env={**os.environ, "KIWINB_STORE": str(directory / "store"), MARK: str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(directory: Path, *options: str) -> tuple[int, dict[str, object]]:
    process = _start(directory, *options)
    out, err = process.communicate(timeout=600)
    assert "Traceback" not in err
    return process.returncode, json.loads(out)


def _left(directory: Path) -> list[str]:
    """Processes of the run, and mounts and loop devices in its directory."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"{MARK}={directory}\0".encode() in (process / "environ").read_bytes():
                found.append(f"process {process.name}")
        except OSError:
            continue
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    loops = [f.read_text().strip() for f in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [*found, *(line for line in (*mounts, *loops) if str(directory) in line)]


def _steps(directory: Path, state: str) -> list[str]:
    """Names of the steps that came to a state since the last call with ``done``."""
    log = directory / "steps"
    lines = [line.split() for line in log.read_text().splitlines()]
    return [name for name, reached in lines if reached == state]


def test_it_goes_on_from_the_cell_that_failed_and_no_step_runs_again(tmp_path: Path) -> None:
    write_description(tmp_path)
    write_recipe(tmp_path / "recipe.ipynb", *CELLS)
    log = tmp_path / "steps"

    # Ended in the middle of a step: nothing is left behind, and the record says where it was.
    process = _start(tmp_path)
    deadline = time.monotonic() + 300
    while not (log.exists() and "packages running" in log.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert _left(tmp_path) == []
    interrupted = json.loads(out)
    assert (interrupted["state"], interrupted["failure"]["cell"]) == ("interrupted", 4)
    assert _steps(tmp_path, "done") == ["bootstrap"]

    # Resumed, it builds on the checkpoint, and fails in its fifth cell.
    log.unlink()
    status, run = _run(tmp_path, "--resume")
    assert (status, run["resumed"], run["failure"]["cell"]) == (12, 4, 5)  # type: ignore[index]
    assert "bootstrap" in _steps(tmp_path, "held")
    assert "bootstrap" not in _steps(tmp_path, "done")
    assert "packages" in _steps(tmp_path, "done")

    # Resumed again, it goes on there, and no step of prepare runs again.
    prepared = set(_steps(tmp_path, "held") + _steps(tmp_path, "done"))
    log.unlink()
    (tmp_path / "flag").touch()
    status, run = _run(tmp_path, "--resume", "--junit", "junit.xml")
    assert (status, run["state"], run["resumed"]) == (0, "passed", 5)
    states = [cell["state"] for cell in run["cells"]]  # type: ignore[attr-defined]
    assert states == ["resumed"] * 4 + ["done"] * 2
    assert prepared.isdisjoint(_steps(tmp_path, "done"))
    assert prepared <= set(_steps(tmp_path, "held"))
    assert _left(tmp_path) == []
