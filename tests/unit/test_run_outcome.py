"""The files that tell of a run: JUnit XML, HTML report, artefacts."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import nbformat
import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from recipes import EXPECT, loaded, write_recipe

from kiwinb.headless.outcome import OutcomeFiles, write_outcome
from kiwinb.headless.result import NotebookRun
from kiwinb.headless.run import run_notebook
from kiwinb.results.artefacts import MANIFEST

RECIPE = (
    EXPECT + "size: int = 1",
    "# Outputs\n\n$x^2$ in a formula",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    "import ipywidgets\nfrom IPython.display import HTML, Javascript\n"
    "display(ipywidgets.IntSlider(), HTML('<b id=\"mine\">bold</b>'), Javascript('1'))",
    "from kiwinb.results.artefacts import record, record_image\nfrom pathlib import Path\n"
    "Path('disk.raw').write_bytes(b'disk'); record_image(Path('disk.raw'))\n"
    "Path('note.txt').write_text('x'); record('note.txt', 'note')\n"
    "expect('size', '< 4 \\x01', '1', True); expect('boots', 'login:', 'panic', False)",
    "print('\\x1b[1mlast \\x00 words\\x1b[0m')\nraise RuntimeError('<broken> & gone')",
    "1",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> NotebookRun:
    directory = tmp_path_factory.mktemp("run")
    recipe = write_recipe(directory / "recipe.ipynb", *RECIPE)
    return run_notebook(recipe, output=directory / "out.ipynb", parameters={"size": 3})


def test_junit_is_read_back_by_a_parser(run: NotebookRun, tmp_path: Path) -> None:
    write_outcome(run, OutcomeFiles(junit=tmp_path / "junit.xml"))
    [suite] = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == (
        "recipe",
        9,
        2,
        0,
        1,
    )
    assert {item.name: item.value for item in suite.properties()}["parameter:size"] == "3"
    cases = {case.name: case for case in suite}
    assert list(cases)[3] == "[4] import ipywidgets"
    assert all(case.time is not None for case in suite)
    failed = cases["[6] print('\\x1b[1mlast \\x00 words\\x1b[0m')"]
    [result] = failed.result
    assert isinstance(result, Failure)
    assert result.message == "RuntimeError: <broken> & gone"
    assert "raise RuntimeError" in result.text
    assert failed.system_out == "last \\x00 words"
    assert isinstance(cases["[7] 1"].result[0], Skipped)
    assert cases["[5] size"].is_passed
    unmet = cases["[5] boots"].result[0]
    assert isinstance(unmet, Failure)
    assert unmet.message == "boots: expected login:, measured panic"


def test_junit_tells_errors_from_failures(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "import os; os.kill(os.getpid(), 9)")
    died = run_notebook(recipe, output=tmp_path / "o.ipynb")
    write_outcome(died, OutcomeFiles(junit=tmp_path / "junit.xml"))
    [suite] = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert suite.errors == 1
    assert isinstance(next(iter(suite)).result[0], Error)


def test_report_needs_no_network_and_tells_all(run: NotebookRun, tmp_path: Path) -> None:
    write_outcome(run, OutcomeFiles(report=tmp_path / "report.html"))
    text = (tmp_path / "report.html").read_text()
    assert loaded(text) == []
    assert set(re.findall(r"https?://[^/\"'\s)]+", text)) <= {"http://www.w3.org"}  # XML names
    assert "widget-view" not in text
    for told in (
        "recipe.ipynb",
        "RuntimeError: &lt;broken&gt; &amp; gone",
        "login:",
        "does not hold",
        "disk.raw",
        "note.txt",
        '<b id="mine">bold</b>',
        "data:image/png;base64",
        "<h2>Parameters</h2>",
    ):
        assert told in text, told


def test_artefacts_are_collected_with_a_manifest(run: NotebookRun, tmp_path: Path) -> None:
    directory = tmp_path / "artefacts"
    (tmp_path / "artefacts").mkdir()
    (directory / "of-somebody-else").touch()
    collected = write_outcome(run, OutcomeFiles(artefacts=directory))
    manifest = json.loads((directory / MANIFEST).read_text())
    assert (manifest["state"], manifest["parameters"]) == ("failed", {"size": "3"})
    found = {(item["name"], item["kind"], item["cell"]) for item in manifest["artefacts"]}
    assert found == {
        ("disk.raw", "image", 5),
        ("note.txt", "note", 5),
        ("out.ipynb", "notebook", None),
        ("junit.xml", "junit", None),
        ("report.html", "report", None),
    }
    for item in manifest["artefacts"]:
        data = (directory / item["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (item["size"], item["sha256"])
    assert len(collected) == 5
    sha256 = next(item.sha256 for item in collected if item.kind == "image")
    assert sha256 in (directory / "report.html").read_text()


def test_artefacts_of_the_last_run_are_replaced(tmp_path: Path) -> None:
    source = "from kiwinb.results.artefacts import record\nopen('{0}', 'w').close(); record('{0}')"
    directory = tmp_path / "artefacts"
    for name in ("one", "two"):
        recipe = write_recipe(tmp_path / "r.ipynb", source.format(name))
        done = run_notebook(recipe, output=tmp_path / "o.ipynb")
        write_outcome(done, OutcomeFiles(artefacts=directory))
    assert not (directory / "one").exists()
    assert (directory / "two").exists()


def test_artefacts_of_one_name_are_told_apart(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "import os\nfrom kiwinb.results.artefacts import record\n"
        "for n in 'ab':\n    os.mkdir(n); open(f'{n}/x', 'w').write(n); record(f'{n}/x')",
    )
    done = run_notebook(recipe, output=tmp_path / "o.ipynb")
    write_outcome(done, OutcomeFiles(artefacts=tmp_path / "artefacts"))
    assert (tmp_path / "artefacts/x").read_text() == "a"
    assert (tmp_path / "artefacts/cell-1-x").read_text() == "b"


PAPERMILL = (
    '<span style="color:red">An Exception was encountered at '
    "'<a href=\"#papermill-error-cell\">In [2]</a>'.</span>"
)


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_mended_output_bears_no_marker_of_the_run_that_failed(
    tmp_path: Path, is_resumed: bool
) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "size = 1", "# Check", "assert size == 3", "size")
    failed = run_notebook(recipe, output=tmp_path / "failed.ipynb", parameters={"size": 2})
    assert not failed.passed
    mended = nbformat.read(tmp_path / "failed.ipynb", as_version=4)
    assert any("The run ended at this cell" in cell.source for cell in mended.cells)
    code = next(cell for cell in mended.cells if cell.source.startswith("assert"))
    code.source = "assert size == 2"
    code.metadata["papermill"] = {"status": "failed"}
    mended.metadata["papermill"] = {"exception": True}
    tags = {"tags": ["papermill-error-cell-tag"]}
    mended.cells.insert(0, nbformat.v4.new_markdown_cell(PAPERMILL, metadata=tags))
    mended.cells.append(nbformat.v4.new_code_cell("size", metadata={"tags": ["kiwinb-failure"]}))
    mended.cells.append(nbformat.v4.new_code_cell("1/0", metadata={"tags": ["skip-execution"]}))
    mended.cells[-1].metadata["execution"] = {"shell.execute_reply": "2020-01-01T00:00:00Z"}
    nbformat.write(mended, tmp_path / "mended.ipynb")
    output = tmp_path / "out.ipynb"
    for _ in range(1 + is_resumed):  # the second goes on from the output of the first
        done = run_notebook(tmp_path / "mended.ipynb", output=output, resume=is_resumed)
    write_outcome(done, OutcomeFiles(report=tmp_path / "report.html"))
    assert done.passed
    assert [cell.title for cell in done.cells] == [
        "size = 1",
        "Parameters",
        "Check",
        "size",
        "size",
    ]
    cells = nbformat.read(output, as_version=4).cells
    assert [cell.cell_type for cell in cells] == ["code"] * 2 + ["markdown"] + ["code"] * 4
    assert "execution" not in cells[-1].metadata
    for file in (output, tmp_path / "report.html"):
        text = file.read_text()
        for marker in ("The run ended", "papermill", "AssertionError"):
            assert marker not in text, (file, marker)


@pytest.mark.parametrize(
    "kind", ["attachment", "no image data", "not base64", "odd type", "error", "target"]
)
def test_a_report_that_fails_costs_nothing_else(
    tmp_path: Path,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "size = 1", "# ![picture](attachment:none.png)")
    done = run_notebook(recipe, output=tmp_path / "o.ipynb")
    executed = nbformat.read(done.output, as_version=4)
    if kind != "attachment":
        executed.cells.pop()
    data = {
        "no image data": {"image/png": None},
        "not base64": {"image/svg+xml": 1},
        "odd type": {"text/html": {"a": [1]}, "x/y; z": 1},
    }
    if kind in data:
        out = {"output_type": "display_data", "metadata": {}, "data": data[kind]}
        executed.cells[0].outputs = [nbformat.from_dict(out)]
    done.output.write_text(json.dumps(executed))
    report, artefacts = tmp_path / "report.html", tmp_path / "artefacts"
    artefacts.mkdir()
    if kind == "error":

        def broken(*_arguments: object) -> str:
            raise RecursionError

        monkeypatch.setattr("kiwinb.headless.report.to_html", broken)
    if kind == "target":
        report.mkdir()
    else:
        report.write_text("of an earlier run")
    files = OutcomeFiles(report, tmp_path / "junit.xml", artefacts)
    collected = {item.kind for item in write_outcome(done, files)}
    assert JUnitXml.fromfile(str(tmp_path / "junit.xml")).tests == 1
    assert JUnitXml.fromfile(str(artefacts / "junit.xml")).tests == 1
    assert (artefacts / "o.ipynb").read_bytes() == done.output.read_bytes()
    assert {"notebook", "junit"} <= collected
    manifest = json.loads((artefacts / MANIFEST).read_text())
    assert {item["kind"] for item in manifest["artefacts"]} == collected
    assert {item.name for item in artefacts.iterdir()} == {
        MANIFEST,
        *(item["name"] for item in manifest["artefacts"]),
    }
    said = [item.getMessage() for item in caplog.records if item.levelname == "WARNING"]
    missing = ("report" not in collected) + (not report.is_file())
    assert len(said) == missing
    assert all("There is no report of" in text and len(text) > 60 for text in said)
    assert not report.is_file() or report.read_text() != "of an earlier run"
    if kind not in data:  # nbconvert shows some of these
        assert missing == (1 if kind == "target" else 2)


def test_junit_takes_every_file_name(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r\x01.ipynb", "1")
    done = run_notebook(recipe, output=tmp_path / "o.ipynb")
    write_outcome(done, OutcomeFiles(junit=tmp_path / "junit.xml"))
    [suite] = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert suite.name == "r\\x01"
