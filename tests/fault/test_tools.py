"""Tools of the host that are too old, crash, are killed or may not be executed: one clear error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_report import Count
from plugin_registries import PLUGINS, REGISTRIES, document_with
from small_build import settings, write_description

from kiwinb.build.appliance import Appliance
from kiwinb.checks import CheckErrors, make_subject, problems
from kiwinb.checks.doctor import examine
from kiwinb.description.select import select
from kiwinb.errors import HostError
from kiwinb.images import IMAGE_KINDS
from kiwinb.sandbox.command import run
from kiwinb.sandbox.tool_versions import LEAST
from kiwinb.sandbox.tools import TOOLS, search_path
from kiwinb.settings import Settings

pytestmark = [pytest.mark.build, pytest.mark.fault, pytest.mark.account("root")]

_OLD = {
    "mksquashfs": ("4.4", "mksquashfs version 4.4 (2019/08/29)"),
    "mkfs.erofs": ("1.2.1", "mkfs.erofs 1.2.1"),
    "mkfs.xfs": ("5.13.0", "mkfs.xfs version 5.13.0"),
}
"""Versions that distributions have or had, and what these print: of Debian 11 and Ubuntu 22.04."""

_FAULTS = {
    "crashes": ("kill -SEGV $$", r"crashed \(SIGSEGV\)", "--reinstall {package}"),
    "aborts": ("kill -ABRT $$", r"crashed \(SIGABRT\)", "--reinstall {package}"),
    "is killed for want of memory": ("kill -KILL $$", r"was killed \(SIGKILL\)", "out of memory"),
    "is killed in a wrapper": ("exit 137", r"was killed \(SIGKILL\)", "out of memory"),
}
"""What a tool does instead of its work; what the error says; and its remedy."""

_CALLS_TOOLS = [
    (sort, name)
    for sort, name in PLUGINS
    if sort == IMAGE_KINDS.sort or hasattr(REGISTRIES[sort][name], "tools")
]


_IN_PREPARE = ("bwrap", "apt-get", "dpkg-deb")
"""Tools that prepare runs on the host. The cage has a PATH of its own, and apt-cache ran before."""


class Wrappers:
    """Programs that stand before those of the host.

    Args:
        directory: Where they are; it stands first in ``PATH``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, tool: str, body: str, *, mode: int = 0o755) -> Path:
        """Put a shell script in the place of a tool."""
        path = self._directory / tool
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(mode)
        return path

    def put_late(self, tool: str, body: str) -> None:
        """Put a script in the place of a tool that tells its version as the tool does."""
        (self._directory / tool).unlink(missing_ok=True)
        real = shutil.which(tool, path=search_path())
        option = LEAST[tool].option if tool in LEAST else "--version"
        self.put(tool, f'[ "$1" = {option} ] && exec {real} "$@"\n{body}')

    def remove(self, tool: str) -> None:
        """Let the host's own tool be found again."""
        (self._directory / tool).unlink()


@pytest.fixture
def wrappers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wrappers]:
    """An empty directory of wrappers that all programs of the test find first."""
    directory = tmp_path / "wrappers"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    yield Wrappers(directory)


def _tools(sort: str, name: str, directory: Path) -> frozenset[str]:
    image = select(document_with(directory, sort, name), arch="x86_64")
    plugin = REGISTRIES[sort][name]
    return frozenset(plugin.tools(image) if sort == IMAGE_KINDS.sort else plugin.tools)


def test_every_version_is_tried() -> None:
    assert _OLD.keys() == LEAST.keys() <= TOOLS.keys()


@pytest.mark.needs(*LEAST)
@pytest.mark.parametrize("tool", LEAST)
def test_a_tool_that_is_too_old_is_told_before_the_build(
    tool: str, tmp_path: Path, wrappers: Wrappers, count: Count
) -> None:
    """Of each plug-in that calls it; it refuses what newer ones accept."""
    found, said = _OLD[tool]
    needed = ".".join(map(str, LEAST[tool].version))
    path = wrappers.put(tool, f'echo "{said}"\n[ "$1" = {LEAST[tool].option} ]')
    callers = [pair for pair in _CALLS_TOOLS if tool in _tools(*pair, tmp_path)]
    assert callers
    own = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    for sort, name in callers:
        document = document_with(tmp_path, sort, name)
        subject = make_subject(document, select(document, arch="x86_64"), own)
        (told,) = (p for p in problems(subject) if p.check == "host_tools_new_enough")
        assert f"{path} has version {found}, and {needed} or newer is needed" in told.what
        assert f"Install {TOOLS[tool]} {needed} or newer" in told.remedy
        missing = examine(tmp_path, arch="x86_64", settings=own).missing
        assert [item.remedy for item in missing if str(path) in item.what] == [told.remedy]
    assert any(str(path) in item.what for item in examine(settings=own).findings)
    count("tool that is too old", len(callers), len(callers))


@pytest.mark.needs("mksquashfs")
def test_no_step_runs_with_a_tool_that_is_too_old(
    tmp_path: Path, wrappers: Wrappers, count: Count
) -> None:
    found, said = _OLD["mksquashfs"]
    wrappers.put("mksquashfs", f'echo "{said}"')
    description = write_description(tmp_path, "squashfs")
    appliance = Appliance(description, settings=settings(tmp_path))
    with pytest.raises(CheckErrors, match=rf"has version {found}, and 4\.5 or newer") as caught:
        appliance.build(tmp_path / "out")
    assert caught.value.exit_status == 4
    assert not any((tmp_path / "store").glob("objects/*"))
    assert not (tmp_path / "out").exists()
    count("tool that is too old", 1, 1)


@pytest.mark.parametrize("fault", _FAULTS)
def test_each_tool_that_dies_is_named_with_its_remedy(
    fault: str, wrappers: Wrappers, count: Count
) -> None:
    body, what, remedy = _FAULTS[fault]
    for tool, package in TOOLS.items():
        wrappers.put(tool, f"echo its last words; {body}")
        with pytest.raises(HostError, match=rf"^the tool {tool} {what}\n  \| its last") as caught:
            run([tool, "something"])
        assert remedy.format(package=package) in (caught.value.remedy or "")
        assert caught.value.exit_status == 8
        wrappers.remove(tool)
    count("tool that crashes or is killed", len(TOOLS), len(TOOLS))


@pytest.mark.parametrize(
    ("body", "reason"),
    [("#!/nonexistent/sh\n", "No such file or directory"), ("\x7fELF\1", "Exec format error")],
    ids=["without its interpreter", "damaged"],
)
def test_a_tool_that_does_not_start_is_named(
    body: str, reason: str, wrappers: Wrappers, count: Count
) -> None:
    for tool, package in TOOLS.items():
        path = wrappers.put(tool, "")
        path.write_text(body)
        with pytest.raises(HostError, match=f"{tool} cannot be started: {reason}") as caught:
            run([tool])
        assert f"--reinstall {package}" in (caught.value.remedy or "")
        wrappers.remove(tool)
    count("tool that does not start", len(TOOLS), len(TOOLS))


def test_a_tool_that_may_not_be_executed_is_told_before_the_build(
    tmp_path: Path, wrappers: Wrappers, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    """It is not said to be missing alone: to install a package that is there does nothing."""
    path = wrappers.put("mksquashfs", "true", mode=0o644)
    for tool in TOOLS:
        if tool != "mksquashfs":
            wrappers.put(tool, "true")
    monkeypatch.setattr("kiwinb.sandbox.tools._SYSTEM_DIRECTORIES", ())
    monkeypatch.setenv("PATH", str(path.parent))
    document = document_with(tmp_path, IMAGE_KINDS.sort, "squashfs")
    own = Settings(store=tmp_path / "store", cache=tmp_path / "cache")
    subject = make_subject(document, select(document, arch="x86_64"), own)
    (told,) = (p for p in problems(subject) if p.check == "host_tools_installed")
    assert f"{path} may not be executed" in told.what
    assert told.remedy == "Install them: sudo apt-get install --reinstall squashfs-tools"
    with pytest.raises(HostError, match=f"the tool {path} is not executable"):
        run(["mksquashfs"])
    count("tool that may not be executed", 1, 1)


@pytest.mark.needs("mksquashfs", "mkfs.erofs", "xz")
@pytest.mark.timeout(900)
def test_a_build_goes_on_when_the_tool_works_again(
    tmp_path: Path, wrappers: Wrappers, count: Count
) -> None:
    """The tools of the package manager die in prepare, those of the images in create."""
    kinds = {"squashfs": "mksquashfs", "erofs": "mkfs.erofs", "tbz": "xz"}
    description = write_description(tmp_path, ",".join(kinds))
    own = settings(tmp_path)
    faults = list(_FAULTS.values())[:3:2]
    tried = 0
    for number, tool in enumerate(_IN_PREPARE):
        body, what, _remedy = faults[number % len(faults)]
        wrappers.put_late(tool, body)
        appliance = Appliance(description, type="squashfs", settings=own)
        with pytest.raises(HostError, match=rf"the tool {tool} {what}") as caught:
            appliance.prepare()
        assert str(caught.value).count("\n") < 5
        tried += 1
        wrappers.remove(tool)
    Appliance(description, type="squashfs", settings=own).prepare()
    for kind, tool in kinds.items():
        appliance = Appliance(description, type=kind, settings=own)
        held = {item.key for item in appliance.store.list()}
        for body, what, _remedy in faults:
            wrappers.put_late(tool, body)
            with pytest.raises(HostError, match=rf"the tool {tool} {what}"):
                appliance.build(tmp_path / "out" / kind)
            assert {item.key for item in appliance.store.list()} >= held
            tried += 1
        wrappers.remove(tool)
        assert appliance.build(tmp_path / "out" / kind).path.is_file()
    assert appliance.store.verify_all() == {}
    count("tool that dies in a build", tried, tried)
