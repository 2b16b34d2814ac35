"""Matrices run in processes of this host."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from html import escape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import psutil
import pytest
from junitparser import JUnitXml
from recipes import write_recipe

from kiwinb.matrix.matrix import read_matrix
from kiwinb.matrix.pool import LocalPool
from kiwinb.matrix.reports import Failures
from kiwinb.matrix.run import MatrixOptions, run_matrix

RECIPE = (
    "n: int = 0\ntarget_dir = 'out'",
    """\
import os
from pathlib import Path
from kiwinb.results.artefacts import record_image
with open("log", "a") as log:
    log.write(f"{n} first\\n")
out = Path(target_dir)
(out / "image.raw").write_bytes(b"x" * n * 1000)
(out / "image.packages").write_text(f"bash|None|{n}|None|amd64|None|None\\n")
record_image(out / "image.raw")
""",
    """\
if n == 2 and not os.path.exists("killed"):
    Path("killed").touch()
    os.kill(os.getppid(), 9)
    import time; time.sleep(30)
assert n != 3, f"three is too many: {'why ' * 30}not?\\nThe second line says <more>"
""",
)


REASON = (
    f"AssertionError: three is too many: {'why ' * 30}not?",
    "The second line says <more>",
)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("matrix")
    write_recipe(directory / "a.ipynb", *RECIPE)
    file = directory / "m.toml"
    file.write_text('[[recipe]]\npath = "a.ipynb"\n[parameters]\nn = [1, 2, 3]\n')
    return file


@pytest.fixture(scope="module")
def done(matrix: Path) -> subprocess.CompletedProcess[str]:
    """A run with two processes, one of which is killed, and with a cell that fails."""
    return subprocess.run(
        [sys.executable, "-m", "kiwinb", "matrix", matrix, "-j", "2", "-o", matrix.parent / "out"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_failed_cell_does_not_stop_the_others(
    matrix: Path, done: subprocess.CompletedProcess[str]
) -> None:
    assert done.returncode == 16, done.stderr
    assert "Traceback" not in done.stderr
    assert "1 of 3 cells did not pass: a--n=3" in done.stderr
    data = json.loads((matrix.parent / "out/summary.json").read_text())
    cells = {cell["name"]: cell for cell in data["cells"]}
    assert [cell["state"] for cell in cells.values()] == ["passed", "passed", "failed"]
    assert cells["a--n=3"]["problem"] == "\n".join(REASON)
    assert cells["a--n=2"]["size"] == 2000
    assert cells["a--n=2"]["packages"] == {"bash": "2"}


def test_the_cell_of_a_killed_process_goes_on_where_it_was(
    matrix: Path, done: subprocess.CompletedProcess[str]
) -> None:
    assert "was killed" in done.stderr
    data = json.loads((matrix.parent / "out/summary.json").read_text())
    assert data["cells"][1]["resumed"] == 4  # In [4], behind the injected parameters
    assert data["cells"][0]["resumed"] is None


def test_each_cell_has_its_own_directory(
    matrix: Path, done: subprocess.CompletedProcess[str]
) -> None:
    for n in (1, 2, 3):
        directory = matrix.parent / f"out/a--n={n}"
        manifest = json.loads((directory / "manifest.json").read_text())
        kinds = {item["name"]: item["kind"] for item in manifest["artefacts"]}
        assert kinds == {
            "image.raw": "image",
            "a.ipynb": "notebook",
            "junit.xml": "junit",
            "report.html": "report",
        }
        assert all((directory / name).is_file() for name in kinds)


def test_the_summary_compares_the_cells(
    matrix: Path, done: subprocess.CompletedProcess[str]
) -> None:
    out = matrix.parent / "out"
    assert done.stdout == f"{out / 'summary.html'}\n"
    html = (out / "summary.html").read_text()
    assert "2.0 KiB" in html
    assert "data:image/png;base64" in html
    assert "1 packages, 1 of them differ" in html
    assert set(re.findall(r"https?://[^/\"'\s)]+", html)) <= {"http://www.w3.org"}
    notebook = nbformat.read(out / "summary.ipynb", as_version=4)
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    suites = list(JUnitXml.fromfile(str(out / "junit.xml")))
    assert [(suite.name, suite.failures) for suite in suites] == [
        ("a--n=1", 0),
        ("a--n=2", 0),
        ("a--n=3", 1),
    ]


def test_reasons_are_whole_and_lead_to_the_reports(
    matrix: Path, done: subprocess.CompletedProcess[str]
) -> None:
    out = matrix.parent / "out"
    told = done.stderr.splitlines()
    place = next(n for n, line in enumerate(told) if "a--n=3: failed in cell 4 (if n" in line)
    assert told[place + 1 : place + 4] == [
        *(f"    {line}" for line in REASON),
        f"    Its report is {out / 'a--n=3/report.html'}",
    ]
    html = (out / "summary.html").read_text()
    assert all(escape(line, quote=False) in html for line in REASON)
    links = re.findall(r'href="([^"#]*/(?:report\.html|a\.ipynb))"', html)
    assert len(set(links)) == 6
    assert all((out / unquote(link)).is_file() for link in links)
    notebook = nbformat.read(out / "summary.ipynb", as_version=4)
    failures = notebook.cells[-3].outputs[0].data
    assert all(line in failures["text/plain"] for line in REASON)


def test_a_summary_without_failures_says_so() -> None:
    assert repr(Failures([{"state": "passed"}])) == "All cells passed."
    assert "All cells passed." in Failures([])._repr_html_()


def test_resume_runs_what_did_not_pass(
    matrix: Path, done: subprocess.CompletedProcess[str]
) -> None:
    log = matrix.parent / "log"
    log.unlink()
    with LocalPool(2) as pool:
        options = MatrixOptions(resume=True)
        outcomes = run_matrix(read_matrix(matrix), matrix.parent / "out", pool, options)
    assert [outcome.run.state for outcome in outcomes] == ["passed", "passed", "failed"]
    assert log.read_text() == "3 first\n"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 128 + signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_signal_ends_all_of_it(tmp_path: Path, number: signal.Signals, status: int) -> None:
    write_recipe(
        tmp_path / "a.ipynb",
        "n: int = 0",
        "import os, time; open(f'pid{n}', 'w').close(); time.sleep(600)",
    )
    file = tmp_path / "m.toml"
    file.write_text('[[recipe]]\npath = "a.ipynb"\n[parameters]\nn = [1, 2, 3]\n')
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "kiwinb",
        "matrix",
        file,
        "-j",
        "2",
        "-o",
        tmp_path / "out",
    ]
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, stderr=err)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("pid*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    process.wait(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in (tmp_path / "err").read_text()
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert len(list(tmp_path.glob("pid*"))) == 2
    saved = nbformat.read(tmp_path / "out/a--n=1/a.ipynb", as_version=4)
    assert saved.metadata["kiwinb"]["state"] == "interrupted"
