"""Live views in JupyterLab, Notebook and Voila, with kernels in any state and in narrow windows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab_server import Lab, jupyter_lab, menu, open_notebook, voila, write_notebook
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser]

VIEWS = [
    "import kiwinb\nkiwinb.browse('tree')",
    "kiwinb.explore('tree')",
    "kiwinb.diff('before', 'tree').browse()",
]
KEPT = ["import gc, kiwinb", "display(kiwinb.browse('tree'))", "gc.collect()"]
# Keeps all threads of Python from running, once the kernel has said that it is busy.
BUSY = "import ctypes, time\ntime.sleep(2)\nctypes.PyDLL(None).sleep(15)"
PANEL = """\
from dataclasses import dataclass
from kiwinb.notebook.panel import watch
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, seal

@dataclass(frozen=True)
class Nothing:
    name: str
    output = "tree"
    revision = 1

TITLES = {
    "bootstrap": "Install the 12 packages of the bootstrap section with apt",
    "repositories": "Configure the repositories of the description in the image",
    "config.sh": "Run the script config.sh in the image",
    "create-filesystem": "Make an ext4 file system and fill it with the root tree",
}

class SizedStore:
    def get(self, key):
        return type("Held", (), {"bytes": 1_234_567_890})()

    def log(self, held):
        return "Setting up libsystemd-shared:amd64 (252.38-1~deb12u1) ..."

steps = seal(tuple(DraftStep(name, title, Nothing(name)) for name, title in TITLES.items()))
with watch("small", steps, list(TITLES), SizedStore()) as observe:
    for number, step in enumerate(steps):
        observe(StepEvent(step, "held" if number < 2 else "done", seconds=123.0 * number))
"""
MODULES = "/usr/lib/modules/6.1.0-38-amd64/kernel/drivers/net"


def write_tree(place: Path, version: str, size: int) -> None:
    """A root tree with two packages and with paths as long as those of kernel modules."""
    contents = {
        "/etc/motd": b"hello\n",
        "/etc/hostname": b"box\n",
        "/usr/bin/tool": bytes(size),
        "/usr/share/doc/tool/README": f"tool {version}\n".encode(),
        f"{MODULES}/an-unusually-long-name-of-a-kernel-module-{'x' * 60}.ko": bytes(5000),
    }
    for number in range(9):
        contents[f"{MODULES}/ethernet/vendor{number}/driver{number}.ko"] = bytes(9000)
    for path, content in contents.items():
        file = place / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    packages = {"tool": version, "linux-image-6.1.0-38-amd64": "6.1.147-1", "other": "1"}
    if version == "1.0-1":
        del packages["other"]
    database = place / "var/lib/dpkg"
    (database / "info").mkdir(parents=True)
    (database / "status").write_text(
        "".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n"
            f"Version: {has}\nInstalled-Size: {size // 1024 * (index + 1)}\n"
            f"Maintainer: A\nDescription: {name}\n\n"
            for index, (name, has) in enumerate(packages.items())
        )
    )
    (database / "info/tool.list").write_text("/.\n/usr\n/usr/bin\n/usr/bin/tool\n")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("views")
    write_tree(place / "before", "1.0-1", 300_000)
    write_tree(place / "tree", "2:2.36.1-8+deb12u2", 700_000)
    write_notebook(place / "views.ipynb", VIEWS)
    write_notebook(place / "busy.ipynb", [*VIEWS, BUSY])
    write_notebook(place / "panel.ipynb", [PANEL])
    write_notebook(place / "kept.ipynb", KEPT)
    return place


@pytest.fixture(scope="module")
def lab(directory: Path) -> Iterator[Lab]:
    with jupyter_lab(directory, {}) as started:
        yield started


@pytest.fixture(scope="module")
def notebook(directory: Path) -> Iterator[Lab]:
    with jupyter_lab(directory, {}, "notebook") as started:
        yield started


def output(page: Page, cell: int) -> Locator:
    return page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea")


def run(page: Page, lab: Lab, name: str) -> None:
    lab.end_kernels()
    open_notebook(page, lab, name)
    menu(page, "Run", "Run All Cells")


def wait_until_run(page: Page) -> None:
    prompt = page.locator(".jp-Notebook .jp-Cell").last.locator(".jp-InputPrompt")
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=60_000)


def save(page: Page) -> None:
    page.keyboard.press("Escape")
    with page.expect_response(lambda got: got.request.method == "PUT" and got.ok):
        menu(page, "File", "Save Notebook")


def is_live(tree: Locator, sizes: Locator, difference: Locator) -> None:
    """Click through the three views."""
    tree.get_by_title("etc", exact=True).click()
    tree.get_by_title("motd", exact=True).click()
    expect(tree.locator(".preview pre")).to_have_text("hello\n")
    sizes.get_by_role("button", name="Pareto").click()
    expect(sizes.locator("polyline")).to_be_visible()
    sizes.get_by_label("Group by").select_option("extension")
    expect(sizes.locator("g[data-key='.ko']").first).to_be_visible()
    difference.get_by_role("button", name=re.compile("^Files")).click()
    expect(difference.locator(".rows tbody tr").first).to_contain_text("/usr")


@pytest.mark.parametrize("program", ["lab", "notebook"])
def test_views_are_live_and_saved_notebooks_static(
    program: str,
    page: Page,
    complaints: list[str],
    pictures: Path,
    request: pytest.FixtureRequest,
) -> None:
    server: Lab = request.getfixturevalue(program)
    open_notebook(page, server, "views.ipynb")
    complaints.clear()  # Notebook itself complains while it starts
    menu(page, "Run", "Run All Cells")
    wait_until_run(page)
    is_live(*(output(page, cell) for cell in range(3)))
    page.screenshot(path=pictures / f"views-{program}.png")
    save(page)
    assert complaints == []

    page.reload()  # with the same kernel
    is_live(*(output(page, cell) for cell in range(3)))
    server.end_kernels()
    saved = nbformat.read(server.directory / "views.ipynb", as_version=4)
    kinds = {kind for cell in saved.cells for out in cell.outputs for kind in out.get("data", {})}
    assert kinds == {"text/html", "text/plain"}
    assert "widgets" not in saved.metadata
    page.goto("about:blank")
    open_notebook(page, server, "views.ipynb")
    expect(output(page, 0)).to_contain_text("Largest directories")
    expect(output(page, 1).locator("img")).to_be_visible()
    expect(page.locator(".jp-Notebook")).not_to_contain_text("Error displaying widget")
    page.screenshot(path=pictures / f"views-{program}-next-day.png")


def test_views_are_live_in_voila(directory: Path, page: Page, pictures: Path) -> None:
    with voila(directory, {}) as url:
        page.goto(f"{url}/views.ipynb")
        views = page.locator(".kiwinb")
        expect(views).to_have_count(3)
        is_live(*(views.nth(number) for number in range(3)))
        page.screenshot(path=pictures / "views-voila.png", full_page=True)
        page.goto(f"{url}/panel.ipynb")
        expect(page.locator(".kiwinb .steps tbody tr")).to_have_count(4)
        expect(page.locator("body")).not_to_contain_text("Error displaying widget")
        page.screenshot(path=pictures / "panel-voila.png")


def test_a_view_stays_live_that_no_variable_holds(lab: Lab, page: Page) -> None:
    run(page, lab, "kept.ipynb")
    wait_until_run(page)
    output(page, 1).get_by_title("etc", exact=True).click()
    expect(output(page, 1).get_by_title("motd", exact=True)).to_be_visible()


def test_a_busy_kernel_leaves_what_is_shown(lab: Lab, page: Page, pictures: Path) -> None:
    run(page, lab, "busy.ipynb")
    tree, sizes, difference = (output(page, cell) for cell in range(3))
    quickly = 5_000
    expect(tree.locator("tbody button.name").first).to_be_visible(timeout=30_000)
    expect(sizes.locator("g[data-key='/usr']").first).to_be_visible(timeout=quickly)
    expect(sizes.locator(".groups tbody tr").first).to_contain_text("usr", timeout=quickly)
    expect(difference.locator(".rows tbody tr").first).to_contain_text("other", timeout=quickly)
    page.screenshot(path=pictures / "busy-first.png")
    tree.get_by_title("usr", exact=True).click()
    expect(tree.get_by_role("status")).to_contain_text("Waiting for the kernel", timeout=quickly)
    expect(tree.locator(".arrow").nth(1)).to_have_text("▸")
    sizes.get_by_label("Group by").select_option("type")
    expect(sizes.get_by_role("status")).to_contain_text("Waiting for the kernel", timeout=quickly)
    expect(sizes.locator("g[data-key='/usr']").first).to_be_visible()
    difference.get_by_role("button", name=re.compile("^Files")).click()
    expect(difference.get_by_role("status")).to_contain_text("Waiting", timeout=quickly)
    expect(difference.locator(".rows tbody tr").first).to_contain_text("other")
    sizes.get_by_role("button", name="icicle").click()  # keeps the choice before
    difference.locator("th[data-column=delta] button").click()
    page.screenshot(path=pictures / "busy-waiting.png")
    expect(tree.get_by_title("share", exact=True)).to_be_visible()
    expect(difference.locator(".rows tbody tr").first).to_contain_text("/usr")
    expect(sizes.locator("g[data-key='kernel module']").first).to_be_visible()
    expect(sizes.get_by_role("button", name="icicle")).to_have_attribute("aria-pressed", "true")
    ascending = difference.locator("th[data-column=delta][aria-sort=ascending]")
    expect(ascending).to_be_visible()
    for view in (tree, sizes, difference):
        expect(view.locator(".said")).to_have_text("")


def test_the_facts_of_another_file_go_at_once(lab: Lab, page: Page, pictures: Path) -> None:
    run(page, lab, "busy.ipynb")
    wait_until_run(page)
    tree = output(page, 0)
    tree.get_by_title("etc", exact=True).click()
    tree.get_by_title("motd", exact=True).click()
    preview = tree.locator(".preview")
    expect(preview.locator("pre")).to_have_text("hello\n")
    page.locator(".jp-Notebook .jp-Cell").last.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "busy")
    page.wait_for_timeout(3000)
    tree.get_by_title("hostname", exact=True).click()
    expect(preview).to_contain_text("hostname", timeout=2_000)
    expect(preview).to_contain_text("Loading", timeout=2_000)
    expect(preview).not_to_contain_text("hello", timeout=2_000)
    page.screenshot(path=pictures / "facts-loading.png")
    expect(preview.locator("pre")).to_have_text("box\n")


@pytest.mark.parametrize("how", ["menu", "elsewhere"])
def test_a_restarted_kernel_overwrites_nothing(
    how: str, lab: Lab, page: Page, complaints: list[str], pictures: Path
) -> None:
    run(page, lab, "views.ipynb")
    wait_until_run(page)
    tree, sizes, difference = (output(page, cell) for cell in range(3))
    is_live(tree, sizes, difference)
    if how == "menu":
        menu(page, "Kernel", "Restart Kernel…")
        page.get_by_role("button", name="Confirm Kernel Restart").click()
    else:
        (kernel,) = json.loads(lab.request("kernels"))
        lab.request(f"kernels/{kernel['id']}/restart", "POST")
    page.wait_for_timeout(3000)
    again = re.compile("Run the cell again")

    tree.get_by_title("usr", exact=True).click()
    expect(tree.get_by_role("status")).to_contain_text(again)
    usr = tree.locator("[data-row]").filter(has_text="usr").first
    expect(usr.locator(".arrow")).to_have_text("▸")
    if how == "menu":
        expect(tree.locator(".preview pre")).to_have_text("hello\n")
    tree.get_by_role("searchbox").fill("motd")
    page.wait_for_timeout(500)
    expect(tree.get_by_title("etc", exact=True)).to_be_visible()
    sizes.get_by_label("Group by").select_option("type")
    expect(sizes.get_by_role("status")).to_contain_text(again)
    expect(sizes.locator("g[data-key='.ko']").first).to_be_visible()
    expect(sizes.get_by_label("Group by")).to_have_value("extension")
    difference.get_by_role("searchbox").fill("motd")
    expect(difference.get_by_role("status")).to_contain_text(again)
    expect(difference.locator(".rows tbody tr").first).to_contain_text("/usr")
    for view in (tree, sizes, difference):
        expect(view).not_to_contain_text("Cannot send")
    page.screenshot(path=pictures / f"restarted-{how}.png")
    assert complaints == []


ALIGNED = "cells => cells.map(cell => getComputedStyle(cell).textAlign)"


def test_long_paths_are_shortened_in_the_middle(lab: Lab, page: Page, pictures: Path) -> None:
    run(page, lab, "views.ipynb")
    wait_until_run(page)
    tree = output(page, 0)
    tree.get_by_role("searchbox").fill("*.ko")
    names = tree.locator("tbody button.name")
    expect(names).to_have_count(10)
    name = tree.get_by_title(f"{MODULES}/ethernet/vendor3/driver3.ko")
    assert is_cut(name.locator(".head")) and not is_cut(name.locator(".tail"))
    expect(name.locator(".tail")).to_have_text("/driver3.ko")
    expect(name).to_have_accessible_name(f"{MODULES}/ethernet/vendor3/driver3.ko")
    page.screenshot(path=pictures / "paths-shortened.png")
    assert set(tree.locator(".number").evaluate_all(ALIGNED)) == {"right"}

    heading = tree.locator("th[data-column=name]")
    before = width(heading)
    box = heading.get_by_role("separator").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 403, box["y"] + 5, steps=8)
    page.mouse.up()
    assert width(heading) == pytest.approx(before + 400, abs=4)
    assert not is_cut(name.locator(".head"))
    page.screenshot(path=pictures / "paths-widened.png")
    heading.get_by_role("separator").focus()
    page.keyboard.press("ArrowLeft")
    assert width(heading) == pytest.approx(before + 384, abs=4)
    tree.get_by_role("button", name="Size").click()  # keeps the widths
    expect(tree.locator("th[data-column=usage]")).to_have_attribute("aria-sort", "ascending")
    assert width(heading) == pytest.approx(before + 384, abs=4)

    difference = output(page, 2)
    difference.get_by_role("button", name=re.compile("^Files")).click()
    expect(difference.locator(".rows tbody tr").first).to_contain_text("/usr")
    assert set(difference.locator(".number").evaluate_all(ALIGNED)) == {"right"}


def is_cut(element: Locator) -> bool:
    cut: bool = element.evaluate("one => one.scrollWidth > one.clientWidth")
    return cut


def width(element: Locator) -> float:
    box = element.bounding_box()
    assert box is not None
    return box["width"]


# Words that are broken inside, text that is cut without an ellipsis, and sizes that are not seen.
FAULTS = """view => {
  const faults = [];
  const texts = document.createTreeWalker(view, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const holder = node.parentElement;
    if (holder.closest('style, pre, svg, option') || !holder.checkVisibility()) continue;
    for (const { 0: word, index } of node.data.matchAll(/[^\\s/-]+/g)) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const boxes = [...range.getClientRects()].filter(({ width }) => width > 1);
      const lines = new Set(boxes.map(({ top }) => Math.round(top)));
      if (lines.size > 1 && word.length <= 18) faults.push(`broken: ${word}`);
      const { right } = range.getBoundingClientRect();
      for (let above = holder; view.contains(above); above = above.parentElement) {
        const style = getComputedStyle(above);
        if (style.overflowX === 'visible' || style.clipPath !== 'none') continue;
        if (right <= above.getBoundingClientRect().right + 1.5) continue;
        if (style.textOverflow !== 'ellipsis' || /^([KMG]iB|B|%)$/.test(word))
          faults.push(`cut: ${word} in ${above.className}`);
      }
      if (right > innerWidth) faults.push(`out of sight: ${word}`);
    }
  }
  return faults;
}"""
WINDOWS = (1400, 1000, 700, 500)


@pytest.mark.parametrize(("name", "count"), [("panel", 1), ("views", 3)])
def test_narrow_windows_break_no_word_and_hide_no_size(
    name: str, count: int, lab: Lab, page: Page, pictures: Path
) -> None:
    run(page, lab, f"{name}.ipynb")
    wait_until_run(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+B")
    page.wait_for_selector(".jp-FileBrowser", state="visible")
    if name == "views":
        output(page, 0).get_by_title("etc", exact=True).click()
        output(page, 0).get_by_title("motd", exact=True).click()
        expect(output(page, 0).locator(".preview pre")).to_have_text("hello\n")
    for window in WINDOWS:
        if window == WINDOWS[1]:
            page.keyboard.press("Control+B")
        look_at_width(page, window, name, count, pictures)
        sizes = output(page, 0).locator("td", has_text=re.compile(r"\d [KMG]iB"))
        assert sizes.count() >= 4 and sizes.last.is_visible()


def test_narrow_static_forms(lab: Lab, page: Page, pictures: Path) -> None:
    run(page, lab, "views.ipynb")
    wait_until_run(page)
    save(page)
    lab.end_kernels()
    page.goto("about:blank")
    open_notebook(page, lab, "views.ipynb")
    for window in WINDOWS[1:]:
        look_at_width(page, window, "static", 3, pictures)


def look_at_width(page: Page, window: int, name: str, count: int, pictures: Path) -> None:
    page.set_viewport_size({"width": window, "height": 1400})
    page.wait_for_timeout(1500)  # until all is laid out anew
    faults = {}
    for cell in range(count):
        view = output(page, cell).locator(".kiwinb")
        view.scroll_into_view_if_needed()
        view.screenshot(path=pictures / f"narrow-{name}-{cell}-{window}.png")
        faults[cell] = view.evaluate(FAULTS)
    assert not any(faults.values()), (window, faults)
