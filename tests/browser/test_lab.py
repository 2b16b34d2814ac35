"""A notebook in a real JupyterLab: run, stopped, resumed, and clicked through."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab_server import Lab, jupyter_lab, menu, open_notebook, write_notebook
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import Locator, Page, Route, expect
from small_build import write_description

from kiwinb.settings import load_settings

pytestmark = [pytest.mark.browser, pytest.mark.build]

CELLS = [
    "import kiwinb\n\nappliance = kiwinb.Appliance('description')\nappliance",
    "root = appliance.prepare()\nroot",
    "appliance.explain()",
    "root.browse()",
    "root.explore()",
    "base = appliance.run_until('bootstrap')\nchange = kiwinb.diff(base, root)\nchange.browse()",
]
SLOW_SCRIPT = """\
set -e
mkdir -p /srv/data
for number in $(seq 24); do echo "unit $number of 24"; sleep 0.5; done
"""
STEPS = [
    *("bootstrap", "packages", "overlay", "users", "identity", "repositories"),
    *("config.sh", "cleanup"),
]
BEFORE_SCRIPT = STEPS.index("config.sh")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lab")
    description = write_description(place)
    (description / "config.sh").write_text(SLOW_SCRIPT)
    write_notebook(place / "appliance.ipynb", CELLS)
    return place


@pytest.fixture(scope="module")
def environment(directory: Path) -> dict[str, str]:
    cache = load_settings().cache
    return {"KIWINB_STORE": str(directory / "store"), "KIWINB_CACHE": str(cache)}


@pytest.fixture(scope="module")
def lab(directory: Path, environment: dict[str, str]) -> Iterator[Lab]:
    with jupyter_lab(directory, environment) as started:
        yield started


def test_stop_resume_and_look_around(
    lab: Lab, page: Page, complaints: list[str], pictures: Path
) -> None:
    open_notebook(page, lab, "appliance.ipynb")
    stop_and_resume(page, pictures)
    browse_tree(output(page, 3), page, pictures)
    explore_sizes(output(page, 4), page, pictures)
    browse_difference(output(page, 5), page, pictures)
    assert complaints == []

    page.keyboard.press("Escape")
    menu(page, "File", "Save Notebook")
    page.wait_for_selector(".jp-mod-dirty", state="detached")
    saved = nbformat.read(lab.directory / "appliance.ipynb", as_version=4)
    kinds = {kind for cell in saved.cells for out in cell.outputs for kind in out.get("data", {})}
    assert kinds == {"text/html", "text/plain"}

    lab.end_kernels()  # and the next day
    page.goto("about:blank")
    open_notebook(page, lab, "appliance.ipynb")
    expect(output(page, 3).locator("table").first).to_contain_text("/usr/share")
    expect(page.locator(".jp-Notebook")).not_to_contain_text("Error displaying widget")
    page.screenshot(path=pictures / "lab-next-day.png")
    run_all(page)
    wait_until_run(page)
    assert states(output(page, 1)) == ["held"] * len(STEPS)


def test_headless_export_without_kernel(
    directory: Path,
    environment: dict[str, str],
    page: Page,
    complaints: list[str],
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(directory / "appliance.ipynb", as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(directory)}}).execute()
    assert "widgets" not in notebook.metadata
    html, _resources = HTMLExporter().from_notebook_node(notebook)
    file = directory / "appliance.html"
    file.write_text(html, encoding="utf-8")

    def offline(route: Route) -> None:  # scripts of the exporter's own, from the network
        route.fulfill(body="", content_type="text/javascript")

    page.route(re.compile("^https?:"), offline)
    page.goto(file.as_uri())
    text = page.locator("body").inner_text()
    for word in ("widget not found", "Error displaying widget", "Traceback"):
        assert word not in text
    for word in (
        "bootstrap",
        "Largest directories",
        "/usr/share",
        "by directory",
        "tzdata",
        "added",
    ):
        assert word in text
    assert page.locator(".kiwinb table").count() >= len(CELLS)
    widths = page.locator(".kiwinb img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert len(widths) == 2 and min(widths) > 400
    page.screenshot(path=pictures / "export.png", full_page=True)
    assert complaints == []


def stop_and_resume(page: Page, pictures: Path) -> None:
    run_all(page)
    panel = output(page, 1)
    script = panel.locator("details[data-step='config.sh']")
    script.locator("summary").click(timeout=180_000)  # after the steps before it
    expect(script.locator("pre")).to_contain_text("unit 3 of 24")
    expect(script.locator("pre")).to_contain_text("unit 5 of 24")  # goes on while unfolded
    assert script.get_attribute("open") is not None
    assert states(panel) == ["done"] * BEFORE_SCRIPT + ["running", "waiting"]
    page.screenshot(path=pictures / "panel-running.png")

    page.get_by_title("Interrupt the kernel").click()
    expect(panel.locator(".note")).to_contain_text("Stopped in the step config.sh")
    expect(panel.locator(".note")).to_contain_text("run the cell again")
    expect(panel).to_contain_text("Stopped. Run the cell again to go on.")
    expect(panel).not_to_contain_text("Traceback")
    assert states(panel) == ["done"] * BEFORE_SCRIPT + ["stopped", "waiting"]
    expect(script.locator("pre")).to_contain_text("unit 5 of 24")  # what was unfolded stays so
    page.screenshot(path=pictures / "panel-stopped.png")

    run_all(page)
    expect(panel.locator(".state.running")).to_be_visible()
    wait_until_run(page)
    assert states(panel) == ["held"] * BEFORE_SCRIPT + ["done", "done"]
    panel.scroll_into_view_if_needed()
    page.screenshot(path=pictures / "panel-resumed.png")


def browse_tree(tree: Locator, page: Page, pictures: Path) -> None:
    tree.scroll_into_view_if_needed()
    names = tree.locator("tbody button.name")
    expect(names.first).to_have_text("▾/")
    expect(names.nth(1)).to_have_text("▸usr")  # the largest first

    tree.get_by_title("usr", exact=True).click()
    expect(tree.get_by_title("share", exact=True)).to_be_visible()
    tree.get_by_title("etc", exact=True).click()
    tree.get_by_title("motd", exact=True).click()
    preview = tree.locator(".preview")
    expect(preview.locator("pre")).to_have_text("hello\n")
    page.screenshot(path=pictures / "tree.png")

    tree.locator("th[data-column=name] button").click()
    expect(names.nth(1)).to_have_text("→bin → usr/bin")
    names.nth(1).click()
    expect(preview).to_contain_text("/usr/bin, which is there")

    search = tree.get_by_role("searchbox")
    search.fill("bin/ping type:file")
    expect(names).to_have_count(1)
    names.first.click()
    expect(preview).to_contain_text("libc.so.6")
    expect(preview).to_contain_text("little endian")
    page.screenshot(path=pictures / "tree-program.png")
    tree.get_by_title("Show package:iputils-ping").click()
    expect(search).to_have_value("package:iputils-ping")
    expect(names.first).to_contain_text("ping")
    search.fill("no-such-file")
    expect(names).to_have_count(0)
    search.fill("")
    expect(names.first).to_have_text("▾/")


def explore_sizes(sizes: Locator, page: Page, pictures: Path) -> None:
    sizes.scroll_into_view_if_needed()
    sizes.locator("g[data-key='/usr'] rect").first.click(position={"x": 30, "y": 8})
    crumbs = sizes.locator(".crumbs")
    expect(crumbs.locator("b")).to_have_text("usr")
    expect(sizes.locator(".groups tbody tr").first).to_contain_text("share")
    sizes.locator("g[data-key='/usr/share'] rect").first.click(position={"x": 30, "y": 8})
    expect(crumbs.locator("b")).to_have_text("share")
    page.screenshot(path=pictures / "sizes-treemap.png")

    sizes.get_by_label("Group by").select_option("package")
    expect(crumbs.locator("b")).to_have_text("everything")
    expect(sizes.locator("g[data-key='tzdata']").first).to_be_visible()
    page.screenshot(path=pictures / "sizes-packages.png")
    sizes.get_by_role("button", name="Pareto").click()
    expect(sizes.locator("polyline")).to_be_visible()
    page.screenshot(path=pictures / "sizes-pareto.png")
    sizes.get_by_label("Group by").select_option("section")
    sizes.get_by_role("button", name="icicle").click()
    sizes.locator("g[data-key='libs'] rect").first.click()
    expect(crumbs.locator("b")).to_have_text("libs")
    page.screenshot(path=pictures / "sizes-icicle.png")
    crumbs.get_by_role("button", name="everything").click()
    sizes.get_by_label("Group by").select_option("extension")
    expect(sizes.locator("g[data-key='.so']").first).to_be_visible()


def browse_difference(difference: Locator, page: Page, pictures: Path) -> None:
    difference.scroll_into_view_if_needed()
    rows = difference.locator(".rows tbody tr")
    expect(rows.first).to_contain_text("tzdata")  # what grew most
    difference.get_by_role("searchbox").fill("ping")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("iputils-ping")
    page.screenshot(path=pictures / "difference-packages.png")
    difference.get_by_role("searchbox").fill("")
    difference.get_by_role("button", name=re.compile("^Files")).click()
    difference.get_by_role("button", name=re.compile("^changed")).click()
    expect(difference.locator(".change.added")).to_have_count(0)
    difference.locator("th[data-column=path] button").click()
    expect(rows.first).to_contain_text("/etc")
    page.screenshot(path=pictures / "difference-files.png")
    with page.expect_download() as download:
        difference.get_by_role("button", name="Export CSV").click()
    with download.value.path().open(newline="") as lines:
        exported = list(csv.DictReader(lines))
    assert download.value.suggested_filename == "files.csv"
    assert {row["change"] for row in exported} == {"changed"}
    assert len(exported) == rows.count()


def run_all(page: Page) -> None:
    menu(page, "Run", "Run All Cells")
    expect(last_prompt(page)).to_have_text("[*]:")


def wait_until_run(page: Page) -> None:
    expect(last_prompt(page)).to_have_text(re.compile(r"\[\d+\]:"), timeout=120_000)


def last_prompt(page: Page) -> Locator:
    return page.locator(".jp-Notebook .jp-Cell").last.locator(".jp-InputPrompt")


def output(page: Page, cell: int) -> Locator:
    return page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea")


def states(panel: Locator) -> list[str]:
    steps = panel.locator(".steps tbody tr")
    assert steps.locator("td:nth-child(2)").all_inner_texts() == STEPS
    return steps.locator("td:first-child").all_inner_texts()
