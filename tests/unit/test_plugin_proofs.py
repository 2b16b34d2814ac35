"""What docs/plugins.md says of plug-ins is proven by the tests that it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from plugin_registries import PLUGINS, REGISTRIES

from kiwinb.cli import plugins
from kiwinb.cli.documents import DIRECTORY
from kiwinb.cli.proofs import ALL, TESTS, Proof, read_proofs

PROOFS = read_proofs()
HONOURED = [
    (sort, name, part) for sort, name in PLUGINS for part in sorted(plugins.honoured(sort, name))
]


def test_each_test_that_the_document_names_is_there() -> None:
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", (DIRECTORY / "plugins.md").read_text())
    assert len(named) > 50
    for file, function in named:
        tree = ast.parse((TESTS.parent / file).read_text())
        assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert function.startswith("test_")


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: f"{proof.test}-{proof.sort}")
def test_a_proof_is_about_something_that_is_there(proof: Proof) -> None:
    registry = REGISTRIES[proof.sort]
    assert proof.names == (ALL,) or {*proof.names} <= {*registry}
    for name in registry if ALL in proof.names else proof.names:
        assert {*proof.honoured} - {ALL} <= plugins.honoured(proof.sort, name)


@pytest.mark.parametrize(("sort", "name"), PLUGINS)
def test_each_plugin_is_proven(sort: str, name: str) -> None:
    assert len([proof for proof in PROOFS if proof.is_about(sort, name)]) >= 2


@pytest.mark.parametrize(("sort", "name", "part"), HONOURED)
def test_what_a_plugin_honours_is_proven(sort: str, name: str, part: str) -> None:
    assert any(proof.is_about(sort, name) and proof.is_of(part) for proof in PROOFS)


def test_proofs_are_read(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit/test_x.py").write_text(
        '@pytest.mark.proves("file system", "*")\n@pytest.mark.proves("file system", "a b", "c")\n'
        'def test_it() -> None: ...\n@pytest.mark.proves("bootloader", "d")\n'
        "def not_a_test() -> None: ...\n"
    )
    test = f"{tmp_path.name}/unit/test_x.py::test_it"
    assert read_proofs(tmp_path) == (
        Proof(test, "file system", ("a", "b"), ("c",)),
        Proof(test, "file system", ("*",), ()),
    )
    assert read_proofs(tmp_path / "nothing") == ()
    (tmp_path / "test_y.py").write_text('@pytest.mark.proves("one")\ndef test_it(): ...\n')
    with pytest.raises(ValueError, match=r"test_y\.py::test_it: proves takes a sort, names"):
        read_proofs(tmp_path)
