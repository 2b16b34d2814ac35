"""Faults of packages and repositories: the table, cell by cell."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from fault_report import Count
from made_signer import NAME, Signer, signer
from package_faults import (
    APP,
    DOCUMENT,
    FAULTS,
    PACKAGES,
    SOUND,
    Fault,
    Place,
    markdown,
    packages_signed_by,
)
from package_formats import ALIAS, EXPIRED, MANAGED
from package_server import served
from small_build import SYSTEMS

from kiwinb.build.appliance import Appliance
from kiwinb.checkpoints.treescan import to_json
from kiwinb.cli import main
from kiwinb.packages import MANAGERS, fetch
from kiwinb.packages.apt import stall
from kiwinb.settings import Settings, load_settings
from kiwinb.steps.progress import StepEvent

pytestmark = [pytest.mark.build, pytest.mark.fault, pytest.mark.account("root")]

DESCRIPTION = """\
<image schemaversion="8.5" name="faults">
  <description type="system">
    <author>A. Author</author><contact>author@example.org</contact>
    <specification>A tree whose packages have faults</specification>
  </description>
  <preferences>
    <version>1.0.0</version>
    <packagemanager>{manager}</packagemanager>
    <type image="oci" {derived}/>
  </preferences>
  {repository}
  <packages type="{stage}">{packages}</packages>
</image>
"""
REPOSITORY = """\
<repository alias="{alias}" {attributes} repository_gpgcheck="true" {checks}>
  <source path="{url}"><signing key="{key}"/></source>
</repository>"""
PATIENCE = 1
"""Seconds after which a server that stalls is given up."""


def _describe(directory: Path, manager: str, names: tuple[str, ...], **more: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    packages = "".join(f'<package name="{name}"/>' for name in names)
    given = {"derived": "", "stage": "image", **more}
    text = DESCRIPTION.format(manager=manager, packages=packages, **given)
    (directory / "config.xml").write_text(text)
    return directory


def _base_container(directory: Path, manager: str) -> Path:
    """Make an archive, as ``docker save`` does, of a tree with a shell."""
    system = SYSTEMS[manager]
    description = _describe(
        directory / "base",
        manager,
        MANAGED[manager].base,
        stage="bootstrap",
        repository=system.repositories(disk=False),
    )
    settings = Settings(store=directory / "base-store", cache=load_settings().cache)
    tree = Appliance(description, settings=settings).run_until("bootstrap")
    root = tree.export(directory / "base-root")
    layer = directory / "layer.tar"
    command: list[str | Path] = ["tar", "--numeric-owner", "-C", root, "-cf", layer, "."]
    subprocess.run(command, check=True)
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    named = [{"Config": "config.json", "RepoTags": ["base:one"], "Layers": ["layer.tar"]}]
    archive = directory / "base.tar"
    with tarfile.open(archive, "w") as tar:
        for name, value in (("config.json", config), ("manifest.json", named)):
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
        tar.add(layer, "layer.tar")
    return archive


@dataclass(frozen=True)
class Bench:
    """What all cells of a package manager share.

    Attributes:
        directory: Directory with the store, which holds the base tree.
        base: Archive of the base container.
        place: The repository.
        url: Where it is served.
    """

    directory: Path
    base: Path
    place: Place
    url: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    with signer(tmp_path_factory.mktemp("keys")) as keys:
        keys.gpg("--quick-gen-key", EXPIRED, "ed25519", "sign", "30d")
        yield keys


@pytest.fixture(scope="module")
def benches(
    tmp_path_factory: pytest.TempPathFactory, keys: Signer
) -> Iterator[Callable[[str], Bench]]:
    """Make the bench of a package manager when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def built(manager: str) -> dict[str, Path]:
            home, form = tmp_path_factory.mktemp("built"), MANAGED[manager].format
            return {name: form.build(item, home / name, keys) for name, item in PACKAGES.items()}

        @cache
        def make(manager: str) -> Bench:
            directory = tmp_path_factory.mktemp(manager)
            root = directory / "repository"
            root.mkdir()
            server, url = stack.enter_context(served(root))
            form = MANAGED[manager].format
            first = min(name for name, item in MANAGED.items() if item.format is form)
            place = Place(form, root, keys, built(first), server)
            return Bench(directory, _base_container(directory, manager), place, url)

        yield make


@dataclass(frozen=True)
class Cell:
    """One fault with one package manager.

    Attributes:
        fault: The fault.
        bench: That of the package manager.
        directory: A directory of its own.
        description: The description.
    """

    fault: Fault
    bench: Bench
    directory: Path
    description: Path

    @property
    def settings(self) -> Settings:
        """A store that all cells share, and a cache of its own."""
        return Settings(store=self.bench.directory / "store", cache=self.directory / "cache")

    def appliance(self) -> Appliance:
        """What is built."""
        return Appliance(self.description, settings=self.settings)

    def mend(self) -> None:
        """Put the repository right."""
        self.bench.place.publish(*SOUND)
        if self.fault.checks_packages:
            packages_signed_by(NAME)(self.bench.place)


def _make_cell(fault: Fault, manager: str, bench: Bench, directory: Path) -> Cell:
    key = directory / "key.asc"
    signer = bench.place.signer
    expired = signer.gpg("--armor", "--export", EXPIRED) if fault.name == "expired" else b""
    key.write_bytes(signer.key + expired)
    repository = REPOSITORY.format(
        alias=ALIAS,
        attributes=MANAGED[manager].attributes,
        checks='package_gpgcheck="true"' if fault.checks_packages else "",
        url=bench.url,
        key=key,
    )
    description = _describe(
        directory / "description",
        manager,
        fault.wanted,
        derived=f'derived_from="file://{bench.base}#base:one"',
        repository=repository,
    )
    cell = Cell(fault, bench, directory, description)
    for name in ("cache", "temporary"):
        (directory / name).mkdir()
    return cell


@contextmanager
def _disk(directory: Path, size: int) -> Iterator[Callable[[], None]]:
    """Put a small disk at a directory; yields what makes it large enough."""

    def grow() -> None:
        if size:
            subprocess.run(["mount", "-o", "remount,size=1g", directory], check=True)

    if not size:
        yield grow
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory], check=True)
    try:
        yield grow
    finally:
        subprocess.run(["umount", directory], check=True)


def _prepare(cell: Cell, patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """Run ``kiwinb system prepare``, which has to fail as the table says; return its error."""
    patch.setenv("KIWINB_STORE", str(cell.settings.store))
    patch.setenv("KIWINB_CACHE", str(cell.settings.cache))
    patch.setenv("TMPDIR", str(cell.directory / "temporary"))
    patch.setattr(tempfile, "tempdir", None)
    patch.setattr(stall, "PATIENCE", PATIENCE)
    patch.setattr(fetch, "STALL_SECONDS", PATIENCE)
    places = ("--description", str(cell.description), "--root", str(cell.directory / "root"))
    patch.setattr(sys, "argv", ["kiwinb", "system", "prepare", *places, "--clear-cache"])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr().err
    assert ended.value.code == cell.fault.error.exit_status, said
    return said


def _check_words(fault: Fault, said: str) -> None:
    """One error, with the names and the remedy."""
    assert "Traceback" not in said
    blocks = re.split(r"^kiwinb: ", said, flags=re.MULTILINE)
    assert len(blocks) == 2, said
    error = blocks[1]
    assert re.search(fault.message, error), error
    assert re.search(fault.remedy, error), error
    assert not fault.names_package or APP in error, error
    assert not fault.names_repository or re.search(rf"\b{ALIAS}\b", error), error


def _left_behind(cell: Cell) -> list[str]:
    """What no failed build may leave: drafts, temporary files, mounts and processes."""
    store, cache = cell.settings.store, cell.settings.cache
    found = [f"mount {line}" for line in _mounts(cell)]
    found += [str(path) for path in (store / "drafts").iterdir()]
    found += [str(path) for path in (cell.directory / "temporary").iterdir()]
    found += [str(path) for path in cache.glob("*/work/*")]
    found += [str(path) for path in cache.rglob(".new-*")]
    found += [str(path) for path in cell.directory.glob("root*")]
    return found


def _mounts(cell: Cell) -> list[str]:
    places = (f"{cell.directory}/", f"{cell.bench.directory}/")
    lines = Path("/proc/self/mounts").read_text().splitlines()
    own = str(cell.settings.cache) if cell.fault.disk else ""
    return [
        line
        for line in lines
        if any(place in f"{line.split()[1]}/" for place in places) and line.split()[1] != own
    ]


def _processes(cell: Cell) -> list[str]:
    """Processes of a build: children, and any that work in or on its directories."""
    marks = (str(cell.directory), str(cell.bench.directory))
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd", "ppid"]):
        about = process.info
        words = " ".join((*(about["cmdline"] or ()), about["cwd"] or ""))
        is_ours = about["ppid"] == os.getpid() or any(mark in words for mark in marks)
        if is_ours and about["pid"] != os.getpid():
            found.append(f"process {about['pid']} {words}")
    return found


def _wait_for_the_end(cell: Cell, before: list[str]) -> None:
    deadline = time.monotonic() + 5
    while (left := {*_processes(cell)} - {*before}) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


BUILDERS = (
    *("apt-ftparchive", "dpkg-deb", "rpmbuild", "rpmsign", "createrepo_c"),
    *("makepkg", "repo-add", "gpg", "tar"),
)
CELLS = [
    pytest.param(
        fault,
        manager,
        id=f"{manager}-{fault.name.replace(' ', '-')}",
        marks=pytest.mark.needs(*MANAGERS[manager].tools, *BUILDERS),
    )
    for manager in sorted(MANAGED)
    for fault in FAULTS
    if fault.concerns(manager)
]


def test_every_manager_has_the_table() -> None:
    assert MANAGED.keys() == MANAGERS.keys() == SYSTEMS.keys()


def test_the_document_is_up_to_date() -> None:
    wanted = "python tests/fault/package_faults.py writes it anew"
    assert DOCUMENT.read_text() == markdown(), wanted


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("fault", "manager"), CELLS)
@pytest.mark.proves("package manager", "dnf4 dnf5 microdnf pacman zypper", "package_gpgcheck")
@pytest.mark.proves("package manager", "*", "repository_gpgcheck")
def test_fault(
    fault: Fault,
    manager: str,
    benches: Callable[[str], Bench],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    count: Count,
) -> None:
    bench = benches(manager)
    cell = _make_cell(fault, manager, bench, tmp_path)
    cell.mend()
    Appliance(cell.description, settings=cell.settings).run_until("base")
    appliance = cell.appliance()
    held = {item.key for item in appliance.store.list()}
    running = _processes(cell)
    shutil.rmtree(cell.settings.cache)
    cell.settings.cache.mkdir()
    fault.spoil(bench.place)
    with _disk(cell.settings.cache, fault.disk) as grow:
        said = _prepare(cell, monkeypatch, capfd)
        _check_words(fault, said)
        assert {item.key for item in appliance.store.list()} == held
        assert _left_behind(cell) == []
        _wait_for_the_end(cell, running)

        grow()
        cell.mend()
        events: list[StepEvent] = []
        mended = cell.appliance().refresh().observed_by(events.append)
        tree = mended.run_until("packages")
        ran = {event.step.name for event in events if event.state in ("running", "done", "reused")}
        assert ran == {"packages"}
        listing = to_json(mended.store.scan(tree.step.key))
        assert f"usr/share/{APP}/file" in listing
        mended.store.remove([tree.step.key])
    count(f"packages: {fault.name}", 1, 1)


@pytest.mark.parametrize("manager", sorted(MANAGED))
def test_the_stores_are_whole(manager: str, benches: Callable[[str], Bench]) -> None:
    """After all faults."""
    bench = benches(manager)
    if (bench.directory / "store").exists():
        store = Appliance(
            bench.directory / "base",
            settings=Settings(store=bench.directory / "store", cache=load_settings().cache),
        ).store
        assert store.verify_all() == {}
