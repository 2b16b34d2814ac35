"""What an interrupted write leaves in a store does no harm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from store_actions import Write

from kiwinb.checkpoints.history import BuildIdentity
from kiwinb.checkpoints.inspector import inspect
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.errors import StoreError
from kiwinb.steps.step import DraftStep, HostPaths, seal

HOST = HostPaths(cache=Path("/nonexistent"))


def test_a_store_whose_creation_was_interrupted_is_created(tmp_path: Path) -> None:
    path = tmp_path / "store"
    (path / "objects").mkdir(parents=True)
    (path / ".lock").touch()
    (path / ".store.json.17-0a0b0c0d").write_text("{")
    assert Store.open(path).list() == ()
    assert not [*path.glob(".store.json*")]


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".store.json.17-0a0b0c0d").write_text("{")
    (tmp_path / "mine").touch()
    with pytest.raises(StoreError, match="is not empty"):
        Store.open(tmp_path)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_seal_whose_renewal_was_interrupted_is_good(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    steps = seal((DraftStep("base", "Base", Write("a", "1")),))
    run_steps(store, steps, HOST)
    (store.object(steps[0].key) / ".seal.json.17-0a0b0c0d").write_text("{")
    assert inspect(store, steps[0].key, thorough=True) == ()
    (store.object(steps[0].key) / ".seal").write_text("{")
    assert inspect(store, steps[0].key) == (".seal: does not belong there",)


def test_drafts_of_the_history_are_removed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    left, other = (store.path / name for name in (".history.json.17-0a0b0c0d", ".history"))
    left.write_text("{")
    other.write_text("")
    Store.open(store.path)
    assert not left.exists()
    assert other.exists()


def test_the_history_is_written_if_something_changes(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    file = store.path / "history.json"
    one, two = BuildIdentity(tmp_path, "one"), BuildIdentity(tmp_path, "two")
    steps = seal((DraftStep("base", "Base", Write("a", "1")),))
    written = []
    for identity in (one, one, two, two, one):
        store.history.remember(identity, steps)
        written.append(file.stat().st_ino)
        time.sleep(0.001)
    assert written[0] == written[1] != written[2] == written[3] != written[4]
    assert store.history.last(two, "base") is not None


@pytest.mark.parametrize("set_back", [0, 20])
def test_a_use_counts_as_later_after_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_back: int
) -> None:
    store = Store.open(tmp_path / "store")
    steps = seal(tuple(DraftStep(name, name, Write("a", name)) for name in "abc"))
    run_steps(store, steps, HOST)
    right = time.time_ns()
    for number, step in enumerate((steps[1], steps[2], steps[0])):
        now = right - number * set_back * 365 * 86400 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        store.touch(step.key)
    assert [item.name for item in store.list()] == ["b", "c", "a"]
