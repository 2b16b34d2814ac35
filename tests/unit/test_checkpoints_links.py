"""Hard links in trees of layers and of copies, on the real kernel."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from store_actions import Shell

from kiwinb.checkpoints.manifest import MANIFEST, linked_paths, unpack
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checkpoints.treescan import Entry, to_json
from kiwinb.steps.step import DraftStep, HostPaths, Step, seal

BASE = """
mkdir -p kept gone moved/deep
for name in kept/one gone/one moved/deep/one; do echo "$name" >"$name"; done
ln kept/one kept/two
ln gone/one gone/two
ln moved/deep/one moved/deep/two
ln -s one kept/link
ln kept/link kept/link-2
echo alone >alone
"""
"""Files with two names, and a symbolic link with two."""


def _steps(outside: Path, change: str) -> tuple[Step, ...]:
    replaced = f'rm -r gone moved/deep; ln -s "{outside}" moved/deep; echo new >gone'
    return seal(
        (
            DraftStep("base", "Base", Shell(BASE)),
            DraftStep("replace", "Replace directories", Shell(replaced), base="base"),
            DraftStep("change", "Change", Shell(change), base="replace"),
        )
    )


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host with the names that a layer has."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "one").write_text("outside")
    os.link(directory / "one", directory / "two")
    return directory


@pytest.fixture(params=["overlay", "copy"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", backend=request.param)


def _scan(store: Store, steps: tuple[Step, ...]) -> dict[str, Entry]:
    return {os.fsdecode(entry.path): entry for entry in store.scan(steps[-1].key)}


@pytest.mark.parametrize("manifests", ["present", "old", "missing"])
def test_names_of_one_file_stay_together(store: Store, outside: Path, manifests: str) -> None:
    """Also where the manifests of layers do not tell of them."""
    steps = _steps(outside, "echo more >>kept/two; touch -h -d @1 kept/link")
    made = run_steps(store, steps[:2], HostPaths(cache=outside))
    before = {path: path.lstat() for path in outside.iterdir()}
    for checkpoint in made.values():
        manifest = store.path / "objects" / checkpoint.key / MANIFEST
        if manifests == "old":
            entries = unpack(manifest.read_bytes())
            manifest.write_bytes(zlib.compress(to_json(entries).encode()))
            assert unpack(manifest.read_bytes()) == entries
        elif manifests == "missing":
            manifest.unlink()
    run_steps(store, steps, HostPaths(cache=outside))
    found = _scan(store, steps)
    assert found["kept/one"].sha256 == found["kept/two"].sha256
    assert found["kept/one"].link == found["kept/two"].link == b"kept/one"
    assert found["kept/one"].size == len("kept/one\nmore\n")
    assert found["kept/link"].link == found["kept/link-2"].link == b"kept/link"
    assert found["moved/deep"].kind == "symlink"
    assert found["gone"].kind == "file"
    assert {path: path.lstat() for path in outside.iterdir()} == before
    store.remove([step.key for step in steps])


def test_a_manifest_tells_of_files_with_several_names(store: Store, outside: Path) -> None:
    steps = _steps(outside, "true")
    made = run_steps(store, steps, HostPaths(cache=outside))
    base = linked_paths(store.files(made["base"]).parent)
    names = ("gone/{}", "kept/{}", "moved/deep/{}")
    files = {name.format(item) for name in names for item in ("one", "two")}
    assert {*base} == {*files, "kept/link", "kept/link-2"}
    if store.backend == "overlay":
        data = store.files(made["change"])
        assert not [path for path in data.rglob("*") if path.name in ("one", "two", "link")]
    store.remove([step.key for step in steps])
