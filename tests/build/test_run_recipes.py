"""Each shipped recipe passes headless, as CI runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from forecasts import forecast
from junitparser import JUnitXml
from recipes import loaded

from kiwinb.build.appliance import Appliance
from kiwinb.headless.parameters import recipe_parameters
from kiwinb.inspect.package_list import SUFFIX, read_package_list

RECIPES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

FORECAST = {"debian-server": 150, "container-base": 70}
"""Recipes that build their description as it is, and how many packages they have at least."""

pytestmark = pytest.mark.build


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_passes(recipe: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(recipe, as_version=4)
    out = tmp_path / "artefacts"
    places: list[str | Path] = []
    if any(item.name == "target_dir" for item in recipe_parameters(notebook, recipe)):
        places = ["-p", "target_dir", out]
    junit, report = tmp_path / "junit.xml", tmp_path / "report.html"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kiwinb", "--json", "run", recipe, *places, "--log-output"),
            *("-o", tmp_path / recipe.name, "--artefacts", out),
            *("--junit", junit, "--report", report),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert len(run["cells"]) == len(code) + (1 if places else 0)
    assert {cell["state"] for cell in run["cells"]} == {"done"}
    if any("expect." in cell.source for cell in code):
        assert run["expectations"]
    assert all(item["passed"] for item in run["expectations"])

    [suite] = JUnitXml.fromfile(str(junit))
    assert suite.tests == len(run["cells"]) + len(run["expectations"])
    assert (suite.failures, suite.errors, suite.skipped) == (0, 0, 0)

    text = report.read_text()
    assert loaded(text) == []
    assert all(item["what"].split()[0] in text for item in run["expectations"])

    manifest = json.loads((out / "manifest.json").read_text())
    kinds = {item["name"]: item["kind"] for item in manifest["artefacts"]}
    assert kinds[recipe.name] == "notebook"
    images = [Path(item["path"]).name for item in run["artefacts"] if item["kind"] == "image"]
    assert all(kinds[name] == "image" and (out / name).stat().st_size for name in images)
    if places:
        assert re.search(r"^  [=+] \S+: Clean up.*: (held|done)", done.stderr, re.MULTILINE)
        assert images
        _check_forecast(recipe, out)
        assert "kiwi.result.json" in kinds


def _check_forecast(recipe: Path, out: Path) -> None:
    """Hold the forecast for the recipe's description against the packages of its image."""
    description = recipe.with_suffix("")
    if recipe.stem not in FORECAST:
        return
    [file] = out.glob(f"*{SUFFIX}")
    found = {(item.name, item.version, item.arch) for item in read_package_list(file).packages}
    assert forecast(Appliance(description)) == found
    assert len(found) > FORECAST[recipe.stem]
