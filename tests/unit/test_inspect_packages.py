from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd
import pytest
from inspect_trees import Deb, MemoryTree, database

from kiwinb.errors import InspectError
from kiwinb.inspect.packages import COLUMNS, chain, packages

Named = Mapping[str, Iterable[str]] | None
ESSENTIAL = "Essential: yes\n"


def table(
    *debs: Deb, named: Mapping[str, Iterable[str]] | None = None, **options: Any
) -> pd.DataFrame:
    return packages(MemoryTree(database(*debs, **options)), named).set_index("name")


def why(
    *debs: Deb, named: Mapping[str, Iterable[str]] | None = None, **options: Any
) -> dict[Hashable, Any]:
    return table(*debs, named=named, **options)["why"].to_dict()


def test_facts() -> None:
    tree = MemoryTree(
        database(Deb("curl", "7.1-2", "Section: web\nDepends: libc6 (>= 2)\n", size=3))
    )
    found = packages(tree)
    assert tuple(found.columns) == COLUMNS
    (row,) = found.to_dict("records")
    assert (row["name"], row["version"], row["arch"]) == ("curl", "7.1-2", "amd64")
    assert (row["installed_size"], row["section"]) == (3072, "web")


def test_a_size_that_no_disk_has_is_unknown() -> None:
    tree = MemoryTree(database(Deb("a", size=10**30), Deb("b", size=2)))
    assert packages(tree)["installed_size"].tolist() == [0, 2048]


def test_removed_packages_do_not_count() -> None:
    tree = MemoryTree(
        {
            "/var/lib/dpkg/status": b"Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\n"
            b"Package: b\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
        }
    )
    assert list(packages(tree)["name"]) == ["b"]


def test_from_essential_and_named_ones_along_dependencies() -> None:
    said = why(
        Deb("bash", fields=f"{ESSENTIAL}Pre-Depends: libc6\nDepends: base-files\n"),
        Deb("base-files", fields=ESSENTIAL),
        Deb("libc6"),
        Deb("curl", fields="Depends: libcurl4 (= 7), libc6:any\n"),
        Deb("libcurl4", "7", "Depends: libz\n", automatic=True),
        Deb("libz", automatic=True),
        Deb("passwd"),
        named={"bootstrap": ["passwd"], "image": ["curl", "passwd"]},
    )
    assert said == {
        "bash": "essential",
        "base-files": "essential",
        "libc6": "dependency of bash",
        "curl": "named in image",
        "libcurl4": "dependency of curl",
        "libz": "dependency of libcurl4",
        "passwd": "named in bootstrap and image",
    }


def test_alternatives_and_what_is_provided_are_told() -> None:
    said = why(
        Deb("base-files", fields=f"{ESSENTIAL}Depends: awk\n"),
        Deb("mawk", fields="Provides: awk\n", automatic=True),
        Deb("app", fields="Depends: exim4 | mail-transport-agent, old (>= 2) | new\n"),
        Deb("postfix", fields="Provides: mail-transport-agent\n", automatic=True),
        Deb("old", "1", automatic=True),
        Deb("new", automatic=True),
        named={"image": ["app"]},
    )
    assert said["mawk"] == "dependency of base-files, provides awk"
    assert said["postfix"] == (
        "dependency of app, provides mail-transport-agent, one of exim4 | mail-transport-agent"
    )
    assert said["new"] == "dependency of app, one of old | new"
    assert said["old"] == "installed for another package, but nothing here needs it"


@pytest.mark.parametrize(
    ("requirement", "meets"),
    [
        ("lib (>= 1.0)", True),
        ("lib (<< 1.0)", False),
        ("lib (= 1.0~rc1)", False),
        ("lib (>> 1.0~rc1)", True),
        ("lib (< 1.0)", True),
        ("virtual (>= 2)", True),
        ("virtual (>= 3)", False),
        ("bare (>= 1)", False),
        ("bare", True),
    ],
)
def test_versions_of_what_is_required(requirement: str, meets: bool) -> None:
    found = table(
        Deb("app", fields=f"Depends: {requirement}\n"),
        Deb("lib", "1.0", "Provides: virtual (= 2), bare\n"),
    )
    assert found.loc["lib", "required_by"] == (("app",) if meets else ())


def test_what_only_recommends_is_told_apart() -> None:
    found = table(
        Deb("app", fields="Recommends: extra\n"),
        Deb("extra", fields="Depends: lib\n", automatic=True),
        Deb("lib", automatic=True),
        Deb("tool", fields="Depends: lib\n"),
        named={"image": ["app"]},
    )
    assert found.loc["extra", "why"] == "recommended by app"
    assert found.loc["extra", "required_by"] == ()
    assert found.loc["extra", "recommended_by"] == ("app",)
    assert found.loc["lib", "required_by"] == ("extra", "tool")
    assert found.loc["tool", "why"] == "installed by name"


def test_without_notes_of_apt_and_without_names() -> None:
    said = why(
        Deb("bash", fields=ESSENTIAL),
        Deb("tar", fields="Priority: required\n"),
        Deb("app", fields="Depends: lib\n"),
        Deb("lib", fields="Depends: app\n"),
        Deb("top", fields="Depends: under\n"),
        Deb("under"),
        states=False,
    )
    assert said["tar"] == "part of the base system"
    assert said["top"] == "no other package needs it"
    assert said["under"] == "dependency of top"
    assert said["app"] == "installed for another package, but nothing here needs it"  # a circle


def test_the_way_to_a_package() -> None:
    tree = MemoryTree(
        database(
            Deb("app", fields="Depends: lib\n"),
            Deb("lib", fields="Depends: deep\n", automatic=True),
            Deb("deep", automatic=True),
        )
    )
    steps = chain(tree, "deep", {"image": ["app"]})
    assert [str(step) for step in steps] == [
        "dependency of lib",
        "dependency of app",
        "named in image",
    ]
    with pytest.raises(InspectError, match="Did you mean deep"):
        chain(tree, "deeep")
