"""Dependencies have tested bounds, and the tests run with what the locks of tests/lock say."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).parents[2]
LOCKS = REPOSITORY / "tests/locks"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
NAMES = [f"{kind}-python{python}.txt" for kind in ("newest", "lowest") for python in PYTHONS]


def requirements(*lists: list[str]) -> dict[str, Requirement]:
    """The requirements in some lists, by canonical name."""
    found = [Requirement(text) for texts in lists for text in texts]
    return {canonicalize_name(item.name): item for item in found}


USERS = requirements(PROJECT["dependencies"], EXTRAS["dask"], EXTRAS["lab"])


def bounds(requirement: Requirement) -> tuple[Version, Version]:
    """The lower bound, and the upper one, which is too high itself."""
    found = {item.operator: Version(item.version) for item in requirement.specifier}
    assert found.keys() == {">=", "<"}, requirement
    return found[">="], found["<"]


def pins(name: str) -> dict[str, Version]:
    """The versions that a lock has, by canonical name."""
    text = (LOCKS / name).read_text()
    found = re.findall(r"^([a-z0-9.-]+)==(\S+) ", text, re.MULTILINE)
    return {canonicalize_name(project): Version(pinned) for project, pinned in found}


def test_each_supported_python_has_its_locks() -> None:
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in PYTHONS
    assert sorted(path.name for path in LOCKS.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_lock_has_versions_and_hashes_alone(name: str) -> None:
    entries = re.sub(r" *(#.*)?$|\\\n", "", (LOCKS / name).read_text(), flags=re.MULTILINE)
    lines = [line for line in entries.splitlines() if line]
    assert len(lines) == len(pins(name))
    entry = re.compile(r"[a-z0-9.-]+==[\w.!+]+ +(--hash=sha256:[0-9a-f]{64} *)+")
    assert [line for line in lines if not entry.fullmatch(line)] == []
    assert "://" not in (LOCKS / name).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_lock_is_in_line_with_the_project(name: str) -> None:
    wanted = {**requirements(EXTRAS["test"]), **USERS}
    del wanted["kiwinb"]
    locked = pins(name)
    assert wanted.keys() - locked.keys() == set()
    assert [text for key, text in wanted.items() if locked[key] not in text.specifier] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_bounds_are_the_versions_that_are_tested(python: str) -> None:
    lowest, newest = pins(f"lowest-python{python}.txt"), pins(f"newest-python{python}.txt")
    for name, requirement in USERS.items():
        lower, upper = bounds(requirement)
        assert lowest[name] == lower, f"{name}: tests/lock takes the lower bound"
        assert upper == Version(str(newest[name].major + 1)), (
            f"{name}: the next major is not tested"
        )


def test_what_kiwinb_imports_is_declared() -> None:
    modules: set[str] = set()
    for file in (REPOSITORY / "kiwinb").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module)
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"kiwinb"}
    providers = packages_distributions()
    undeclared = {
        top: providers[top]
        for top in tops
        if not USERS.keys() & {canonicalize_name(name) for name in providers[top]}
    }
    assert undeclared == {}
    assert tops >= {"pandas", "numpy", "IPython"}


def test_the_environment_is_that_of_a_lock() -> None:
    """binder/setup installs the lock; what it lacks has not been tested together."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}.txt"
    installed: dict[str, Version] = {
        canonicalize_name(item.name): Version(item.version) for item in distributions()
    }
    locked = [pins(f"{kind}-{python}") for kind in ("newest", "lowest")]
    differences = [
        {name for name in pinned if installed.get(name) != pinned[name]} for pinned in locked
    ]
    assert set() in differences, f"run binder/setup test; other than in the lock: {differences[0]}"
