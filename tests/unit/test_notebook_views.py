"""Views of trees, differences and sizes: what they show and how they answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from notebook_tree import MemoryTree, table_of

from kiwinb.errors import InspectError
from kiwinb.inspect.diff import Difference
from kiwinb.notebook.browser import TreeBrowser
from kiwinb.notebook.explorer import SizeExplorer
from kiwinb.notebook.live import Shown
from kiwinb.notebook.package_diff import DifferenceBrowser
from kiwinb.notebook.preview import preview
from kiwinb.notebook.sizes import Sizes
from kiwinb.notebook.tree_index import TreeIndex

DRAW = {"op": "level", "width": 800, "height": 400}


@pytest.fixture
def browser() -> TreeBrowser:
    tree = MemoryTree()
    return TreeBrowser(tree, table_of(tree))


@pytest.fixture
def explorer() -> SizeExplorer:
    tree = MemoryTree()
    return SizeExplorer(tree, table_of(tree))


@pytest.fixture
def difference() -> DifferenceBrowser:
    packages = pd.DataFrame(
        [
            ("tar", "amd64", "1.34", "1.35", "upgraded", 100, 150, 50),
            ("vim", "amd64", "9.0", "", "removed", 2000, 0, -2000),
            ("zsh", "amd64", "", "5.9", "added", None, 10, None),
        ],
        columns=["name", "arch", "before", "after", "change", "size_before", "size_after", "delta"],
    ).astype(dict.fromkeys(("size_before", "size_after", "delta"), "Int64"))
    files = pd.DataFrame(
        [("/bin/\udcff", "changed", "content, mode", 5, 9, 4)],
        columns=["path", "change", "what", "size_before", "size_after", "delta"],
    )
    return DifferenceBrowser(Difference("old", "new", packages, files, 4096))


def paths(browser: TreeBrowser, text: str) -> list[str]:
    return [browser.index.paths[row] for row in browser.index.find(text)]


def test_index_sums_up_directories(browser: TreeBrowser) -> None:
    index = browser.index
    files = browser.files.set_index("path")["usage"]
    for row, path in enumerate(index.paths):
        prefix = path.rstrip("/") + "/"
        below = [other for other in files.index if other.startswith(prefix) and other != "/"]
        assert index.entries[row] == len(below)
        assert index.usage[row] == files[path] + files[below].sum()
        assert {index.paths[child] for child in index.children(row)} == {
            other for other in below if "/" not in other[len(prefix) :]
        }
        assert index.row(path) == row
    with pytest.raises(KeyError):
        index.row("/none")


def test_index_of_an_empty_tree() -> None:
    index = TreeIndex(table_of(MemoryTree({"/only": b""})).iloc[:1])
    assert index.usage.tolist() == [0]
    assert list(index.children(0)) == []


def test_find(browser: TreeBrowser) -> None:
    assert paths(browser, "MOTD") == ["/etc/motd"]
    assert paths(browser, "package:big type:file") == ["/usr/bin/big", "/usr/share/doc/big/README"]
    assert paths(browser, "*.txt") == ["/usr/share/odd/\udcff.txt"]
    assert paths(browser, "/usr/*/readme") == ["/usr/share/doc/big/README"]
    assert paths(browser, "owner:nobody") == []


def test_browser_answers_pages_in_order(browser: TreeBrowser) -> None:
    state = browser.state()
    names = [row["name"] for row in state["rows"]]
    assert names[0] == "usr" and set(names) == {"bin", "etc", "usr"}
    request = {"op": "children", "row": 0, "sort": "name", "descending": True, "offset": 1}
    answer = browser.answer(request)
    assert [row["name"] for row in answer["rows"]] == ["etc", "bin"]
    assert answer["count"] == 3
    found = browser.answer({"op": "find", "text": "type:file"})
    assert found["usage"] == browser.index.usage[0]
    with pytest.raises(InspectError):
        browser.answer({"op": "format"})


def test_everything_that_is_sent_is_json(
    browser: TreeBrowser, explorer: SizeExplorer, difference: DifferenceBrowser
) -> None:
    sent = [
        browser.state(),
        browser.answer({"op": "find", "text": "odd"}),
        browser.answer({"op": "preview", "row": browser.index.find("*.txt")[0]}),
        explorer.state(),
        explorer.answer({**DRAW, "by": "directory", "at": []}),
        difference.state(),
        difference.answer({"op": "rows", "table": "files"}),
        difference.answer({"op": "rows", "table": "packages"}),
        difference.answer({"op": "export", "table": "files"}),
    ]
    json.dumps(sent, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("view", ["browser", "explorer", "difference"])
def test_outputs_are_static_without_anybody_looking(
    view: str, request: pytest.FixtureRequest
) -> None:
    shown: Shown = request.getfixturevalue(view)
    bundle, metadata = shown._repr_mimebundle_()
    assert metadata == {}
    assert set(bundle) == {"text/html", "text/plain"}
    assert "<table>" in bundle["text/html"]
    for text in bundle.values():
        text.encode("utf-8")
    assert len(repr(shown)) < 400


def test_static_forms_tell_the_facts(
    browser: TreeBrowser, explorer: SizeExplorer, difference: DifferenceBrowser
) -> None:
    html, text = browser.static()
    assert "/usr/bin/big" in html and "/usr/share" in html and "/usr/bin/big" in text
    html, text = explorer.static()
    assert "data:image/png;base64," in html and "/usr" in text
    html, text = difference.static()
    assert "upgraded" in html and "1 upgraded" in text and "-2.0 KiB" in html


def test_descending(explorer: SizeExplorer) -> None:
    total = int(explorer.files["usage"].sum())
    for by in ("directory", "package", "type", "extension"):
        assert sum(group.usage for group in explorer.sizes.groups(by)) == total
    top = {group.key: group for group in explorer.sizes.groups("directory")}
    assert top["/usr"].usage == 12288 + 4096 + 4096 and not top["/usr"].leaf
    below = {
        group.label: group for group in explorer.sizes.groups("directory", ("/usr", "/usr/bin"))
    }
    assert below["big"].leaf and below["big"].usage == 12288
    packages = explorer.sizes.groups("package")
    assert [group.key for group in packages] == ["big", "(no package)"]
    inside = explorer.sizes.groups("package", ("big",))
    assert [(group.key, group.label, group.usage) for group in inside] == [
        ("/usr/bin", "usr/bin", 12288),
        ("/usr/share", "usr/share", 4096),
    ]
    (documents,) = explorer.sizes.groups("package", ("big", "/usr/share"))
    assert documents.label == "doc/big" and documents.usage == 4096
    with pytest.raises(InspectError):
        explorer.sizes.groups("colour")
    with pytest.raises(InspectError):
        explorer.sizes.groups("package", ("none",))
    with pytest.raises(InspectError):
        SizeExplorer(MemoryTree(), explorer.files, by="colour")


def test_names_that_are_not_utf8_can_be_descended_into() -> None:
    tree = MemoryTree({"/\udcff/a": b"a", "/\udcff/b": b"b"})
    sizes = Sizes(tree, table_of(tree))
    (group,) = (item for item in sizes.groups("directory") if item.usage)
    assert group.key == "/\\xff"
    assert {item.label for item in sizes.groups("directory", (group.key,))} >= {"a", "b"}


@pytest.mark.parametrize("view", ["treemap", "icicle", "pareto"])
def test_boxes_are_inside_and_as_large_as_what_they_show(view: str, explorer: SizeExplorer) -> None:
    level = explorer.answer({**DRAW, "by": "directory", "at": [], "view": view})
    assert sum(group["usage"] for group in level["groups"]) == level["usage"]
    outer = [item for item in level["boxes"] if item["depth"] == 0]
    assert bool(outer) == (view != "pareto")
    for item in level["boxes"]:
        left, top, width, height = item["box"]
        assert left >= 0 and top >= 0 and left + width <= 800.2 and top + height <= 400.2
    if view == "treemap":
        for item in outer:
            area = item["box"][2] * item["box"][3] / (800 * 400)
            assert area == pytest.approx(item["usage"] / level["usage"], abs=0.01)


def test_difference_filters_sorts_and_exports(
    difference: DifferenceBrowser, tmp_path: Path
) -> None:
    names = difference.select("packages", sort="delta", descending=True)["name"].tolist()
    assert names == ["tar", "vim", "zsh"]
    assert difference.select("packages", text="amd 9.0")["name"].tolist() == []
    assert difference.select("packages", text="9.0")["name"].tolist() == ["vim"]
    assert difference.select("packages", change="added")["name"].tolist() == ["zsh"]
    answer = difference.answer({"op": "rows", "table": "packages", "offset": 2})
    assert answer == {"rows": [["zsh", "amd64", "", "5.9", "added", None, 10, None]], "count": 3,
                      "delta": -1950}  # fmt: skip
    file = difference.export(tmp_path / "p.csv", "packages", change="removed")
    assert pd.read_csv(file)["name"].tolist() == ["vim"]
    for table, column in (("users", ""), ("files", "colour")):
        with pytest.raises(InspectError):
            difference.select(table, sort=column)


def facts(tree: MemoryTree, path: str) -> tuple[dict[str, str], str]:
    table = table_of(tree)
    seen = preview(tree, table[table["path"].eq(path)].iloc[0])
    return dict(seen.facts), seen.text


def test_previews() -> None:
    data = Path(shutil.which("true") or "").read_bytes()
    text = "grüß\n".encode()
    tree = MemoryTree({"/true": data, "/cut": data[:100], "/motd": text, "/bin/x": b"\0"})
    assert facts(tree, "/motd")[1] == "grüß\n"
    assert facts(tree, "/bin/x")[1].startswith("00000000  00")
    elf, _text = facts(tree, "/true")
    assert "libc.so.6" in elf["Needs"] and "Loader" in elf and elf["ELF"].startswith("program")
    assert facts(tree, "/cut")[0]["ELF"]
    link = facts(MemoryTree(), "/bin")[0]
    assert link["Points to"] == "usr/bin" and link["That is"] == "/usr/bin, which is there"
    assert "Mode" in facts(MemoryTree(), "/etc")[0]
