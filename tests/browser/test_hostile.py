"""A hostile image runs nothing in JupyterLab and in reports: its names and texts are only shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import MARK, TEXTS, write_hostile_tree
from lab_server import Lab, jupyter_lab, menu, open_notebook, write_notebook
from playwright.sync_api import Dialog, Locator, Page, Request, expect

from kiwinb.headless.outcome import OutcomeFiles, write_outcome
from kiwinb.headless.run import run_notebook

pytestmark = [pytest.mark.browser]

PANEL = f"""\
from kiwinb.notebook.panel import Panel, bundle
from kiwinb.steps.step import DraftStep, seal
from dataclasses import dataclass
from kiwinb.notebook.live import Live

@dataclass(frozen=True)
class Nothing:
    output = "tree"
    revision = 1

TEXTS = {[*TEXTS.values()]!a}
panel = Panel(" ".join(TEXTS), seal((DraftStep("script", " ".join(TEXTS), Nothing()),)), None)
panel.rows["script"].add(TEXTS)
panel.rows["script"].state = "failed"
live = Live("panel", {{"html": panel.body()}})
display(*bundle(panel.body(), panel.text(), live)[:1], raw=True)
"""
CELLS = [
    "import kiwinb\nkiwinb.browse('old')",
    "kiwinb.explore('old', by='package')",
    "kiwinb.diff('old', 'new').browse()",
    "from kiwinb.inspect.files import files\nfrom kiwinb.inspect.packages import packages\n"
    "tree = kiwinb.open_tree('old')\ntable = files(tree)\n"
    "table[table.path.str.startswith('/srv')].tail(30)",
    "packages(tree)",
    "from kiwinb.notebook.tables import shown\nshown(packages(tree))",
    f"kiwinb.expect.outcome.Outcome(*[{' '.join(TEXTS.values())!a}] * 3, False)",
    PANEL,
]
REMOVE = {
    "markup": "import kiwinb.html\nkiwinb.html._without_markup = lambda text: text",
    "mathematics": "import kiwinb.html\nkiwinb.html.NO_MATH = 'x'\n"
    "import kiwinb.inspect.table\nkiwinb.inspect.table.NO_MATH = 'x'",
    "script": "from kiwinb.notebook import live\nmodule = live._module\n"
    "live._module = lambda view: module(view).replace('element.append(...children.filter(',"
    ' \'for (const child of children) if (typeof child === "string") element.innerHTML += child;'
    ' element.append(...children.filter((child) => typeof child !== "string").filter(\')',
}
INJECTED = (
    "document.querySelectorAll(\"img[src='x'], [onerror], [onmouseover], a[href^='javascript'],"
    ' .jp-OutputArea script, .jp-OutputArea mjx-container").length'
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    write_hostile_tree(place / "old")
    write_hostile_tree(place / "new", "2.0")
    write_notebook(place / "hostile.ipynb", CELLS)
    for name, code in REMOVE.items():
        write_notebook(place / f"{name}.ipynb", [code, *CELLS])
    return place


@pytest.fixture(scope="module")
def lab(directory: Path) -> Iterator[Lab]:
    with jupyter_lab(directory, {}) as started:
        yield started


@pytest.fixture
def attacks(page: Page) -> list[str]:
    """What a page does that it was told by a name: dialogs, and requests to other hosts."""
    seen: list[str] = []

    def dialog(opened: Dialog) -> None:
        seen.append(f"dialog {opened.message}")
        opened.dismiss()

    def request(sent: Request) -> None:
        if not sent.url.startswith(
            ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:")
        ):
            seen.append(f"request {sent.url}")
        if sent.url.endswith("/x"):
            seen.append(f"request {sent.url}")

    page.on("dialog", dialog)
    page.on("request", request)
    return seen


def what_happened(page: Page, attacks: list[str]) -> list[str]:
    found = [*attacks]
    if page.evaluate("window.pwned") is not None:
        found.append("a script ran")
    if page.evaluate(INJECTED):
        found.append("elements were injected")
    text = page.evaluate("document.body.innerText")
    found += [repr(one) for one in ("\u202e", "\u2066", "\x1b", "\u200b", "\u3164") if one in text]
    return found


def output(page: Page, cell: int) -> Locator:
    return page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea")


def run(page: Page, lab: Lab, name: str) -> None:
    lab.end_kernels()
    open_notebook(page, lab, name)
    menu(page, "Run", "Run All Cells")
    prompt = page.locator(".jp-Notebook .jp-Cell").last.locator(".jp-InputPrompt")
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=120_000)


def look_around(page: Page, pictures: Path) -> None:
    """Click through all views."""
    tree, sizes, difference = (output(page, cell) for cell in range(3))
    tree.locator("input[type=search]").fill(MARK)
    expect(tree.locator("tr[data-row]").nth(20)).to_be_visible()
    for row in range(0, 20, 3):
        tree.locator("tr[data-row]").nth(row).click()
        expect(tree.locator(".preview th").first).to_be_visible()
    tree.screenshot(path=pictures / "hostile-tree.png")
    for by in ("package", "section", "directory"):
        sizes.get_by_label("Group by").select_option(by)
        sizes.get_by_role("button", name="Pareto").click()
        expect(sizes.locator("polyline")).to_be_visible()
        sizes.screenshot(path=pictures / f"hostile-sizes-{by}.png")
        sizes.get_by_role("button", name="treemap").click()
        sizes.locator("g.box rect").first.hover(force=True)
    for kind in ("^Files", "^Packages"):
        difference.get_by_role("button", name=re.compile(kind)).click()
        expect(difference.locator(".rows tbody tr").first).to_be_visible()
    difference.screenshot(path=pictures / "hostile-difference.png")


def test_a_hostile_image_is_only_shown(
    lab: Lab, page: Page, attacks: list[str], pictures: Path
) -> None:
    run(page, lab, "hostile.ipynb")
    look_around(page, pictures)
    for cell in range(3, len(CELLS)):
        output(page, cell).scroll_into_view_if_needed()
        expect(output(page, cell)).to_contain_text("window.pwned")
        output(page, cell).screenshot(path=pictures / f"hostile-{cell}.png")
    page.wait_for_timeout(1000)
    assert what_happened(page, attacks) == []


@pytest.mark.parametrize("name", REMOVE)
def test_without_the_escaping_it_is_not(
    name: str, lab: Lab, page: Page, attacks: list[str]
) -> None:
    run(page, lab, f"{name}.ipynb")
    page.wait_for_timeout(3000)
    assert what_happened(page, attacks)


def test_reports_only_show_it(
    directory: Path, page: Page, attacks: list[str], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    bad = [
        *CELLS,
        f"print({' '.join(TEXTS.values())!a}[:200])",
        f"raise ValueError({TEXTS['markup']!a})",
    ]
    write_notebook(directory / "report.ipynb", bad)
    done = run_notebook(directory / "report.ipynb", output=directory / "out.ipynb")
    write_outcome(done, OutcomeFiles(report=directory / "report.html"))
    page.goto((directory / "report.html").as_uri())
    expect(page.locator("body")).to_contain_text("window.pwned")
    page.wait_for_timeout(1000)
    page.screenshot(path=pictures / "hostile-report.png", full_page=True)
    assert what_happened(page, attacks) == []
