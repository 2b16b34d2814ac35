"""Steps that do not run, because nothing that they read has changed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from store_actions import Look, LookFiles, ObservedShell, Pack, SetMode, Shell, Write, read

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.errors import CommandError, HostError, KiwinbError
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import Action, DraftStep, HostPaths, Step, seal

HOST = HostPaths(cache=Path("/nonexistent"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def _steps(action: Action, **files: str) -> tuple[Step, ...]:
    """A tree with the files, and the action on it, then a step that lists the tree."""
    drafts = [DraftStep("a", "Write a", Write("a", files.pop("a", "a")))]
    for name, content in files.items():
        write = Write(name, content)
        drafts.append(DraftStep(name, f"Write {name}", write, base=drafts[-1].name))
    drafts.append(DraftStep("look", "Look", action, base=drafts[-1].name))
    if action.output == "tree":
        drafts.append(DraftStep("list", "List", Pack(""), base="look"))
    return seal(tuple(drafts))


def _run(store: Store, steps: tuple[Step, ...]) -> tuple[str, list[StepEvent]]:
    """The last state of the step that looks, and its events."""
    events: list[StepEvent] = []
    run_steps(store, steps, HOST, events.append)
    own = [event for event in events if event.step.name == "look"]
    return own[-1].state, own


def _key(steps: tuple[Step, ...], name: str = "look") -> str:
    return next(step.key for step in steps if step.name == name)


def test_what_was_not_read_may_change(store: Store) -> None:
    first, other = _steps(Look("a"), b="1"), _steps(Look("a"), b="2")
    state, events = _run(store, first)
    assert state == "done"
    assert "looking at a" in [event.line for event in events]
    assert 0.5 in [event.fraction for event in events]
    state, events = _run(store, other)
    assert state == "reused"
    assert all(event.line is None for event in events)
    held = store.get(_key(other))
    assert held.reused == _key(first) and held.seconds == store.get(_key(first)).seconds
    assert store.log(held) == "looking at a\n"
    assert store.in_tree(_key(other), read, "b") == "2"
    assert store.in_tree(_key(other), read, "sub/seen") == "a"
    assert store.verify(_key(other)) == ()
    assert _run(store, other)[0] == "held"
    names = (store.files(store.get(_key(other, "list"))) / "list").read_text()
    assert names == ":a,b,sub;"


def test_what_was_read_may_not_change(store: Store) -> None:
    _run(store, _steps(Look("a"), a="1"))
    again = _steps(Look("a"), a="2")
    state, events = _run(store, again)
    assert state == "done"
    assert "/a has changed, which this step read when it ran before." in [
        event.line for event in events
    ]
    assert store.in_tree(_key(again), read, "sub/seen") == "2"
    back = _steps(Look("a"), a="1", b="new")  # the older of the two results holds
    assert _run(store, back)[0] == "reused"
    assert store.in_tree(_key(back), read, "sub/seen") == "1"


def test_another_action_is_not_reused(store: Store) -> None:
    _run(store, _steps(Look("a"), b="1"))
    assert _run(store, _steps(Look("b"), b="2"))[0] == "done"


def test_reuse_of_what_was_reused(store: Store) -> None:
    trees = [_steps(Look("a"), b=content) for content in "1234"]
    assert [_run(store, steps)[0] for steps in trees] == ["done", *["reused"] * 3]
    store.remove([_key(trees[0], "b"), _key(trees[0], "list")])
    assert _run(store, _steps(Look("a"), b="5"))[0] == "reused"
    assert _run(store, trees[0])[0] == "reused"


def test_directories_keep_what_the_new_tree_says(store: Store) -> None:
    def steps(mode: int) -> tuple[Step, ...]:
        return seal(
            (
                DraftStep("a", "Write", Write("a", "a")),
                DraftStep("mode", "Mode", SetMode(mode), base="a"),
                DraftStep("look", "Look", Look("a"), base="mode"),
            )
        )

    _run(store, steps(0o755))
    assert _run(store, steps(0o700))[0] == "done"  # it made a file there
    root = [entry for entry in store.scan(_key(steps(0o700))) if entry.path == b"."]
    assert root[0].mode == 0o700


def test_files(store: Store) -> None:
    first, other = _steps(LookFiles("a"), b="1"), _steps(LookFiles("a"), b="2")
    _run(store, first)
    store.remove([_key(first, "b")])  # nothing but the tree that it read
    state, _events = _run(store, other)
    assert state == "reused"
    kept = [store.files(store.get(_key(steps))) / "seen" for steps in (first, other)]
    assert kept[0].read_text() == kept[1].read_text() == "a"
    assert kept[0].stat().st_ino != kept[1].stat().st_ino


def test_unknown_reads_are_not_reused(store: Store) -> None:
    _run(store, _steps(Look("a", "network"), b="1"))
    again = _steps(Look("a", "network"), b="2")
    assert _run(store, again)[0] == "done"
    log = store.log(store.get(_key(again)))
    assert "What this step read is not known for certain: a network." in log


def test_damaged_reads_are_not_reused(store: Store) -> None:
    first = _steps(Look("a"), b="1")
    _run(store, first)
    file = store.path / "objects" / _key(first) / "reads.json.z"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert _run(store, _steps(Look("a"), b="2"))[0] == "done"


def test_a_result_that_has_gone_is_not_reused(store: Store) -> None:
    first = _steps(Look("a"), b="1")
    _run(store, first)
    shutil.rmtree(store.path / "objects" / _key(first) / "data")
    assert _run(store, _steps(Look("a"), b="2"))[0] == "done"


def test_copies_of_trees_are_made_anew(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "copies", backend="copy")
    _run(store, _steps(Look("a"), b="1"))
    assert _run(store, _steps(Look("a"), b="2"))[0] == "done"
    _run(store, _steps(LookFiles("a"), b="1"))
    assert _run(store, _steps(LookFiles("a"), b="2"))[0] == "reused"


def test_errors_come_through(store: Store) -> None:
    with pytest.raises(CommandError, match="step look"):
        _run(store, _steps(Look("a", "command")))
    with pytest.raises(HostError, match="step look: the process of the step ended early"):
        _run(store, _steps(Look("a", "die")))
    began = time.monotonic()
    with pytest.raises(HostError, match="step look: the process of the step ended early"):
        _run(store, _steps(Look("a", "orphan")))
    assert time.monotonic() - began < 30  # it does not wait for the other process
    with pytest.raises(KiwinbError, match=r"step look: .*No such file"):
        _run(store, _steps(Look("missing")))
    assert not any((store.path / "drafts").iterdir())


def _chain(*actions: Action) -> tuple[Step, ...]:
    """Steps on top of each other; the last one is the one that looks."""
    names = [*(f"s{number}" for number in range(len(actions) - 1)), "look"]
    drafts = [
        DraftStep(name, name, action, base=base)
        for name, action, base in zip(names, actions, [None, *names], strict=False)
    ]
    return seal(tuple(drafts))


def test_a_directory_that_was_removed_and_made_again_by_a_reused_result(store: Store) -> None:
    base, remove = Shell("mkdir d; echo old > d/old"), Shell("rm -r d")
    make = ObservedShell("mkdir d; echo new > d/new")
    look = ObservedShell("if test -e d/old; then echo yes; else echo no; fi > seen")
    assert _run(store, _chain(Shell("echo other > other"), make))[0] == "done"
    assert _run(store, _chain(base, remove, make))[0] == "reused"
    assert _run(store, _chain(base, Shell("echo > x"), look))[0] == "done"
    steps = _chain(base, remove, make, look)
    _run(store, steps)
    assert store.in_tree(_key(steps), read, "seen") == "no\n"


def test_odd_names_are_said_in_plain_text(store: Store) -> None:
    steps = _chain(Shell("echo 1 > a"), ObservedShell("echo 2 > \"$(printf 'x\\377\\ny')\""))
    lines = [event.line for event in _run(store, steps)[1] if event.line]
    assert lines == []
    again = _chain(
        Shell("echo 1 > a; echo 3 > \"$(printf 'x\\377\\ny')\""), *[s.action for s in steps[1:]]
    )
    state, events = _run(store, again)
    assert state == "done"
    assert "/x\\xff\\ny has changed, which this step read when it ran before." in [
        event.line for event in events
    ]


def test_names_that_are_too_long(store: Store) -> None:
    look = ObservedShell("test -e $(printf '%0300d' 1) || echo no > seen")
    assert _run(store, _chain(Shell("echo 1 > a"), look))[0] == "done"
    assert _run(store, _chain(Shell("echo 2 > a"), look))[0] == "reused"


def test_deep_trees(store: Store) -> None:
    deep = ObservedShell(
        "i=0; while [ $i -lt 1100 ]; do mkdir d; cd -P d; i=$((i + 1)); done; echo 1 > file"
    )
    try:
        assert _run(store, _chain(Shell("echo 1 > a"), deep))[0] == "done"
        assert _run(store, _chain(Shell("echo 2 > a"), deep))[0] == "reused"
    finally:
        store.gc(0)
    assert store.list() == ()


def test_what_was_read_cannot_be_noted(store: Store) -> None:
    steps = _chain(Shell("ln -s /proc/self/root way"), ObservedShell("test -e way/etc/x || :"))
    state, events = _run(store, steps)
    assert state == "done"
    assert "What this step read is not known for certain: a path through /way/etc/x." in [
        event.line for event in events
    ]
    assert store.get(_key(steps)).reads == ""
