"""Damaged checkpoints are found before they are used, whatever is damaged and how."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from store_actions import Look, Pack, Shell, Write, read

from kiwinb.checkpoints.history import BuildIdentity
from kiwinb.checkpoints.inspector import Inspector, inspect
from kiwinb.checkpoints.jobs import CheckJob, check
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.seal import read_seal, write_seal
from kiwinb.checkpoints.stamps import Stamps, quick_stamp
from kiwinb.checkpoints.store import Store
from kiwinb.errors import StoreError
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, HostPaths, Step, seal

HOST = HostPaths(cache=Path("/nonexistent"))
IMAGE = BuildIdentity(Path("/description"), "image")


def _steps(note: str = "note") -> tuple[Step, ...]:
    layer = "mkdir -p usr/share; echo one >usr/share/one; ln usr/share/one two; ln -s one three"
    return seal(
        (
            DraftStep("base", "Base", Shell(layer)),
            DraftStep("note", "Note", Write("note", note), base="base"),
            DraftStep("look", "Look", Look("usr/share/one"), base="note"),
            DraftStep("image", "Image", Pack("image"), base="look"),
        )
    )


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which all steps have run."""
    store = Store.open(tmp_path_factory.mktemp("pristine") / "store")
    run_steps(store, _steps(), HOST)
    store.history.remember(IMAGE, _steps())
    return store.path


@pytest.fixture
def store(pristine: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of it, which has been used there."""
    subprocess.run(["cp", "-a", pristine, tmp_path / "store"], check=True)
    opened = Store.open(tmp_path / "store")
    for step in _steps():
        _forget_stamp(opened, step.key)
        assert inspect(opened, step.key) == ()
    yield opened


def _forget_stamp(store: Store, key: str) -> None:
    """Make the seal fit the data as they are, as if they were changed below the file system."""
    directory = store.object(key)
    sealed = read_seal(directory)
    data = replace(sealed.data, quick=quick_stamp(directory / "data"))
    write_seal(replace(sealed, data=data).signed(store.secret), directory)


def _flip(file: Path) -> None:
    status, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.rename(file.parents[1] / f"aside-{file.name}")
        make(file)

    return damage


def _link(file: Path) -> None:
    file.symlink_to(file.parents[1] / f"aside-{file.name}")


KINDS: Mapping[str, Callable[[Path], object]] = {
    "flipped": _flip,
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "emptied": lambda file: os.truncate(file, 0),
    "garbage": lambda file: file.write_bytes(b'{"\xff": [' * 9),
    "nested": lambda file: file.write_text("[" * 100_000),
    "null": lambda file: file.write_text("null"),
    "removed": lambda file: file.unlink(),
    "link": _replace(_link),
    "pipe": _replace(os.mkfifo),
    "directory": _replace(lambda file: file.mkdir()),
}
PARTS = {
    "metadata": ("note", "checkpoint.json"),
    "manifest": ("note", "manifest.json.z"),
    "seal": ("note", "seal.json"),
    "reads": ("look", "reads.json.z"),
    "layer": ("base", "data/usr/share/one"),
    "result": ("image", "data/list"),
}


def _object(store: Store, name: str) -> Path:
    return store.object(next(step.key for step in _steps() if step.name == name))


def _is_right(store: Store) -> bool:
    """Build, and look at the results."""
    made = run_steps(store, _steps(), HOST, targets=["look", "image"])
    return (
        (store.files(made["image"]) / "list").read_text() == "image:note,sub,three,two,usr;"
        and store.in_tree(_steps()[2].key, read, "usr/share/one") == "one\n"
        and not any(inspect(store, step.key) for step in _steps())
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", PARTS)
def test_damage_is_found(
    store: Store, part: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, file = PARTS[part]
    directory = _object(store, name)
    assert Inspector(store).is_usable(directory.name)
    KINDS[kind](directory / file)
    assert not Inspector(store).is_usable(directory.name)
    assert f"The checkpoint {directory.name[:12]} " in caplog.text
    assert caplog.text.count("It is not used, but made again.") == 1
    assert store.verify(directory.name)
    with pytest.raises(StoreError, match="damaged"):
        store.get(directory.name)  # verify has broken its seal


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        *(("metadata", "garbage"), ("manifest", "flipped"), ("seal", "removed")),
        *(("reads", "pipe"), ("layer", "directory"), ("result", "link")),
    ],
)
def test_the_next_build_mends_it(store: Store, part: str, kind: str) -> None:
    name, file = PARTS[part]
    KINDS[kind](_object(store, name) / file)
    assert _is_right(store)


def _swap(store: Store, one: str, other: str, what: str) -> None:
    first, second = _object(store, one) / what, _object(store, other) / what
    aside = store.path / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def _rewrite(store: Store) -> None:
    """Change a file, and all that says what it was, as somebody without the secret would."""
    directory = _object(store, "base")
    (directory / "data/usr/share/one").write_text("evil\n")
    other = Store.open(store.path.with_name("other"))
    run_steps(other, seal((DraftStep("base", "Base", Shell("echo evil >file")),)), HOST)
    (theirs,) = (other.path / "objects").iterdir()
    shutil.copy(theirs / "manifest.json.z", directory)
    ours = json.loads((directory / "checkpoint.json").read_text())
    ours["manifest"] = json.loads((theirs / "checkpoint.json").read_text())["manifest"]
    (directory / "checkpoint.json").write_text(json.dumps(ours))
    sealed = json.loads((directory / "seal.json").read_text())
    job = CheckJob(directory, ours["manifest"], Stamps("", ""))
    sealed["data"] = {"quick": "0" * 64, "times": check(job, lambda *_: None).data.times}  # type: ignore[arg-type]
    (directory / "seal.json").write_text(json.dumps(sealed))


def _empty(store: Store) -> None:
    directory = _object(store, "base")
    shutil.rmtree(directory)
    directory.mkdir()


SPECIAL: Mapping[str, Callable[[Store], object]] = {
    "data is missing": lambda store: shutil.rmtree(_object(store, "base") / "data"),
    "a directory is missing": lambda store: shutil.rmtree(_object(store, "base") / "data/usr"),
    "a file was added": lambda store: (_object(store, "note") / "data/more").touch(),
    "a mode was changed": lambda store: (_object(store, "note") / "data/note").chmod(0o777),
    "a time was changed": lambda store: os.utime(_object(store, "note") / "data/note", (1, 1)),
    "data were exchanged": lambda store: _swap(store, "note", "look", "data"),
    "manifests were exchanged": lambda store: _swap(store, "note", "look", "manifest.json.z"),
    "seals were exchanged": lambda store: _swap(store, "note", "look", "seal.json"),
    "checkpoints were exchanged": lambda store: _swap(store, "note", "look", ""),
    "all was rewritten": _rewrite,
    "something else is there": lambda store: (_object(store, "note") / "more").touch(),
    "it is empty": _empty,
}


@pytest.mark.parametrize("how", SPECIAL)
def test_whole_checkpoints(store: Store, how: str) -> None:
    SPECIAL[how](store)
    assert not Inspector(store).is_usable(_steps()[2].key)
    assert _is_right(store)


def test_only_what_is_damaged_is_made_again(store: Store) -> None:
    if store.backend == "copy":
        pytest.skip("each full copy stands alone")
    shutil.rmtree(_object(store, "base") / "data/usr")
    states: list[tuple[str, str]] = []

    def note(event: StepEvent) -> None:
        states.append((event.step.name, event.state))

    run_steps(store, _steps(), HOST, note, targets=["look", "image"])
    assert [name for name, state in states if state == "done"] == ["base"]
    assert {name for name, state in states if state == "held"} == {"note", "look", "image"}


def test_a_damaged_result_is_not_reused(store: Store) -> None:
    """Its data were damaged without a change of its stamp, as a failing disk does."""
    made = store.get(_steps()[2].key)
    assert made.reads
    again = run_steps(store, _steps("another"), HOST, targets=["look"])["look"]
    assert again.reused == made.key
    store.remove([again.key])
    seen = store.object(made.key) / "data/sub/seen"
    _flip(seen)
    _forget_stamp(store, made.key)
    assert Inspector(store).is_usable(made.key)
    again = run_steps(store, _steps("another"), HOST, targets=["look"])["look"]
    assert not again.reused
    assert "is damaged, so it is not reused" in store.log(again)
    assert store.in_tree(again.key, read, "sub/seen") == "one\n"


def test_a_copied_store_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = store.path.with_name("moved")
    subprocess.run(["cp", "-a", store.path, moved], check=True)
    copied = Store.open(moved)
    assert Inspector(copied).is_usable(_steps()[2].key)
    monkeypatch.setattr("kiwinb.checkpoints.inspector.call", None)  # no worker is needed any more
    assert Inspector(copied).is_usable(_steps()[2].key)


@pytest.mark.parametrize("kind", KINDS)
def test_the_history(store: Store, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    history = store.history
    assert history.last(IMAGE, "base")
    KINDS[kind](store.path / "history.json")
    assert history.last(IMAGE, "base") is None or kind == "flipped"
    assert kind in ("removed", "flipped") or "history is damaged" in caplog.text
    assert kind in ("removed", "flipped") or "history.json" in store.verify_all()
    history.remember(IMAGE, _steps())
    assert history.last(IMAGE, "base") or kind == "directory"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("removed", "flipped")])
def test_the_description_of_the_store(store: Store, kind: str) -> None:
    file = store.path / "store.json"
    KINDS[kind](file)
    with pytest.raises(StoreError, match=r"(damaged|cannot read).*\n.*(Remove|Use)"):
        Store.open(store.path)
    shutil.rmtree(store.path)
    assert Store.open(store.path).list() == ()


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_is_not_used_for_builds(store: Store, kind: str) -> None:
    directory = _object(store, "look")
    KINDS[kind](directory / "log.gz")
    assert Inspector(store).is_usable(directory.name)
    assert isinstance(store.log(store.get(directory.name)), str)
    assert any(line.startswith("log.gz: ") for line in store.verify(directory.name))


def test_looking_into_a_damaged_tree(store: Store, tmp_path: Path) -> None:
    key = _steps()[2].key
    (_object(store, "base") / "data/two").unlink()
    for look in (
        lambda: store.in_tree(key, read, "note"),
        lambda: store.export_tree(key, tmp_path / "tree"),
    ):
        with pytest.raises(StoreError, match=r"step base is damaged.*\n.*Build again"):
            look()
    assert not (tmp_path / "tree").exists()


def test_removal_of_the_damaged(store: Store) -> None:
    (_object(store, "image") / "checkpoint.json").write_text("{")
    aliens = {name: store.path / "objects" / name for name in ("alien", "file", "link", "pipe")}
    aliens["alien"].mkdir()
    aliens["file"].touch()
    aliens["link"].symlink_to(store.path)
    os.mkfifo(aliens["pipe"])
    assert store.verify_all().keys() == {_object(store, "image").name, *aliens}
    store.gc(1 << 40)
    assert store.verify_all() == {}
    assert store.path.is_dir()
    assert not any((store.path / "trash").iterdir())
    assert len(store.list()) == len(_steps()) - 1
