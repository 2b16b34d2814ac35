"""A full store, cache or temporary directory: one error, and what was held stays held."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from store_actions import ObservedShell

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.space import SpaceWatch, build_places, explained_space
from kiwinb.checkpoints.store import Store
from kiwinb.errors import CommandError, KiwinbError, PackageError, RepositoryError, SpaceError
from kiwinb.sandbox.command import run as run_tool
from kiwinb.steps.step import DraftStep, HostPaths, Output, Step, StepContext, seal


@dataclass(frozen=True)
class Fill:
    """Write to one of the places until it is full."""

    where: str
    how: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        places = {
            "store": context.root,
            "cache": context.host.cache,
            "tmp": Path(tempfile.gettempdir()),
        }
        with tempfile.NamedTemporaryFile(dir=places[self.where]) as file:
            if self.how == "python":
                while True:
                    file.write(bytes(1 << 16))
            elif self.how == "tool":
                try:
                    run_tool(["dd", "if=/dev/zero", f"of={file.name}"], log=context.log)
                except CommandError as error:
                    raise PackageError("packages could not be installed:\n" + str(error)) from None
            else:
                database = sqlite3.connect(f"{file.name}.db")
                database.execute("create table t (data)")
                while True:
                    database.execute("insert into t values (zeroblob(100000))")
                    database.commit()


@dataclass(frozen=True)
class Small:
    name: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        (context.root / self.name).write_text(self.name)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """Small file systems for the store, the cache and temporary files."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    found = {name: tmp_path / name for name in ("store", "cache", "tmp")}
    for path in found.values():
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", path], check=True)
    monkeypatch.setenv("TMPDIR", str(found["tmp"]))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield found
    for path in found.values():
        subprocess.run(["umount", path], check=True)


def _steps(*last: DraftStep) -> tuple[Step, ...]:
    return seal((DraftStep("one", "One", Small("1")), *last))


@pytest.mark.parametrize("how", ["python", "tool", "sqlite"])
@pytest.mark.parametrize("where", ["store", "cache", "tmp"])
def test_each_place_and_each_way(places: dict[str, Path], where: str, how: str) -> None:
    store = Store.open(places["store"] / "checkpoints")
    steps = _steps(DraftStep("fill", "Fill", Fill(where, how), base="one"))
    with pytest.raises(SpaceError) as caught:
        run_steps(store, steps, HostPaths(cache=places["cache"]))
    said = str(caught.value)
    assert said.startswith("step fill: no space left on the file system of ")
    assert str(places[where]) in said
    if how == "tool":  # it is looked at when the tool says so; Python has tidied up already
        first = said.splitlines()[0]
        assert all(str(path) not in first for name, path in places.items() if name != where)
    assert " free" in said and "name another directory" in said
    assert [item.name for item in store.list()] == ["one"]
    assert store.verify_all() == {}
    assert not any((store.path / "drafts").iterdir())
    store.remove([step.key for step in steps])


def test_a_store_that_is_full_before(places: dict[str, Path]) -> None:
    store = Store.open(places["store"] / "checkpoints")
    run_steps(store, _steps(), HostPaths(cache=places["cache"]))
    steps = _steps(DraftStep("two", "Two", Small("2"), base="one"))
    ballast = places["store"] / "ballast"
    with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(SpaceError, match=r"(?s)the checkpoint store .*kiwinb checkpoints gc"):
        run_steps(store, steps, HostPaths(cache=places["cache"]))
    assert [item.name for item in store.list()] == ["one"]
    with pytest.raises(SpaceError, match="the checkpoint store"):
        Store.open(places["store"] / "other")
    with pytest.raises(SpaceError, match="the directory"):
        store.export_tree(steps[0].key, places["store"] / "tree")
    ballast.unlink()
    made = run_steps(store, steps, HostPaths(cache=places["cache"]))
    store.remove([item.key for item in made.values()])


def test_a_result_that_does_not_fit_once_more(places: dict[str, Path]) -> None:
    store = Store.open(places["store"] / "checkpoints")

    def run(name: str) -> None:
        large = ObservedShell("head -c 1600000 /dev/zero > large")
        steps = _steps(
            DraftStep("two", "Two", Small(name), base="one"),
            DraftStep("large", "Large", large, base="two"),
        )
        run_steps(store, steps, HostPaths(cache=places["cache"]))

    run("2")
    with pytest.raises(SpaceError, match=r"step large: .* the checkpoint store .*No space left"):
        run("3")
    assert sorted(item.name for item in store.list()) == ["large", "one", "two", "two"]
    assert store.verify_all() == {}
    assert not any((store.path / "drafts").iterdir())
    subprocess.run(["mount", "-o", "remount,size=9m", places["store"]], check=True)
    run("3")
    assert [item.name for item in store.list() if item.reused] == ["large"]
    store.remove([item.key for item in store.list()])


def test_a_full_image_is_not_a_full_disk(tmp_path: Path) -> None:
    watch = SpaceWatch(build_places(tmp_path, tmp_path))
    assert watch.explain(CommandError(["mcopy"], 1, ("No space left on device",))) is None
    assert watch.explain(OSError(5, "Input/output error")) is None
    with pytest.raises(ZeroDivisionError), explained_space(build_places(tmp_path, tmp_path)):
        raise ZeroDivisionError


def test_what_is_needed_is_said(tmp_path: Path) -> None:
    error = OSError(122, "Disk quota exceeded", str(tmp_path / "cache" / "x"))
    watch = SpaceWatch(build_places(tmp_path / "store", tmp_path / "cache"))
    found = watch.explain(error, needed=5 << 20)
    assert found is not None
    assert f"no space left on the file system of the download cache {tmp_path}" in (str(found))
    assert "about 5.0 MiB are needed" in str(found)


def test_a_file_system_that_tells_nothing_is_not_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in memory without a limit has no blocks, and so no free ones."""
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result([4096] * 2 + [0] * 8))
    places = build_places(tmp_path, tmp_path)
    with pytest.raises(CommandError), explained_space(places, needed=1 << 30):
        raise CommandError(["config.sh"], 1)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (RepositoryError, "Err:1 Packages\n  Write error - write (28: No space left on device)"),
        (PackageError, "E: You don't have enough free space in CACHE/archives/."),
    ],
)
def test_a_package_manager_that_has_removed_what_filled_the_disk(
    kind: type[KiwinbError], said: str, tmp_path: Path
) -> None:
    """There is space again when the error is looked at: these tools write to nothing else."""
    places = build_places(tmp_path / "store", tmp_path / "cache")
    error = kind(f"apt cannot do it:\n  {said}".replace("CACHE", f"{tmp_path}/cache"))
    with (
        pytest.raises(SpaceError, match=rf"the download cache {tmp_path}/cache") as caught,
        explained_space(places),
    ):
        raise error
    assert caught.value.remedy
