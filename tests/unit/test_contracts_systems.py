"""What package managers, distributions and initrd tools promise, each for its sort."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from descriptions import document
from plugin_registries import REGISTRIES, keys_with
from small_build import SYSTEMS

from kiwinb.bootloader.kernel import find_kernel
from kiwinb.build.plan import plan_build
from kiwinb.description.schema.rules import element_rules
from kiwinb.description.select import select
from kiwinb.description.sources import Sources
from kiwinb.distributions import DISTRIBUTIONS, find_in_tree, named, of_mirror, used_with
from kiwinb.errors import ImageError, KiwinbError
from kiwinb.images.inputs import BuildInputs
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.initrd import build as build_module
from kiwinb.initrd.build import BuildInitrd, plan_initrd
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.mirrors import resolve
from kiwinb.settings import Settings
from kiwinb.steps.step import HostPaths, StepContext

EPOCH = 1_700_000_000
PARTS = {
    "package": '<package name="{0}"/>',
    "namedCollection": '<namedCollection name="{0}"/>',
    "product": '<product name="{0}"/>',
    "collectionModule": '<collectionModule name="{0}"/>',
    "ignore": '<ignore name="{0}"/>',
}
"""Children of ``<packages>`` that say what is installed."""
REPOSITORY = {"distribution": "stable"}
"""What managers that have no use for it pass over."""
VALUES = ("other", "9", "true", "false", "plusRecommended", "main other", "arm64")


def _context(root: Path) -> StepContext:
    host = HostPaths(root.parent)
    return StepContext(root, None, {}, host, lambda line: None, lambda done: None, rootless=False)


def _keys(
    directory: Path, manager: str, attributes: Mapping[str, str], installs: str = "", more: str = ""
) -> list[str]:
    said = " ".join(f'{name}="{value}"' for name, value in {**REPOSITORY, **attributes}.items())
    (directory / "key.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    image = select(
        document(
            directory,
            preferences="<preferences><version>1.0.0</version>"
            f'<packagemanager>{manager}</packagemanager><type image="cpio"/></preferences>',
            repository=f'<repository alias="own" {said}><source path="https://a.example.org/x">'
            '<signing key="key.asc"/></source></repository>',
            packages=f'<packages type="image" {installs}><package name="one"/>{more}</packages>'
            '<packages type="bootstrap"><package name="two"/></packages>',
        ),
        arch="x86_64",
    )
    settings = Settings(store=directory / "store", cache=directory / "cache")
    found = tuple(resolve(item, settings, directory, "x86_64") for item in image.repositories)
    state = RepositoryState((("own", "0" * 64),), EPOCH, directory)
    return [
        step.key for step in plan_build(image, BuildInputs(Sources(), EPOCH, found, state)).steps
    ]


def _variants(directory: Path, manager: str, part: str) -> Iterator[list[str]]:
    """The keys of builds in which one thing that a manager honours is different."""
    rules = element_rules()
    if part in rules["packages"].children:
        yield _keys(directory, manager, {}, more=PARTS[part].format("three"))
        return
    for element in ("repository", "packages"):
        rule = rules[element].attributes.get(part)
        for value in [*rule.datatype.values, *VALUES] if rule else []:
            if rule and not rule.datatype.accepts(value):
                continue
            if element == "repository":
                yield _keys(directory, manager, {part: value})
            else:
                yield _keys(directory, manager, {}, f'{part}="{value}"')


@pytest.mark.parametrize("name", MANAGERS)
@pytest.mark.proves("package manager", "*", "*")
def test_what_a_manager_honours_changes_a_key(name: str, tmp_path: Path) -> None:
    before = _keys(tmp_path, name, {})
    assert MANAGERS[name].honours
    for part in sorted(MANAGERS[name].honours):
        assert any(keys != before for keys in _variants(tmp_path, name, part)), part


@pytest.mark.parametrize("name", MANAGERS)
@pytest.mark.proves("package manager", "*")
def test_a_manager_configures_equal_trees_equally(name: str, tmp_path: Path) -> None:
    manager, found = MANAGERS[name], []
    repository = ResolvedRepository(
        *("own", "https://a.example.org/x", ("https://a.example.org/x",)),
        checked=False,
        distribution="stable",
        components=("main",),
        included_in_image=True,
        image_url="https://a.example.org/x",
    )
    for number in range(2):
        root = tmp_path / f"tree-{number}"
        for directory in ("etc", "var/cache", "var/lib", "var/log", "usr/share"):
            (root / directory).mkdir(parents=True)
        manager.configure_image(_context(root), (repository,))
        configured = [path for path in root.rglob("*") if path.is_file()]
        assert configured, "the image has a repository of its own"
        assert any("a.example.org" in path.read_text() for path in configured)
        found.append(
            [
                (str(p.relative_to(root)), p.stat().st_mode, p.is_file() and p.read_bytes())
                for p in sorted(root.rglob("*"))
            ]
        )
    assert all(item == found[0] for item in found)
    assert not any(name.startswith("/") for name in manager.traces)


@pytest.mark.parametrize("name", MANAGERS)
@pytest.mark.proves("package manager", "*")
def test_a_manager_finds_no_packages_in_an_empty_tree(name: str, tmp_path: Path) -> None:
    assert MANAGERS[name].installed(tmp_path) == ()
    assert MANAGERS[name].changes(tmp_path) == ""
    assert isinstance(MANAGERS[name].splits_versions, bool)


@pytest.mark.parametrize("name", MANAGERS)
@pytest.mark.proves("package manager", "*")
def test_a_manager_has_a_distribution_that_it_installs(name: str) -> None:
    assert any(name in item.managers for item in DISTRIBUTIONS.values())


@pytest.mark.parametrize("name", MANAGERS)
def test_builds_are_killed_resumed_and_compared_for_a_manager(name: str) -> None:
    """``tests/fault/test_kill.py`` and ``test_rootless.py`` build what is named there."""
    assert name in SYSTEMS


def _system(root: Path, name: str, *, kernel: str = "", release: str = "etc/os-release") -> Path:
    (root / release).parent.mkdir(parents=True, exist_ok=True)
    (root / release).write_text(f"ID={DISTRIBUTIONS[name].ids[0]}\n")
    if kernel:
        for path in (f"boot/{kernel}", "usr/lib/modules/6.1/modules.dep"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    return root


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.proves("distribution", "*")
def test_a_distribution_is_found_in_a_tree_and_from_a_description(
    name: str, tmp_path: Path
) -> None:
    distribution = DISTRIBUTIONS[name]
    for id in distribution.ids:
        for number, text in enumerate((f"ID={id}\n", f'ID=derived\nID_LIKE="{id}"\n')):
            file = tmp_path / f"{id}-{number}/etc/os-release"
            file.parent.mkdir(parents=True)
            file.write_text(text)
            assert find_in_tree(file.parents[1]) is distribution
    tree = _system(tmp_path / "usr-only", name, release="usr/lib/os-release")
    assert find_in_tree(tree) is distribution
    for word in (name, *distribution.aliases):
        assert named(word) is distribution
    for manager in distribution.managers:
        assert name in [used.name for used in used_with(manager)]
        assert find_in_tree(tree, used_with(manager)) is distribution
    for alias in distribution.mirrors:
        assert of_mirror(alias) is distribution
    others = [item for item in DISTRIBUTIONS.values() if item is not distribution]
    assert not {*distribution.mirrors, *distribution.aliases} & {
        word for item in others for word in (*item.mirrors, *item.aliases, item.name)
    }


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.proves("distribution", "*")
def test_a_tree_of_another_package_manager_is_refused(name: str, tmp_path: Path) -> None:
    mine = {*DISTRIBUTIONS[name].managers}
    other = next(item for item in DISTRIBUTIONS.values() if not mine & {*item.managers})
    with pytest.raises(
        ImageError, match=f"is of the distribution {name}, which the package"
    ) as told:
        find_in_tree(_system(tmp_path, name), used_with(other.managers[0]))
    assert str(told.value).endswith(f"one of: {', '.join(DISTRIBUTIONS[name].managers)}.")


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.proves("distribution", "*")
def test_a_distribution_is_sane(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    schema = element_rules()["packagemanager"].content
    assert schema is not None and distribution.managers
    assert all(schema.accepts(manager) for manager in distribution.managers)
    assert len({*distribution.ids}) == len(distribution.ids) > 0
    for path in (distribution.certificates.directory, distribution.grub_directory):
        assert path == str(Path(path)) and path.startswith("/") and ".." not in path
    assert re.fullmatch(r"[a-z0-9-]+", distribution.certificates.command)
    assert distribution.grub_prefix in ("grub-", "grub2-")
    for word in (*distribution.keyrings, *distribution.mirrors, *distribution.efi_vendors):
        assert re.fullmatch(r"[a-z0-9_-]+", word)
    assert {*distribution.efi_vendors} <= {*distribution.ids}
    assert {*distribution.grub_packages} == {"i386-pc", "x86_64-efi", "arm64-efi"}
    packages = [getattr(distribution.packages, item) for item in vars(distribution.packages)]
    packages += distribution.grub_packages.values()
    assert all(re.fullmatch(r"[a-z0-9{}+._-]+", package) for package in packages)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.proves("distribution", "*")
def test_names_of_kernels_and_initrds_go_there_and_back(name: str, tmp_path: Path) -> None:
    distribution = DISTRIBUTIONS[name]
    assert len({form.format("x") for form in distribution.kernels}) == len(distribution.kernels)
    assert not {form.format("6.1") for form in distribution.kernels} & {
        form.format("6.1") for form in distribution.initrds
    }
    for number, form in enumerate(distribution.kernels):
        for version in ("6.1", "6.1.0-13-amd64", "5.14.0-1.el9.x86_64", "6.6.1-arch1-1"):
            assert distribution.kernel_version(form.format(version)) == version
        tree = _system(tmp_path / str(number), name, kernel=form.format("6.1"))
        with pytest.raises(ImageError, match=r"no initrd for the kernel 6\.1") as told:
            find_kernel(tree, initrd=True)
        assert distribution.packages.initrd in str(told.value)
        for initrd in distribution.initrds:
            (tree / "boot" / initrd.format("6.1")).touch()
            kernel = find_kernel(tree, initrd=True)
            assert (kernel.version, kernel.file) == ("6.1", form.format("6.1"))
            assert kernel.initrd in [item.format("6.1") for item in distribution.initrds]


class _NoChroot:
    def __init__(self, *_given: object, **_options: object) -> None:
        pass

    def __enter__(self) -> _NoChroot:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def run(self, _argv: object, **_options: object) -> str:
        return ""


@pytest.mark.parametrize("name", INITRD_TOOLS)
@pytest.mark.proves("initrd tool", "*")
def test_a_tool_that_the_tree_lacks_is_told_with_its_package(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "Chroot", _NoChroot)
    for distribution in DISTRIBUTIONS.values():
        kernel = distribution.kernels[0].format("6.1")
        root = _system(tmp_path / distribution.name, distribution.name, kernel=kernel)
        assert not INITRD_TOOLS[name].find(root)
        action = BuildInitrd((INITRD_TOOLS.use(name),), EPOCH, used_with(distribution.managers[0]))
        with pytest.raises(ImageError, match=r"the kernel 6\.1 but no tool") as told:
            action.run(_context(root))
        package = INITRD_TOOLS[name].package(distribution)
        assert package and str(told.value).endswith(f"Add the package {package}.")


@pytest.mark.parametrize("name", INITRD_TOOLS)
@pytest.mark.proves("initrd tool", "*", "*")
def test_what_an_initrd_tool_honours_changes_a_key(name: str, tmp_path: Path) -> None:
    tool, rules = INITRD_TOOLS[name], element_rules()
    systems = rules["type"].attributes["initrd_system"].datatype
    assert tool.systems
    assert all(system is None or systems.accepts(system) for system in tool.systems)
    assert tool.honours <= {*rules["dracut"].attributes}
    settings = '<initrd action="add"><dracut {}="true"/></initrd>'
    keys = {
        part: keys_with(tmp_path, "initrd tool", name, settings.format(part) if part else "")
        for part in ("", *tool.honours)
    }
    assert all(keys[part] != keys[""] for part in tool.honours)


@pytest.mark.parametrize("name", INITRD_TOOLS)
@pytest.mark.proves("initrd tool", "*")
def test_a_tool_is_used_for_its_systems_only(name: str) -> None:
    systems: list[Any] = [
        None,
        *element_rules()["type"].attributes["initrd_system"].datatype.values,
    ]
    for system in systems:
        used = [item.name for item in plan_initrd(system, EPOCH).tools]
        assert (name in used) == (system in INITRD_TOOLS[name].systems)


@pytest.mark.parametrize("sort", REGISTRIES)
def test_an_unknown_name_is_told_with_those_that_are_known(sort: str) -> None:
    registry = REGISTRIES[sort]
    with pytest.raises(KiwinbError, match=f"kiwinb has no {sort} no-such-name") as told:
        registry.find("no-such-name")
    assert all(name in str(told.value) for name in registry)
    with pytest.raises(KiwinbError, match=f"no {sort} is named"):
        registry.find(None)
    near = next(iter(registry))
    with pytest.raises(KiwinbError, match=f"kiwinb has no {sort} {near}x.*\n.*Did you mean {near}"):
        registry.find(f"{near}x")
