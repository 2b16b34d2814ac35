"""A key covers all that an action is told, the architecture first."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from descriptions import document

import kiwinb
from kiwinb.build.plan import plan_build
from kiwinb.description.select import select
from kiwinb.description.sources import Sources
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.container.derived import ImportBaseContainer
from kiwinb.images.inputs import BuildInputs
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.steps.keys import Source
from kiwinb.steps.step import DraftStep, seal

HOME = Path(kiwinb.__file__).parent


NOT_IN_KEYS = {
    ("RepositoryState", "metadata"),  # where what the digests cover is
    ("RepositoryState", "read_at"),
    ("ResolvedRepository", "outdated_allowed"),  # whether one may take what the digests cover
    ("ResolvedRepository", "password"),  # how one reaches what the digests cover
    ("ResolvedRepository", "url_logins"),
    ("ResolvedRepository", "urls"),
    ("ResolvedRepository", "username"),
    ("ResolvedRepository", "variables"),  # to find what the digests cover
    ("Seal", "signature"),  # made from the digest
    ("Source", "path"),  # where what the digest covers is
    ("Used", "module"),  # where what the revision covers is
}
"""The only fields that keys leave out: none of them can change a result."""


def _dataclasses() -> Iterator[type]:
    """All dataclasses of kiwinb, found in the text of its modules."""
    for file in sorted(HOME.rglob("*.py")):
        text = file.read_text("utf-8")
        names = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        if "@dataclass" not in text:
            continue
        path = file.relative_to(HOME).with_suffix("").parts
        module = importlib.import_module(".".join(("kiwinb", *path)).removesuffix(".__init__"))
        for name in names:
            found = getattr(module, name, None)
            if isinstance(found, type) and is_dataclass(found):
                yield found


DATACLASSES = tuple(_dataclasses())
ACTIONS = tuple(
    item for item in DATACLASSES if all(hasattr(item, n) for n in ("output", "revision", "run"))
)
"""All actions: what a step can do."""


def _made(action: type, changed: str = "") -> Any:
    """An action whose fields hold anything, one of them something else."""
    made: Any = object.__new__(action)
    for item in fields(action):
        object.__setattr__(made, item.name, "other" if item.name == changed else "this")
    return made


def _key(action: Any) -> str:
    return seal((DraftStep("step", "", action),))[0].key


def test_there_are_actions() -> None:
    names = {item.__name__ for item in ACTIONS}
    assert {"Bootstrap", "RunScript", "BuildInitrd", "PackContainer", "AssembleDisk"} <= names


@pytest.mark.parametrize("action", ACTIONS, ids=lambda item: item.__name__)
def test_each_field_of_an_action_changes_its_key(action: type) -> None:
    named = [item.name for item in fields(action)]
    keys = {_key(_made(action, changed)) for changed in ("", *named)}
    assert len(keys) == 1 + len(named)


def test_what_keys_leave_out_is_known() -> None:
    found = {
        (kind.__name__, item.name)
        for kind in DATACLASSES
        for item in fields(kind)
        if not item.metadata.get("kiwinb.key", True)
    }
    assert found == NOT_IN_KEYS


@pytest.mark.parametrize("action", ACTIONS, ids=lambda item: item.__name__)
def test_a_revision_changes_the_key(action: type, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _key(_made(action))
    monkeypatch.setattr(action, "revision", action.revision + 1)  # type: ignore[attr-defined]
    assert _key(_made(action)) != before


def _keys(directory: Path, kind: str, arch: str, *, derived: bool) -> dict[str, str]:
    """The keys of all steps of a build, by name."""
    firmware = ' firmware="efi" filesystem="ext4"' if IMAGE_KINDS[kind].form == "disk" else ""
    image = select(
        document(
            directory,
            preferences="<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>"
            f'<type image="{kind}"{firmware}/></preferences>',
        ),
        arch=arch,
    )
    repository = ResolvedRepository("debian", "mirror:debian", ("file:///srv",))
    state = RepositoryState((("debian", "0" * 64),), 1_700_000_000, Path("/srv/lists"))
    base = ImportBaseContainer(Source("1" * 64, Path("/srv/base.tar")), arch) if derived else None
    script = Source("2" * 64, Path("/srv/config.sh"))
    inputs = BuildInputs(
        Sources(scripts={"config.sh": script}), state.epoch, (repository,), state, base
    )
    return {step.name: step.key for step in plan_build(image, inputs).steps}


@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_two_architectures_share_no_key(kind: str, derived: bool, tmp_path: Path) -> None:
    ours = _keys(tmp_path, kind, "x86_64", derived=derived)
    theirs = _keys(tmp_path, kind, "aarch64", derived=derived)
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] == theirs[name]} == set()
    assert ours == _keys(tmp_path, kind, "x86_64", derived=derived)
