import random
import subprocess
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from inspect_trees import Deb, Item, MemoryTree, database

from kiwinb.errors import InspectError
from kiwinb.inspect.diff import FILE_COLUMNS, PACKAGE_COLUMNS, diff, diff_packages
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.packages.databases.database import Package
from kiwinb.packages.versions import compare_versions

Pairs = list[tuple[str, str]]
Items = Mapping[str, Item | bytes | str]


def changes(a: Items, b: Items) -> dict[Hashable, Any]:
    return diff(MemoryTree(a), MemoryTree(b)).files.set_index("path")["what"].to_dict()


def test_a_tree_and_itself() -> None:
    tree = MemoryTree({"/a": b"x", **database(Deb("p"))})
    found = diff(tree, tree)
    assert not found
    assert tuple(found.packages.columns) == PACKAGE_COLUMNS
    assert tuple(found.files.columns) == FILE_COLUMNS
    assert found.summary() == "packages: no change\nfiles: no change; ±0 B on disk"


def test_what_changed_in_a_file() -> None:
    before: Items = {
        "/content": b"one",
        "/longer": b"one",
        "/mode": Item(b"x", mode=0o644),
        "/owner": Item(b"x", uid=0),
        "/target": "here",
        "/type": b"x",
        "/touched": Item(b"x", mtime=1),
        "/both": Item(b"one", mode=0o600),
        "/same": b"x",
    }
    after: Items = {
        "/content": b"two",
        "/longer": b"three",
        "/mode": Item(b"x", mode=0o4755),
        "/owner": Item(b"x", uid=5),
        "/target": "there",
        "/type": "x",
        "/touched": Item(b"x", mtime=2),
        "/both": Item(b"two", mode=0o644),
        "/same": b"x",
    }
    assert changes(before, after) == {
        "/content": "content",
        "/longer": "content",
        "/mode": "mode",
        "/owner": "owner",
        "/target": "target",
        "/type": "type, mode",
        "/both": "content, mode",
    }


def test_added_and_removed_files_and_their_bytes() -> None:
    found = diff(MemoryTree({"/a": b"x" * 5000, "/b": b"y"}), MemoryTree({"/b": b"yy", "/c": b""}))
    rows = found.files.set_index("path")
    assert rows["change"].to_dict() == {"/a": "removed", "/b": "changed", "/c": "added"}
    assert rows["delta"].to_dict() == {"/a": -5000, "/b": 1, "/c": 0}
    assert found.usage == -8192
    assert "1 added, 1 removed, 1 changed; -8.0 KiB on disk" in found.summary()


def test_files_of_unchanged_packages_are_not_read_but_all_others_are() -> None:
    def tree(version: str, content: bytes) -> MemoryTree:
        files = {"/usr/kept": content, "/usr/new": content, "/etc/mine": content}
        debs = (Deb("kept", files=["/usr/kept"]), Deb("new", version, files=["/usr/new"]))
        return MemoryTree({**files, **database(*debs)})

    a, b = tree("1", b"1"), tree("2", b"2")
    found = diff(a, b)
    assert {"/usr/new", "/etc/mine"} <= set(found.files["path"])
    assert "/usr/kept" not in a.reads
    assert {"/usr/new", "/etc/mine"} <= set(a.reads)


def test_packages() -> None:
    a = database(
        Deb("down", "2"),
        Deb("gone", size=7),
        Deb("same"),
        Deb("up", "1.9", size=1),
        Deb("spelt", "1"),
    )
    b = database(
        Deb("down", "2~rc1"),
        Deb("new", size=3),
        Deb("same"),
        Deb("up", "1.10", size=5),
        Deb("spelt", "0:1"),
    )
    found = diff(MemoryTree(a), MemoryTree(b))
    rows = found.packages.set_index("name")
    assert rows["change"].to_dict() == {
        "down": "downgraded",
        "gone": "removed",
        "new": "added",
        "up": "upgraded",
    }
    assert rows["delta"].to_dict() == {"down": 0, "gone": -7168, "new": 3072, "up": 4096}
    assert (rows.loc["gone", "before"], rows.loc["gone", "after"]) == ("1.0-1", "")
    assert found.summary().startswith(
        "packages: 1 added, 1 removed, 1 upgraded, 1 downgraded; ±0 B"
    )


def test_states_of_packages() -> None:
    def of(state: str, version: str = "1") -> MemoryTree:
        text = Deb("app", version).paragraph().replace("ok installed", f"ok {state}")
        return MemoryTree({"/var/lib/dpkg/status": text.encode()})

    for before, after in (
        (of("unpacked"), of("installed")),
        (of("unpacked"), of("installed", "0:1")),
    ):
        found = diff(before, after)
        (row,) = found.packages.to_dict("records")
        assert (row["before"], row["change"], row["delta"]) == ("1 (unpacked)", "changed", 0)
        assert found.summary().startswith("packages: 1 changed")
    assert diff(of("half-configured"), of("half-configured")).packages.empty
    (row,) = diff(of("installed"), of("half-configured", "2")).packages.to_dict("records")
    assert (row["after"], row["change"]) == ("2 (half-configured)", "upgraded")


def test_lists_of_packages(tmp_path: Path) -> None:
    one, other = tmp_path / "a.packages", tmp_path / "b.packages"
    one.write_text("bash|None|5.1-2|None|amd64|None|None\nvim|None|1:9|None|amd64|None|None\n")
    other.write_text("bash|None|5.2-1|None|amd64|None|None\nkern|1|6.1|3.2|x86_64|None|GPL\n")
    found = diff(one, other)
    assert found.packages["change"].tolist() == ["upgraded", "added", "removed"]
    assert found.packages["after"].tolist() == ["5.2-1", "1:6.1-3.2", ""]
    assert found.packages["delta"].isna().all()
    assert found.usage is None
    assert "not compared" in found.summary()


def test_lists_of_rpm_packages_are_in_the_order_of_rpm(tmp_path: Path) -> None:
    for name, version in (("a", "1.0a"), ("b", "1.0^git")):
        line = f"zypper|None|{version}|1.1|x86_64|obs|GPL\n"
        (tmp_path / f"{name}.packages").write_text(line)
    found = diff(tmp_path / "a.packages", tmp_path / "b.packages")
    assert found.packages["change"].tolist() == ["downgraded"]


def test_a_list_and_a_tree(tmp_path: Path) -> None:
    path = tmp_path / "a.packages"
    path.write_text("bash|None|5.1|None|amd64|None|None\n")
    found = diff(path, MemoryTree(database(Deb("bash", "5.2"))))
    assert found.packages["change"].tolist() == ["upgraded"]


@pytest.mark.parametrize("text", ["bash 5.1\n", "|||||||\n", "a|b|c\n"])
def test_what_is_no_list_of_packages(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.packages"
    path.write_text(text)
    with pytest.raises(InspectError, match=r"a\.packages:1: not a line"):
        diff(path, path)


def test_directories_by_their_trees(tmp_path: Path) -> None:
    for name, text in (("a", "x"), ("b", "y")):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc/motd").write_text(text)
    found = diff(DirectoryTree(tmp_path / "a"), DirectoryTree(tmp_path / "b"))
    assert found.files["path"].tolist() == ["/etc/motd"]


def test_several_versions_of_one_package() -> None:
    def package(version: str) -> Package:
        return Package("kernel", version, "x86_64", f"kernel-{version}", 1)

    rows = diff_packages(
        [package("1"), package("2")], [package("2"), package("3")], compare_versions
    )
    assert rows["change"].tolist() == ["upgraded"]
    assert (rows["before"][0], rows["after"][0]) == ("1", "3")
    rows = diff_packages([package("1")], [package("2"), package("3")], compare_versions)
    assert sorted(rows["change"]) == ["added", "added", "removed"]


@pytest.mark.needs("dpkg")
def test_agrees_with_dpkg_on_a_thousand_pairs() -> None:
    pairs = _pairs(1000)
    with ThreadPoolExecutor(2) as threads:
        answers = [
            word for part in threads.map(_ask_dpkg, (pairs[:500], pairs[500:])) for word in part
        ]
    assert len(answers) == len(pairs) == 1000
    names = [f"p{number:04}" for number in range(len(pairs))]
    before = [Package(name, a, "all", name, 1) for name, (a, _) in zip(names, pairs, strict=True)]
    after = [Package(name, b, "all", name, 1) for name, (_, b) in zip(names, pairs, strict=True)]
    rows = diff_packages(before, after, compare_versions).set_index("name")["change"]
    ours = [rows.get(name, "same") for name in names]
    words = {"lt": "upgraded", "gt": "downgraded", "eq": "same"}
    assert ours == [words[answer] for answer in answers]
    assert min(ours.count(word) for word in words.values()) > 30


def _pairs(count: int) -> Pairs:
    """Versions as there are, and others that are a little different."""
    generator = random.Random(20240229)
    pieces = ["0", "00", "1", "9", "10", "~", "~~", "+", "-", ".", "a", "Z", "rc", "deb12u1", "+b1"]
    pairs: Pairs = []
    while len(pairs) < count:
        epoch = generator.choice(["", "", "0:", "1:", "2:"])
        one = epoch + generator.choice("0129") + "".join(generator.choices(pieces, k=5)).rstrip("-")
        other = list(one)
        for _ in range(generator.choice([0, 1, 1, 2])):
            place = generator.randrange(len(epoch) + 1, len(other) + 1)
            other[place : place + generator.randrange(2)] = generator.choice(pieces)
        changed = "".join(other).rstrip("-")
        if generator.random() < 0.1:  # another spelling of the same version
            changed = one if ":" in one else f"0:{one}"
        if generator.random() < 0.5:
            one, changed = changed, one
        if one != changed:
            pairs.append((one, changed))
    return pairs


def _ask_dpkg(pairs: Pairs) -> list[str]:
    script = """while read -r a b; do
        if dpkg --compare-versions "$a" lt "$b"; then echo lt
        elif dpkg --compare-versions "$a" gt "$b"; then echo gt
        else echo eq; fi; done"""
    text = "".join(f"{a} {b}\n" for a, b in pairs)
    done = subprocess.run(["sh", "-c", script], input=text, capture_output=True, text=True)
    return done.stdout.split()
