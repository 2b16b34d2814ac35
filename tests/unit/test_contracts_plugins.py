"""What every plug-in promises, whatever its sort; a new one is tested without a change here.

What only whole builds can show is shown by tests that build. Root and rootless builds of all image
kinds, for each package manager: ``tests/build/test_rootless.py``. Builds that are killed and go on:
``tests/fault/test_kill.py``. That file systems, disks and bootloaders work: ``tests/boot``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from odd_tree import run_action
from plugin_registries import (
    PLUGINS,
    REGISTRIES,
    document_with,
    keys_with,
    raise_revision,
    type_with,
)

from kiwinb.checks import doctor, host, make_subject, problems
from kiwinb.checks.doctor import examine
from kiwinb.checks.requirements import tools_for
from kiwinb.description.schema.rules import Datatype, element_rules
from kiwinb.description.select import select
from kiwinb.description.sources import Sources
from kiwinb.errors import HostError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.formats import FORMATS
from kiwinb.images.inputs import BuildInputs
from kiwinb.sandbox import tools as tools_module
from kiwinb.sandbox.tools import TOOLS, find_tool
from kiwinb.settings import Settings
from kiwinb.storage.filesystem import FILESYSTEMS

EPOCH = 1_700_000_000
NAMED = {"package manager", "image kind", "disk format", "bootloader"}
"""Sorts whose plug-ins all have a name that the schema knows."""
CALLS_TOOLS = ("package manager", "image kind", "disk format", "file system")
"""Sorts whose plug-ins say which tools of the host they call."""
CHECKS = ("host_tools_installed", "container_tool_chain_installed")


def _datatypes() -> Iterator[Datatype]:
    for rule in element_rules().values():
        yield from (item.datatype for item in rule.attributes.values())
        if rule.content is not None:
            yield rule.content


@pytest.mark.parametrize(("sort", "name"), PLUGINS)
@pytest.mark.proves("package manager", "*")
@pytest.mark.proves("distribution", "*")
@pytest.mark.proves("image kind", "*")
@pytest.mark.proves("disk format", "*")
@pytest.mark.proves("file system", "*")
@pytest.mark.proves("bootloader", "*")
@pytest.mark.proves("initrd tool", "*")
def test_it_describes_itself(sort: str, name: str) -> None:
    registry = REGISTRIES[sort]
    plugin = registry[name]
    assert plugin.name == name and plugin.revision >= 1
    used = registry.use(name)
    assert (used.name, used.revision) == (name, plugin.revision)
    assert registry.get_used(used) == plugin
    known = [item for item in _datatypes() if item.plugin == sort]
    assert bool(known) == (sort != "initrd tool"), "the schema marks values that name plug-ins"
    assert any(item.accepts(name) for item in known) or sort not in NAMED
    honours: object = getattr(plugin, "honours", frozenset())
    assert isinstance(honours, frozenset) and all(isinstance(item, str) for item in honours)


@pytest.mark.parametrize(("sort", "name"), PLUGINS)
@pytest.mark.proves("package manager", "*")
@pytest.mark.proves("distribution", "*")
@pytest.mark.proves("image kind", "*")
@pytest.mark.proves("disk format", "*")
@pytest.mark.proves("file system", "*")
@pytest.mark.proves("bootloader", "*")
@pytest.mark.proves("initrd tool", "*")
def test_keys_cover_its_revision(
    sort: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys_with(tmp_path, sort, name)
    assert keys_with(tmp_path, sort, name) == before
    registry = REGISTRIES[sort]
    raise_revision(monkeypatch, registry, name)
    assert keys_with(tmp_path, sort, name) != before


@pytest.mark.parametrize(("sort", "name"), [item for item in PLUGINS if item[0] in CALLS_TOOLS])
@pytest.mark.proves("package manager", "*")
@pytest.mark.proves("image kind", "*")
@pytest.mark.proves("disk format", "*")
@pytest.mark.proves("file system", "*")
def test_a_missing_tool_is_told_with_its_remedy(
    sort: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = document_with(tmp_path, sort, name)
    image = select(document, arch="x86_64")
    plugin = REGISTRIES[sort][name]
    tools = plugin.tools(image) if sort == IMAGE_KINDS.sort else plugin.tools
    settings = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    there = tmp_path / "tools"
    there.mkdir()
    for tool in TOOLS:
        (there / tool).write_text("#!/bin/sh\n")
        (there / tool).chmod(0o755)
    for module in (tools_module, host, doctor):
        monkeypatch.setattr(module, "search_path", lambda: str(there))
    for tool in tools:
        assert tool in tools_for(image)
        (there / tool).rename(tmp_path / "away")
        remedy = f"sudo apt-get install {TOOLS[tool]}"
        found = problems(make_subject(document, image, settings))
        (told,) = (item for item in found if item.check in CHECKS)
        assert "lacks tools" in told.what and f": {tool}" in told.what
        assert told.remedy == f"Install them: {remedy}"
        missing = examine(tmp_path, arch="x86_64", settings=settings).missing
        told_by_doctor = [item.remedy for item in missing if item.what.startswith(f"{tool} for ")]
        assert told_by_doctor == [f"Run: {remedy}"]
        with pytest.raises(HostError, match=f"the tool {tool} is not installed") as caught:
            find_tool(tool)
        assert str(caught.value).endswith(f"Install it: {remedy}")
        (tmp_path / "away").rename(there / tool)
    assert not [
        item for item in problems(make_subject(document, image, settings)) if item.check in CHECKS
    ]


def _tree(root: Path) -> Path:
    for name, text in {
        "etc/os-release": "ID=debian\n",
        "etc/fstab": "",
        "usr/a/b": "b" * 9999,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "usr/link").symlink_to("a/b")
    (root / "boot").mkdir()
    for path in [*sorted(root.rglob("*"), reverse=True), root]:
        os.utime(path, (EPOCH - 1, EPOCH - 1), follow_symlinks=False)
    return root


def _made(sort: str, name: str, directory: Path) -> Mapping[str, str]:
    """Make the image of a description for which a plug-in is at work; digests of its files."""
    directory.mkdir()
    tree = _tree(directory / "tree")
    image = select(document_with(directory, sort, name), arch="x86_64")
    plan = IMAGE_KINDS[image.type.image].plan(image, BuildInputs(Sources(), EPOCH), "tree")
    made: dict[str, Path] = {}
    for step in plan.steps:
        inputs = {need.replace("-", "_"): made[need] for need in step.needs}
        made[step.name] = run_action(step.action, tree, directory / step.name, **inputs)
    files = {item.filename: made[item.step] / item.filename for item in plan.results}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def _makers() -> list[Any]:
    """The plug-ins that make files, with the tools that this takes."""
    found = []
    for sort, name in PLUGINS:
        if sort not in (IMAGE_KINDS.sort, FORMATS.sort, FILESYSTEMS.sort):
            continue
        needs = {"sfdisk"} if "oem" in type_with(sort, name) else {"xz"}
        if sort == FORMATS.sort:
            needs |= {*FORMATS[name].tools}
        elif name in FILESYSTEMS:
            needs |= {*FILESYSTEMS[name].tools}
        found.append(pytest.param(sort, name, marks=pytest.mark.needs(*needs), id=f"{sort}-{name}"))
    return found


@pytest.mark.parametrize(("sort", "name"), _makers())
@pytest.mark.proves("image kind", "*")
@pytest.mark.proves("disk format", "*")
@pytest.mark.proves("file system", "*")
def test_equal_inputs_give_equal_bytes(sort: str, name: str, tmp_path: Path) -> None:
    first = _made(sort, name, tmp_path / "first")
    assert first and _made(sort, name, tmp_path / "second-and-longer") == first
