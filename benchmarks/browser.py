"""How quick the tree browser is: its first paint, and the unfolding of a folder.

Run it as ``python benchmarks/browser.py [--entries 300000] [--json FILE] [--no-chromium]``. It
makes a tree, scans it, and takes the times, in seconds, in the kernel: until there is an output
and the top of the tree, and until there are the children of a folder. Then it does the same in a
real JupyterLab in a real Chromium: from the moment the cell asks for the browser, or a folder is
clicked, until the page has painted the rows. On a host that has other work to do, compare the CPU
time (``cpu``) and the load average that is printed, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/browser"))

from scan import make_tree

from kiwinb.inspect.files import files
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.notebook.browser import TreeBrowser

CELLS = [
    "from kiwinb.inspect.files import files\n"
    "from kiwinb.inspect.formats.directory import DirectoryTree\n"
    "from kiwinb.notebook.browser import TreeBrowser\n"
    "from pathlib import Path\n"
    "tree = DirectoryTree(Path('tree'))\n"
    "table = files(tree)",
    "import time\nbegan = time.time()\nTreeBrowser(tree, table)",
    "print('began', began)",
]
PAINTED = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(
    () => resolve(Date.now() / 1000))))"""
CLICK = """(name) => new Promise((resolve) => {
    const body = document.querySelector('.kiwinb .tree tbody');
    const began = performance.now();
    new MutationObserver((_changes, watcher) => {
        watcher.disconnect();
        requestAnimationFrame(() => requestAnimationFrame(
            () => resolve((performance.now() - began) / 1000)));
    }).observe(body, { childList: true });
    body.querySelector(`[title="${name}"]`).click();
})"""


def in_kernel(root: Path) -> Mapping[str, float]:
    """Seconds of what the kernel does."""
    began = time.perf_counter()
    tree = DirectoryTree(root)
    table = files(tree)
    scanned, spent = time.perf_counter(), time.process_time()
    browser = TreeBrowser(tree, table)
    browser.static()
    json.dumps(browser.state())
    painted, spent = time.perf_counter(), time.process_time() - spent
    order = np.argsort(-browser.index.entries)
    folders = [int(row) for row in order if browser.index.directory[row]][:50]
    opened = []
    for row in folders:
        start = time.perf_counter()
        json.dumps(browser.answer({"op": "children", "row": row}))
        opened.append(time.perf_counter() - start)
    return {
        "entries": len(table),
        "scan_s": round(scanned - began, 3),
        "first_paint_s": round(painted - scanned, 3),
        "first_paint_cpu_s": round(spent, 3),
        "open_folder_median_s": round(statistics.median(opened), 5),
        "open_folder_max_s": round(max(opened), 5),
    }


def in_chromium(directory: Path) -> Mapping[str, float]:
    """Seconds until the page has painted, in JupyterLab."""
    from lab_server import chromium, jupyter_lab, menu, open_notebook, write_notebook

    write_notebook(directory / "tree.ipynb", CELLS)
    with jupyter_lab(directory, {}) as lab, chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        open_notebook(page, lab, "tree.ipynb")
        menu(page, "Run", "Run All Cells")
        page.wait_for_selector(".kiwinb .tree tbody tr:nth-child(3)")
        painted = page.evaluate(PAINTED)
        page.wait_for_selector("text=began >> nth=-1")
        said = page.locator(".jp-OutputArea-output:has-text('began 1')").inner_text()
        opened = [page.evaluate(CLICK, f"usr{number}") for number in range(7)]
        opened += [page.evaluate(CLICK, "usr0"), page.evaluate(CLICK, "usr0")]
        return {
            "first_paint_s": round(painted - float(said.split()[1]), 3),
            "open_folder_median_s": round(statistics.median(opened), 3),
            "open_folder_max_s": round(max(opened), 3),
        }


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--json", type=Path, help="write the results there, too")
    parser.add_argument("--no-chromium", action="store_true", help="measure the kernel alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        make_tree(directory / "tree", options.entries)
        results: dict[str, Mapping[str, float]] = {"kernel": in_kernel(directory / "tree")}
        if not options.no_chromium:
            results["chromium"] = in_chromium(directory)
        text = json.dumps({"load_average": os.getloadavg()[0], **results}, indent=2)
        print(text, flush=True)
        if options.json:
            options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
