"""The store and the runner with small steps, on the real kernel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_actions import Fail, Nap, Pack, Write, read, spoil

from kiwinb.checkpoints.history import BuildIdentity
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.errors import CommandError, KiwinbError, SpaceError, StoreError
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, HostPaths, Step, seal

HOST = HostPaths(cache=Path("/nonexistent"))


def _steps(content: str = "1") -> tuple[Step, ...]:
    return seal(
        (
            DraftStep("base", "Base", Write("a", "base")),
            DraftStep("middle", "Middle", Write("b", content), base="base"),
            DraftStep("top", "Top", Write("c", "top"), base="middle"),
            DraftStep("list", "List", Pack("first"), base="top"),
            DraftStep("image", "Image", Pack("second"), base="top", needs=("list",)),
        )
    )


@pytest.fixture(params=["overlay", "copy"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each backend."""
    try:
        opened = Store.open(tmp_path / "store", backend=request.param)
    except StoreError as error:
        if request.param == "overlay" and "overlay file systems do not work" in str(error):
            pytest.skip(str(error))
        raise
    yield from _checked(opened)


@pytest.fixture
def any_store(tmp_path: Path) -> Iterator[Store]:
    """A store of the backend that this host likes best."""
    yield from _checked(Store.open(tmp_path / "store"))


def _checked(opened: Store) -> Iterator[Store]:
    yield opened
    for name in ("drafts", "trash", "mnt"):
        assert not any((opened.path / name).iterdir())
    opened.remove([checkpoint.key for checkpoint in opened.list()])


def _states(events: list[StepEvent]) -> list[tuple[str, str]]:
    return [
        (event.step.name, event.state)
        for event in events
        if event.line is None and event.fraction is None
    ]


def test_runs_once_and_holds(store: Store) -> None:
    steps = _steps()
    events: list[StepEvent] = []
    made = run_steps(store, steps, HOST, events.append)
    assert _states(events) == [
        (step.name, state) for step in steps for state in ("running", "done")
    ]
    assert [e.line for e in events if e.line] == ["writing a", "writing b", "writing c"]
    assert [e.fraction for e in events if e.fraction] == [0.5, 0.5, 0.5]
    assert (store.files(made["image"]) / "list").read_text() == "second:a,b,c;first:a,b,c;"
    assert made["image"].files == {"list": hashlib.sha256(b"second:a,b,c;first:a,b,c;").hexdigest()}
    assert made["top"].files == {}
    assert store.log(made["top"]) == "writing c\n"
    assert made["image"].base == steps[2].key
    assert made["image"].needs == {"list": steps[3].key}
    assert made["top"].inputs == steps[2].inputs
    events.clear()
    assert run_steps(store, steps, HOST, events.append) == made
    assert _states(events) == [(step.name, "held") for step in steps]
    assert store.in_tree(steps[2].key, read, "c") == "top"


def test_a_change_runs_what_follows_from_it(store: Store) -> None:
    run_steps(store, _steps(), HOST)
    events: list[StepEvent] = []
    run_steps(store, _steps("2"), HOST, events.append)
    assert [name for name, state in _states(events) if state == "held"] == ["base"]
    assert store.in_tree(_steps("2")[2].key, read, "b") == "2"
    assert store.in_tree(_steps("1")[2].key, read, "b") == "1"


def test_only_what_is_wanted_runs(any_store: Store) -> None:
    steps = _steps()
    assert set(run_steps(any_store, steps, HOST, targets=["middle"])) == {"base", "middle"}
    events: list[StepEvent] = []
    run_steps(any_store, steps, HOST, events.append, parallel=1)
    ran = [name for name, state in _states(events) if state == "done"]
    assert ran == ["top", "list", "image"]


def test_what_only_held_results_need_does_not_run(store: Store) -> None:
    steps = _steps()
    run_steps(store, steps, HOST)
    gone = {"list"} if store.backend == "overlay" else {"base", "middle", "list"}
    store.remove([step.key for step in steps if step.name in gone])
    events: list[StepEvent] = []
    made = run_steps(store, steps, HOST, events.append)
    assert {state for _name, state in _states(events)} == {"held"}
    assert set(made) == {step.name for step in steps} - gone


def test_trees_are_read_only_or_scratch(store: Store) -> None:
    key = _steps()[0].key
    run_steps(store, _steps(), HOST, targets=["base"])
    with pytest.raises(OSError, match="Read-only"):
        store.in_tree(key, spoil, "a")
    assert store.in_tree(key, spoil, "a", writable=True) == "spoilt"
    assert store.in_tree(key, read, "a") == "base"
    assert store.verify(key) == ()


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("command", CommandError, "step fail: tool failed"),
        ("disk", SpaceError, "step fail: no space left on .*No space left"),
        ("bug", RuntimeError, None),
    ],
)
def test_a_failed_step_leaves_nothing(
    any_store: Store, how: str, kind: type[Exception], message: str | None
) -> None:
    base = DraftStep("base", "Base", Write("a", "base"))
    steps = seal((base, DraftStep("fail", "Fail", Fail(how), base="base")))
    events: list[StepEvent] = []
    with pytest.raises(kind, match=message) as caught:
        run_steps(any_store, steps, HOST, events.append)
    assert _states(events)[-1] == ("fail", "failed")
    assert events[-1].error is caught.value
    assert [checkpoint.name for checkpoint in any_store.list()] == ["base"]


def test_an_interrupted_step_leaves_nothing(any_store: Store) -> None:
    steps = seal((DraftStep("nap", "Nap", Nap(600)),))

    def stop(event: StepEvent) -> None:
        if event.state == "running":
            timer.start()

    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), 2))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_steps(any_store, steps, HOST, stop)
    assert time.monotonic() - began < 300
    assert any_store.list() == ()


def test_two_builds_of_one_step_share_its_result(any_store: Store) -> None:
    steps = seal((DraftStep("nap", "Nap", Nap(0.5)),))
    events: list[StepEvent] = []
    threads = [
        threading.Thread(target=run_steps, args=(any_store, steps, HOST, events.append))
        for _number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(state for _name, state in _states(events)) == ["done", "held", "running"]
    assert any("waiting for process" in (event.line or "") for event in events)


def test_gc_keeps_bases_and_the_lately_used(store: Store) -> None:
    steps = {step.name: step for step in _steps()}
    run_steps(store, tuple(steps.values()), HOST)
    for age, name in enumerate(("top", "image", "list", "middle", "base")):
        os.utime(store.path / "objects" / steps[name].key / "checkpoint.json", (age, age))
    total = sum(checkpoint.bytes for checkpoint in store.list())
    assert store.gc(total) == ()
    assert [checkpoint.name for checkpoint in store.gc(total - 1)] == ["top"]
    assert [checkpoint.name for checkpoint in store.gc(0, keep=[steps["middle"].key])] == (
        ["image", "list"] if store.backend == "overlay" else ["image", "list", "base"]
    )
    assert store.holds(steps["middle"].key)
    assert store.in_tree(steps["middle"].key, read, "b") == "1"


def test_the_limit_holds_after_a_build(any_store: Store) -> None:
    run_steps(any_store, _steps(), HOST)
    limited = Store.open(any_store.path, limit=1)
    made = run_steps(limited, _steps("2"), HOST, targets=["top"])
    kept = {checkpoint.key for checkpoint in limited.list()}
    assert made["top"].key in kept
    assert not kept & {step.key for step in _steps("1")[1:]}


def test_using_a_tree_is_using_its_bases(store: Store) -> None:
    steps = _steps()
    run_steps(store, steps, HOST)
    for step in steps:
        os.utime(store.path / "objects" / step.key / "checkpoint.json", (1, 1))
    store.in_tree(steps[1].key, read, "b")
    used = {step.name for step in steps if store.last_used(step.key) > 1}
    assert used == ({"base", "middle"} if store.backend == "overlay" else {"middle"})


def test_gc_waits_for_builds_and_says_who(any_store: Store) -> None:
    with any_store.in_use(), pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
        any_store.gc(0, timeout=0.2)


def test_removing_a_base_removes_what_stands_on_it(store: Store) -> None:
    steps = _steps()
    run_steps(store, steps, HOST)
    gone = {checkpoint.name for checkpoint in store.remove([steps[1].key])}
    assert gone == ({"middle", "top"} if store.backend == "overlay" else {"middle"})


def test_verify_finds_damage(any_store: Store) -> None:
    steps = _steps()
    made = run_steps(any_store, steps, HOST)
    assert any_store.verify_all() == {}
    key = made["image"].key
    file = any_store.files(made["image"]) / "list"
    good = file.read_text()
    file.write_text(good.replace("a", "b", 1))
    os.utime(file, (1, 1))
    file.chmod(0o600)
    (found,) = any_store.verify_all().values()
    assert found[0] == "list: mode 0o644 and 0o600"
    assert found[1].startswith("list: sha256")
    assert any_store.verify_all() == {
        key: ("it has no seal, so it is not complete or was found to be damaged before",)
    }
    assert set(run_steps(any_store, steps, HOST)) == set(made)
    assert any_store.verify_all() == {}


def test_verify_finds_a_damaged_record(any_store: Store) -> None:
    steps = _steps()
    run_steps(any_store, steps, HOST, targets=["base"])
    directory = any_store.path / "objects" / steps[0].key
    (directory / "manifest.json.z").write_bytes(b"x")
    assert any_store.verify(steps[0].key) == ("manifest.json.z: its checksum is wrong",)
    assert not (directory / "seal.json").exists()
    run_steps(any_store, steps, HOST, targets=["base"])
    (directory / "checkpoint.json").write_text("{")
    assert "not JSON" in any_store.verify(steps[0].key)[0]


def test_a_damaged_record_is_made_again(any_store: Store) -> None:
    steps = _steps()
    run_steps(any_store, steps, HOST)
    (any_store.path / "objects" / steps[4].key / "checkpoint.json").write_text("{")
    assert not any_store.holds(steps[4].key)
    run_steps(any_store, steps, HOST)
    assert any_store.holds(steps[4].key)


def test_leftovers_of_the_dead_are_removed(any_store: Store) -> None:
    left = any_store.path / "drafts" / "1-dead"
    (left / "data").mkdir(parents=True)
    (left.parent / "file").touch()
    (left.parent / "link").symlink_to(any_store.path)
    with any_store.draft(key="k", name="n", title="t", output="tree") as live:
        Store.open(any_store.path)
        assert [*left.parent.iterdir()] == [live.directory]
        assert live.directory.is_dir()


def test_export_and_import(store: Store, tmp_path: Path) -> None:
    steps = _steps()
    run_steps(store, steps, HOST, targets=["top"])
    tree = tmp_path / "exported" / "tree"
    store.export_tree(steps[2].key, tree)
    assert (tree / "b").read_text() == "1"
    with pytest.raises(StoreError, match="not empty"):
        store.export_tree(steps[2].key, tree)
    assert [path.name for path in tree.parent.iterdir()] == ["tree"]
    key = store.import_tree(tree)
    assert store.import_tree(tree) == key
    assert store.scan(key) == store.scan(steps[2].key)
    (tree / "b").write_text("changed by hand")
    changed = store.import_tree(tree)
    assert changed != key
    assert store.in_tree(changed, read, "b") == "changed by hand"


def test_the_owner_is_checked(any_store: Store) -> None:
    with pytest.raises(StoreError, match="is to be opened"):
        Store.open(any_store.path, rootless=not any_store.rootless)
    file = any_store.path / "store.json"
    good = file.read_text()
    for change in ({"uid": 4711}, {"uid": 4711, "format": 99}):
        file.write_text(json.dumps(json.loads(good) | change))
        with pytest.raises(StoreError, match="is that of user 4711"):
            Store.open(any_store.path)
    file.write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        Store.open(any_store.path)
    file.write_text(good)
    with pytest.raises(StoreError, match="keeps trees with the backend"):
        Store.open(any_store.path, backend="copy" if any_store.backend == "overlay" else "overlay")


def test_a_store_of_another_format_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store.open(tmp_path / "store")
    run_steps(store, _steps(), HOST)
    store.history.remember(IMAGE, _steps())
    file = store.path / "store.json"
    good = file.read_text()
    file.write_text(json.dumps(json.loads(good) | {"format": 1}))
    with store.in_use(), pytest.raises(StoreError, match="of format 1 is in use by process"):
        Store.open(store.path)
    assert len(store.list()) == len(_steps())
    again = Store.open(store.path)
    assert [record.getMessage() for record in caplog.records] == [
        f"The store {store.path} has format 1, which this kiwinb does not read: "
        "it is emptied and made anew (format 4)."
    ]
    assert again.list() == ()
    assert again.history.last(IMAGE, "base") is None
    assert json.loads(file.read_text())["format"] == json.loads(good)["format"]
    assert again.secret != store.secret
    caplog.clear()
    Store.open(store.path)
    assert not caplog.records


@pytest.mark.parametrize("text", ['{"format": 1}', '{"format": 1, "rootless": false, "uid": 0}'])
def test_nothing_is_removed_that_is_no_store(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "precious").touch()
    with pytest.raises(StoreError):
        Store.open(tmp_path)
    assert (tmp_path / "objects" / "precious").exists()


def test_a_directory_with_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(StoreError, match="not a checkpoint store"):
        Store.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_the_environment_forces_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIWINB_STORE_BACKEND", "copy")
    assert Store.open(tmp_path / "store").backend == "copy"
    monkeypatch.setenv("KIWINB_STORE_BACKEND", "other")
    with pytest.raises(StoreError, match="names no backend"):
        Store.open(tmp_path / "another")


def test_what_is_not_there_is_said(any_store: Store) -> None:
    with pytest.raises(StoreError, match="holds no checkpoint"):
        any_store.get("0" * 64)
    assert any_store.verify("0" * 64) == ("the store holds no checkpoint 000000000000",)
    with pytest.raises(KiwinbError, match="is no directory"):
        any_store.import_tree(any_store.path / "nowhere")


IMAGE = BuildIdentity(Path("/description"), "image", ("Live",), "oem", "x86_64", "0" * 64)


def test_history_tells_what_changed(any_store: Store) -> None:
    history, steps = any_store.history, _steps()
    by_name = {step.name: step for step in steps}
    assert history.changes(IMAGE, steps[1], steps) == ("it was not built before",)
    assert history.changes(IMAGE, steps[1], steps, held=True) == ()
    history.remember(IMAGE, steps)
    assert history.changes(IMAGE, steps[1], steps) == ()
    now = _steps("2")
    assert history.changes(IMAGE, now[0], now) == ()
    assert history.changes(IMAGE, now[1], now) == ("input content changed",)
    assert history.changes(IMAGE, now[1], now, held=True) == ()
    assert history.changes(IMAGE, now[2], now) == ("step middle changed",)
    assert history.changes(IMAGE, now[4], now) == ("step top changed", "step list changed")
    last = history.last(IMAGE, "middle")
    assert last is not None
    assert last.key == by_name["middle"].key


@pytest.mark.parametrize(
    "change",
    [
        {"description": Path("/copy")},
        {"name": "other"},
        {"profiles": ("Live", "Net")},
        {"type": "iso"},
        {"arch": "aarch64"},
        {"overrides": "1" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_history_tells_builds_apart(any_store: Store, change: dict[str, Any]) -> None:
    steps, now = _steps(), _steps("2")
    other = replace(IMAGE, **change)
    any_store.history.remember(IMAGE, steps)
    assert any_store.history.changes(other, now[1], now) == ("it was not built before",)
    any_store.history.remember(other, now)
    assert any_store.history.changes(IMAGE, steps[1], steps) == ()
    assert any_store.history.changes(other, now[1], now) == ()


def test_a_lost_history_is_no_error(any_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    any_store.history.remember(IMAGE, _steps())
    (any_store.path / "history.json").write_text("{")
    assert any_store.history.last(IMAGE, "base") is None
    shutil.rmtree(any_store.path / "locks")
    any_store.history.remember(IMAGE, _steps())
    assert "What was built is not remembered" in caplog.text
    (any_store.path / "locks").mkdir()
    any_store.history.remember(IMAGE, _steps())
    assert any_store.history.last(IMAGE, "base") is not None
