"""Names and texts of other people are data in every view of the library and in its reports.

The lists of what has views come from the public classes, so one that is new has to be added here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nbformat
import pandas as pd
import pytest
from descriptions import document
from formats import make
from hostile import MARK, TEXTS, problems_of_html, unseen, write_hostile_tree
from IPython.core.interactiveshell import InteractiveShell
from store_actions import Write

import kiwinb
import kiwinb.html
import kiwinb.visible
from kiwinb import Appliance, Image, RootTree, open_tree
from kiwinb.build.imported import imported
from kiwinb.checks.doctor import Diagnosis, Finding
from kiwinb.errors import KiwinbError, Location
from kiwinb.expect.outcome import Expectations, Outcome
from kiwinb.headless import failure, junit, report
from kiwinb.headless.result import Cell, Expectation, Failure, NotebookRun
from kiwinb.inspect import plot
from kiwinb.inspect.breakdown import breakdown
from kiwinb.inspect.diff import Difference
from kiwinb.inspect.drawing import Picture
from kiwinb.inspect.files import files
from kiwinb.inspect.mtree import lines
from kiwinb.inspect.packages import chain
from kiwinb.matrix.reports import Failures, Reports
from kiwinb.notebook.browser import TreeBrowser
from kiwinb.notebook.explorer import SizeExplorer
from kiwinb.notebook.forecast import Forecast
from kiwinb.notebook.package_diff import BrowsableDifference, DifferenceBrowser
from kiwinb.notebook.panel import Panel
from kiwinb.notebook.reprs import Explanation, Steps, facts_html, facts_text
from kiwinb.notebook.tables import shown
from kiwinb.packages.manager import AvailablePackage
from kiwinb.results.record import BuildResult, DeliveredFile, ImageFacts
from kiwinb.settings import Settings
from kiwinb.steps.forecast import StepForecast
from kiwinb.steps.step import DraftStep, Step, seal

ALL = " ".join(TEXTS.values())


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A hostile tree, another version of it, and images of it by real tools."""
    place = tmp_path_factory.mktemp("trees")
    found = {name: write_hostile_tree(place / name, name) for name in ("1.0", "2.0")}
    (found["2.0"] / "new").write_bytes(bytes(9999))
    for kind in ("ext4", "tar"):
        found[kind] = make(kind, found["1.0"], place / f"image {kind}")
    return found


@pytest.fixture(scope="module")
def image(trees: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Image:
    path = trees["ext4"]
    described = document(tmp_path_factory.mktemp("description"))
    made = Appliance(described.file)
    facts = ImageFacts("test", "1", "x86_64", "ext4")
    names = (path.name, f"{MARK}{ALL}".replace("/", ""))
    delivered = tuple(
        DeliveredFile(f"{MARK}{ALL}", name, True, True, True, "k", 1, "0" * 64, 0, 0)
        for name in names
    )
    return Image(made.description, BuildResult(path.parent, facts, delivered))


@pytest.fixture(scope="module")
def root(trees: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> RootTree:
    place = tmp_path_factory.mktemp("root")
    settings = Settings(store=place / "store", cache=place / "cache")
    session = Appliance(document(place).file, settings=settings).session
    return RootTree(session, imported(session.store.import_tree(trees["1.0"])))


def forms(value: object) -> Iterator[tuple[str, Any]]:
    """All that IPython, a prompt and ``print`` show of a value."""
    yield "text/plain", repr(value)
    yield "text/plain", str(value)
    formatter = InteractiveShell.instance().display_formatter
    assert formatter is not None
    data, _metadata = formatter.format(value)
    yield from data.items()


def check(value: object) -> str:
    """Check all forms of a value; return them as one text."""
    seen = ""
    for kind, form in forms(value):
        if kind == "image/png":
            continue
        seen += form
        if kind == "text/html":
            assert problems_of_html(form) == []
        else:
            assert kind == "text/plain", "what shows a name in this form?"
            assert unseen(form) == []
    return seen


def check_message(data: object) -> str:
    """Check all texts in a message to the JavaScript of a view; return them as one text."""
    if isinstance(data, Mapping):
        kept = {key: value for key, value in data.items() if key != "csv"}
        return "".join(map(check_message, (*kept, *kept.values())))
    if isinstance(data, list | tuple):
        return "".join(map(check_message, data))
    if isinstance(data, str):
        assert unseen(data, "\n\t") == []
        return data
    assert data is None or isinstance(data, int | float | bool)
    return ""


def check_live(view: TreeBrowser | SizeExplorer | DifferenceBrowser, *asked: Any) -> str:
    seen = check(view) + check_message(view.state())
    return seen + "".join(check_message(view.answer(request)) for request in asked)


def _browser(value: TreeBrowser, most: int) -> str:
    rows = [row for row, path in enumerate(value.files["path"]) if MARK in path][:most]
    previews = [{"op": "preview", "row": row} for row in rows]
    found = [{"op": "find", "text": text} for text in (MARK, "owner:", "type:symlink")]
    return check_live(value, {"op": "children", "row": 0}, *found, *previews) + check(value.files)


def _explorer(value: SizeExplorer) -> str:
    size = {"width": 700, "height": 400}
    asked = [
        {"op": "level", "by": by, "at": (), "view": view, **size}
        for by in ("directory", "package", "section", "type", "extension")
        for view in ("treemap", "icicle")
    ]
    return check_live(value, *asked)


def _difference(value: Difference) -> str:
    browser = BrowsableDifference(**vars(value)).browse()
    asked = [
        {"op": op, "table": table, "sort": "delta"}
        for op in ("rows", "export")
        for table in ("packages", "files")
    ]
    tables = check(value.packages) + check(value.files) + check(browser.select("files"))
    return check(value) + check(value.summary()) + tables + check_live(browser, *asked)


def _tables(value: Image | RootTree) -> dict[str, Callable[[], str]]:
    return {
        "files": lambda: check(value.files()) + check(value.files()["path"]),
        "packages": lambda: check(value.packages()) + check(value.packages().set_index("name")),
        "unowned": lambda: check(value.unowned()),
        "verify": lambda: check(value.verify()),
        "breakdown": lambda: "".join(
            check(value.breakdown(by)) for by in ("directory", "package", "section", "extension")
        ),
        "browse": lambda: _browser(value.browse(), 40 if isinstance(value, Image) else 1),
        "explore": lambda: _explorer(value.explore()),
    }


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_view_of_an_image(image: Image) -> None:
    views = _tables(image)
    assert views.keys() | {"parts", "path", "tree"} == public(Image), "test the new view here"
    for name, view in views.items():
        assert MARK in view() or name == "verify", name  # its database states no digests
    assert MARK in check(image) + check(image.result)


@pytest.mark.account("root")
def test_every_view_of_a_root_tree(root: RootTree) -> None:
    views = _tables(root)
    others = {"create", "description", "export", "tree"}
    assert views.keys() | others == public(RootTree), "test the new view here"
    assert all(getattr(RootTree, name) is getattr(Image, name) for name in views)
    assert MARK in views["files"]()
    check(root)


@pytest.mark.parametrize("kind", ["1.0", "ext4", "tar"])
def test_trees(kind: str, trees: Mapping[str, Path]) -> None:
    with open_tree(trees[kind]) as tree:
        assert MARK in check(tree.scan())
        assert all(line.isascii() and line.isprintable() for line in lines(tree))
        assert MARK in "".join(check(str(link)) for link in chain(tree, f"{MARK}0"))
        table = files(tree)
    for draw in (plot.icicle(table), plot.pareto(breakdown(trees[kind], "extension"))):
        assert isinstance(draw, Picture) and draw.png()


def test_a_difference(trees: Mapping[str, Path]) -> None:
    difference = kiwinb.diff(trees["1.0"], trees["2.0"])
    assert MARK in _difference(difference)
    for of in ("packages", "directories"):
        assert plot.diff_bars(difference, of).png()


def test_every_name_of_the_package_is_looked_at() -> None:
    tested = {"Appliance", "Image", "RootTree", "browse", "diff", "expect", "explore", "open_tree"}
    assert tested | {"Overrides", "__version__", "open_root"} == {*kiwinb.__all__}


def _step() -> Step:
    [step] = seal((DraftStep("import", f"{MARK}{ALL}", Write("a", "b")),))
    return step


def test_what_builds_show(tmp_path: Path) -> None:
    step = _step()
    for value in (
        Steps((step,)),
        Explanation((StepForecast(step, False, (f"{MARK}{ALL}",)),)),
        Diagnosis((Finding(MARK, "missing", ALL),), f"{MARK}{ALL}"),
    ):
        assert MARK in check(value)
    assert problems_of_html(facts_html(ALL, [(ALL, ALL)])) == []
    assert unseen(facts_text(ALL, [(ALL, ALL)])) == []
    panel = Panel(f"{MARK}{ALL}", (step,), None)  # type: ignore[arg-type]
    row = panel.rows["import"]
    row.add(list(TEXTS.values()))
    row.state = "running"
    panel.end(KiwinbError(f"{MARK}{ALL}"))
    assert problems_of_html(panel.html()) == [] and unseen(panel.text()) == []
    assert panel.html().count("window.pwned") > 3


def test_what_recipes_show() -> None:
    outcome = Outcome(f"{MARK}{ALL}", ALL, ALL, False)
    gathered = Expectations([outcome])
    cell = dict.fromkeys(("name", "state", "problem", "where", "end", "report", "notebook"), ALL)
    package = AvailablePackage(f"{MARK}{ALL}", ALL, ALL, 1, ALL, 1, ALL)
    forecast = Forecast((package,))
    values: tuple[object, ...] = (
        *(outcome, gathered, gathered.table(), forecast, forecast.table()),
        *(Reports([{**cell, "log": [ALL]}]), Failures([{**cell, "log": [ALL]}])),
        shown(pd.DataFrame({ALL: [f"{MARK}{ALL}"]})),
        shown(pd.DataFrame({"required_by": [(f"{MARK}{ALL}",)]})),
    )
    for value in values:
        assert "window.pwned" in check(value)


def test_errors() -> None:
    error = KiwinbError(ALL, remedy=ALL, location=Location(Path(ALL), 1, 1, ALL))
    for text in (str(error), error.problem, error.summary, *error._render_traceback_()):
        assert unseen(text, "\n\t") == []
    assert "\\x1b[2J" in str(error) and "\\u202e" in str(error) and "\\xff" in str(error)


@pytest.fixture
def run(tmp_path: Path) -> NotebookRun:
    cell = Cell(1, f"{MARK}{ALL}", "", "failed", 1.0)
    problem = Failure("error", 1, ALL, tuple(TEXTS.values()), tuple(TEXTS.values()))
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(failure.annotation(problem, cell)),
            nbformat.v4.new_code_cell(
                "1",
                outputs=[
                    nbformat.v4.new_output("stream", text=_sent(ALL)),
                    nbformat.v4.new_output("execute_result", {"text/plain": _sent(ALL)}),
                    nbformat.v4.new_output("error", ename="E", evalue="", traceback=[_sent(ALL)]),
                ],
            ),
        ]
    )
    output = tmp_path / "out.ipynb"
    nbformat.write(notebook, output)
    expectation = Expectation(f"{MARK}{ALL}", ALL, ALL, False, 1)
    return NotebookRun(
        *(tmp_path / f"{MARK}{TEXTS['markup']}.ipynb", output, "failed", {ALL: ALL}),
        *((cell,), (expectation,)),
        failure=problem,
    )


def _sent(text: str) -> str:
    """A text as a kernel can send it, which is valid Unicode."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def test_junit(run: NotebookRun, tmp_path: Path) -> None:
    junit.write_junit(tmp_path / "junit.xml", [(f"{MARK}{ALL}", run)])
    suites = ET.fromstring((tmp_path / "junit.xml").read_bytes())
    texts = [
        *suites.itertext(),
        *(value for part in suites.iter() for value in part.attrib.values()),
    ]
    assert [one for text in texts for one in unseen(text, "\n\t")] == []
    assert any(TEXTS["markup"] in text for text in texts)


def test_reports(run: NotebookRun, tmp_path: Path) -> None:
    report.write_report(tmp_path / "report.html", run, [])
    html = (tmp_path / "report.html").read_text()
    assert unseen(html, "\n\t") == []
    for text in ("markup", "script"):
        assert TEXTS[text] not in html
    assert 'href="javascript:' not in html and html.count("window.pwned=1") > 5


def test_markdown_of_failures_stays_in_its_fence(run: NotebookRun) -> None:
    assert run.failure is not None
    text = failure.annotation(run.failure, run.cells[0])
    fence = next(line for line in text.splitlines() if line.startswith("```"))
    assert len(fence.removesuffix("text")) > 4 and unseen(text) == []
    ended = replace(run, ended=1, failure=None)
    assert "``" in failure.end_note(ended) and unseen(failure.end_note(ended)) == []


def _obey_controls(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kiwinb.visible, "_escaped", lambda found: found[0])


def _obey_markup(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kiwinb.html, "_without_markup", lambda text: text)


def _obey_mathematics(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kiwinb.html, "NO_MATH", "")


@pytest.mark.parametrize("remove", [_obey_controls, _obey_markup, _obey_mathematics])
def test_without_the_escaping_these_tests_fail(
    remove: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(monkeypatch)
    with pytest.raises((AssertionError, UnicodeEncodeError)):
        test_what_recipes_show()
