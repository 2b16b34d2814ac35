"""A real build on file systems that are too small: one error, and what was held stays held."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fault_report import Count
from small_build import settings, write_description

from kiwinb.build.appliance import Appliance
from kiwinb.errors import SpaceError

pytestmark = [pytest.mark.build, pytest.mark.fault]

MIB = 1 << 20
ROOM, LARGE = 8192, 4096 * MIB


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, which :func:`_resize` makes larger."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


def _resize(directory: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", directory], check=True)


def _used(directory: Path) -> int:
    status = os.statvfs(directory)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_the_store_is_full_at_each_step(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    """So is the temporary directory, which is on the same file system."""
    monkeypatch.setenv("TMPDIR", str(small))
    monkeypatch.setattr(tempfile, "tempdir", None)
    description = write_description(tmp_path)
    appliance = Appliance(description, settings=replace(settings(tmp_path), store=small / "store"))
    steps = (*appliance.plan.prepare, *appliance.plan.create)
    for step in steps:
        held = {item.key for item in appliance.store.list()}
        _resize(small, _used(small) + ROOM)
        with pytest.raises(SpaceError) as caught:
            appliance.session.run([step.name])
        said = str(caught.value)
        assert said.startswith(f"step {step.name}: ")
        assert f"the checkpoint store {small}/store" in said
        assert "kiwinb checkpoints gc" in said
        assert said.count("\n") < 4
        assert {item.key for item in appliance.store.list()} == held
        _resize(small, _used(small) + LARGE)
        appliance.session.run([step.name])
        assert {item.key for item in appliance.store.list()} == held | {step.key}
    assert appliance.store.verify_all() == {}
    target = small / "out"
    _resize(small, _used(small) + MIB)
    with pytest.raises(SpaceError, match=rf"the directory {target} \(.* free\)"):
        appliance.build(target)
    assert not any(target.iterdir())
    _resize(small, LARGE)
    assert appliance.build(target).path.is_file()
    appliance.store.remove([item.key for item in appliance.store.list()])
    count("full disk at a step or at delivery", len(steps) + 1, len(steps) + 1)


def test_the_cache_is_full(tmp_path: Path, small: Path, count: Count) -> None:
    cache = small / "cache"
    appliance = Appliance(
        write_description(tmp_path), settings=replace(settings(tmp_path), cache=cache)
    )
    with pytest.raises(SpaceError, match=rf"the download cache {cache}"):
        appliance.prepare()
    count("full cache", 1, 1)
