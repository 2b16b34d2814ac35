"""Metadata of rpm-md repositories, and resolving with it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rpm_repository import Rpm, host_paths, index, make_repository, repository

from kiwinb.errors import PackageError, RepositoryError
from kiwinb.packages import MANAGERS
from kiwinb.packages.indexed import directory_of
from kiwinb.packages.manager import PackageChanges, PackageRequest, ResolvedRepository
from kiwinb.packages.rpm.resolve import Resolver, Want

GROUPS = """<comps><group><id>base</id><name>Base System</name><packagelist>
<packagereq type="mandatory">alpha</packagereq><packagereq type="default">delta</packagereq>
<packagereq type="optional">gamma</packagereq><packagereq type="default">nobody</packagereq>
</packagelist></group></comps>"""
PACKAGES = (
    Rpm("alpha", requires=["beta >= 1", "/usr/share/gamma/deep"], recommends=["delta"]),
    Rpm("beta"),
    Rpm("beta", version="2.0-1"),
    Rpm("gamma", files={"/usr/share/gamma/deep": "x"}),
    Rpm("delta"),
    Rpm("broken", requires=["nothing >= 3"]),
    Rpm("against", conflicts=["beta"]),
    Rpm("patterns-small", provides=["pattern() = small"], requires=["delta"]),
    Rpm("release-small", provides=["product() = Small"]),
    Rpm("new", obsoletes=["delta"]),
    Rpm("dnf5", provides=["microdnf"]),
    Rpm("either", requires=["either-one"]),
    Rpm("either-a", provides=["either-one"]),
    Rpm("either-b", provides=["either-one"]),
)
DNF, ZYPPER = MANAGERS["dnf4"], MANAGERS["zypper"]

pytestmark = pytest.mark.needs("rpmbuild", "createrepo_c")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("made") / "repo", PACKAGES, groups=GROUPS)


@pytest.fixture
def own(made: Path, tmp_path: Path) -> ResolvedRepository:
    """The repository as a copy that a test may change."""
    copy = tmp_path / "repo"
    for file in made.rglob("*"):
        target = copy / file.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            target.write_bytes(file.read_bytes())
    return repository(copy)


def request(
    found: ResolvedRepository, tmp_path: Path, *names: str, **more: object
) -> PackageRequest:
    state = DNF.refresh([found], "x86_64", host_paths(tmp_path), force=False)
    asked = PackageRequest("x86_64", (found,), state, packages=names)
    return replace(asked, **more)  # type: ignore[arg-type]


def resolver(found: ResolvedRepository, tmp_path: Path) -> Resolver:
    return Resolver(request(found, tmp_path).state.metadata, [found], "x86_64")


def chosen(
    found: ResolvedRepository, tmp_path: Path, *wants: Want, recommended: bool = False
) -> list[str]:
    new = resolver(found, tmp_path).install(wants, recommended=recommended).new
    return [f"{item.name}-{item.version}" for item in new]


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf zypper", "package", "patternType")
def test_the_newest_packages_and_the_owners_of_files(
    own: ResolvedRepository, tmp_path: Path
) -> None:
    assert chosen(own, tmp_path, Want("alpha")) == ["alpha-1.0-1", "beta-2.0-1", "gamma-1.0-1"]
    assert "delta-1.0-1" in chosen(own, tmp_path, Want("alpha"), recommended=True)
    assert chosen(own, tmp_path, Want("beta = 1.0-1")) == ["beta-1.0-1"]
    assert chosen(own, tmp_path, Want("/usr/share/gamma/deep")) == ["gamma-1.0-1"]
    assert chosen(own, tmp_path, Want("g*a")) == ["gamma-1.0-1"]


@pytest.mark.parametrize(
    ("wants", "said"),
    [
        ([Want("alpa"), Want("beta")], "  alpa (near: alpha)"),
        ([Want("broken")], "nothing provides nothing >= 3 needed by broken-1.0-1.noarch"),
        ([Want("alpha"), Want("against")], "against-1.0-1.noarch conflicts with beta"),
        ([Want("pattern()", "large", shown="pattern:large")], "  pattern:large"),
    ],
)
def test_what_cannot_be_installed_is_named(
    own: ResolvedRepository, tmp_path: Path, wants: list[Want], said: str
) -> None:
    with pytest.raises(PackageError) as caught:
        resolver(own, tmp_path).install(wants)
    assert said in caught.value.problem and caught.value.remedy


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf zypper", "ignore")
def test_ignored_packages_are_not_installed(own: ResolvedRepository, tmp_path: Path) -> None:
    made = resolver(own, tmp_path)
    assert not made.install([Want("alpha")], ignore=["delta"], recommended=True).removed
    with pytest.raises(PackageError, match="beta"):
        made.install([Want("alpha")], ignore=["beta"])


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf zypper", "namedCollection")
def test_groups_of_dnf_and_patterns_of_zypper(own: ResolvedRepository, tmp_path: Path) -> None:
    asked = request(own, tmp_path, collections=("base system",))
    assert [want.text for want in DNF.wants(asked)] == ["alpha", "delta", "nobody"]  # type: ignore[attr-defined]
    with pytest.raises(PackageError, match=r"bass \(near: base\)"):
        DNF.wants(replace(asked, collections=("bass",)))  # type: ignore[attr-defined]
    wants = ZYPPER.wants(replace(asked, collections=("small",)))  # type: ignore[attr-defined]
    assert chosen(own, tmp_path, *wants) == ["delta-1.0-1", "patterns-small-1.0-1"]


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf zypper")
def test_a_forecast_of_all_transactions(own: ResolvedRepository, tmp_path: Path) -> None:
    first = request(own, tmp_path, "delta")
    second = replace(first, packages=("alpha", "new"))
    changes = PackageChanges(first, second, uninstall=("gamma",), delete=("beta",))
    found = DNF.forecast(replace(changes, uninstall=(), delete=()), host_paths(tmp_path))
    assert [(item.name, item.why) for item in found] == [
        ("alpha", "named"),
        ("beta", "dependency"),
        ("gamma", "dependency"),
        ("new", "named"),  # instead of delta, which it obsoletes
    ]
    assert [item.name for item in DNF.forecast(changes, host_paths(tmp_path))] == ["new"]
    assert all(item.size > 0 and len(item.sha256) == 64 for item in found)


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf")
@pytest.mark.parametrize(
    ("manager", "first", "then", "gone", "left"),
    [
        ("dnf4", ["delta"], ["alpha"], "alpha", ["delta"]),
        ("dnf4", ["beta"], ["alpha"], "alpha", ["beta"]),
        ("dnf4", ["alpha"], ["beta"], "alpha", ["beta"]),
        ("dnf5", ["dnf5", "alpha"], ["beta"], "alpha", ["beta", "dnf5"]),
        ("microdnf", ["microdnf", "alpha"], ["beta"], "alpha", ["beta", "dnf5"]),
        # rpm, where dnf5 is missing, does not know what is not needed any more.
        ("dnf5", ["alpha"], ["delta"], "alpha", ["beta", "delta", "gamma"]),
        ("dnf5", ["alpha"], ["delta"], "gamma", ["beta", "delta"]),
        ("dnf5", ["alpha"], ["dnf5"], "alpha", ["beta", "dnf5", "gamma"]),
        # Another package that provides what is needed is not installed in its stead.
        ("dnf4", ["either-a", "either"], ["delta"], "either-a", ["delta"]),
    ],
)
def test_a_forecast_of_what_stays_when_packages_are_removed(
    own: ResolvedRepository,
    tmp_path: Path,
    manager: str,
    first: list[str],
    then: list[str],
    gone: str,
    left: list[str],
) -> None:
    bootstrap = request(own, tmp_path, *first)
    changes = PackageChanges(bootstrap, replace(bootstrap, packages=(*then,)), uninstall=(gone,))
    found = MANAGERS[manager].forecast(changes, host_paths(tmp_path))
    assert [item.name for item in found] == left


def _damage_primary(state: Path) -> None:
    file = directory_of(state, 0) / "primary"
    file.write_bytes(file.read_bytes().replace(b"beta", b"bets"))


def _another_index(state: Path) -> None:
    file = directory_of(state, 0) / "repomd.xml"
    file.write_bytes(file.read_bytes() + b"\n")


def _more_files(state: Path) -> None:
    (directory_of(state, 0) / "group.more").write_text("x")


@pytest.mark.parametrize("damage", [_damage_primary, _another_index, _more_files])
def test_metadata_that_was_changed_is_not_used(
    own: ResolvedRepository, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    asked = request(own, tmp_path, "alpha")
    damage(asked.state.metadata)
    changes = PackageChanges(None, asked)
    with pytest.raises(RepositoryError, match="not what the repositories signed"):
        DNF.forecast(changes, host_paths(tmp_path))
    again = request(own, tmp_path, "alpha")
    assert again.state.digests == asked.state.digests
    assert DNF.forecast(PackageChanges(None, again), host_paths(tmp_path))


def test_metadata_is_read_once_and_older_one_is_refused(
    own: ResolvedRepository, tmp_path: Path
) -> None:
    state = request(own, tmp_path).state
    directory = Path(own.urls[0].removeprefix("file://"))
    index(directory, groups=GROUPS, revision="1800000000")
    assert request(own, tmp_path).state == state
    newer = DNF.refresh([own], "x86_64", host_paths(tmp_path), force=True)
    assert newer.digests != state.digests and newer.epoch == 1800000000


@pytest.mark.parametrize("spoil", ["no index", "damaged", "other packages"])
def test_a_repository_that_cannot_be_read(
    own: ResolvedRepository, tmp_path: Path, spoil: str
) -> None:
    directory = Path(own.urls[0].removeprefix("file://"))
    file = directory / "repodata/repomd.xml"
    if spoil == "no index":
        file.unlink()
    elif spoil == "damaged":
        file.write_bytes(file.read_bytes()[:200])
    else:
        (primary,) = directory.glob("repodata/*primary.xml*")
        primary.write_bytes(primary.read_bytes()[:-1] + b"x")
    with pytest.raises(RepositoryError) as caught:
        request(own, tmp_path)
    assert "test" in caught.value.problem and caught.value.remedy
    assert not [*(tmp_path / "cache/rpm/lists").rglob("current.json")]


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf zypper", "repository_gpgcheck")
def test_an_index_without_a_signature_is_refused(own: ResolvedRepository, tmp_path: Path) -> None:
    strict = replace(own, checked=True, packages_checked=False)
    with pytest.raises(RepositoryError, match="has no signature"):
        request(strict, tmp_path)


def test_a_repository_with_module_streams_is_refused(
    own: ResolvedRepository, tmp_path: Path
) -> None:
    directory = Path(own.urls[0].removeprefix("file://"))
    (tmp_path / "modules.yaml").write_text("---\ndocument: modulemd-defaults\nversion: 1\n...\n")
    words = ("modifyrepo_c", "--mdtype=modules", tmp_path / "modules.yaml", directory / "repodata")
    subprocess.run(words, check=True, capture_output=True)
    with pytest.raises(RepositoryError, match="the repository test has module streams"):
        request(own, tmp_path)


@pytest.mark.proves("package manager", "zypper", "product")
def test_products_of_zypper(own: ResolvedRepository, tmp_path: Path) -> None:
    asked = request(own, tmp_path, products=("Small",))
    wants = ZYPPER.wants(asked)  # type: ignore[attr-defined]
    assert chosen(own, tmp_path, *wants) == ["release-small-1.0-1"]
    wrong = ZYPPER.wants(replace(asked, products=("Smal",)))  # type: ignore[attr-defined]
    with pytest.raises(PackageError, match="product:Smal"):
        chosen(own, tmp_path, *wrong)


@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf zypper", "priority")
@pytest.mark.parametrize(
    ("priorities", "version"),
    [((None, None), "3.0-1"), ((1, 2), "2.0-1"), ((2, 1), "3.0-1"), ((None, 100), "2.0-1")],
)
def test_a_repository_with_a_lower_number_comes_first(
    priorities: tuple[int | None, int | None],
    version: str,
    own: ResolvedRepository,
    tmp_path: Path,
) -> None:
    place = make_repository(tmp_path / "newer", (Rpm("beta", "3.0-1"),))
    newer = replace(repository(place), alias="newer")
    used = [
        replace(item, priority=priority)
        for item, priority in zip((own, newer), priorities, strict=True)
    ]
    state = DNF.refresh(used, "x86_64", host_paths(tmp_path), force=False)
    (found,) = Resolver(state.metadata, used, "x86_64").install([Want("beta")]).new
    assert found.version == version
