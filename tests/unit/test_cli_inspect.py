import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from inspect_trees import Deb, database, write

from kiwinb.cli import app
from kiwinb.errors import InspectError, StoreError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(
        tmp_path / "root",
        {
            "/usr/bin/app": b"x" * 5000,
            "/srv/mine": b"y",
            **database(
                Deb("app", fields="Depends: lib\nSection: web\n", files=["/usr/bin/app"]),
                Deb("lib", automatic=True),
            ),
        },
    )


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


def test_files(root: Path) -> None:
    rows = {row["path"]: row for row in json.loads(run("files", root, "--json"))}
    assert rows["/usr/bin/app"]["package"] == "app"
    assert rows["/usr/bin/app"]["size"] == 5000
    text = run("files", root)
    assert text.splitlines()[0].split()[:3] == ["path", "type", "size"]
    assert "4.9 KiB" in text


def test_packages(root: Path) -> None:
    rows = json.loads(run("packages", root, "--json"))
    assert [(row["name"], row["why"]) for row in rows] == [
        ("app", "installed by name"),
        ("lib", "dependency of app"),
    ]
    assert rows[1]["required_by"] == ["app"]
    assert run("packages", root, "--why", "lib") == (
        "lib\n  dependency of app\n  installed by name\n"
    )
    with pytest.raises(InspectError, match="not installed"):
        run("packages", root, "--why", "vim")


def test_unowned(root: Path) -> None:
    paths = [row["path"] for row in json.loads(run("unowned", root, "--json"))]
    assert "/srv/mine" in paths
    assert "/var/lib/dpkg/status" not in paths
    assert "/var/lib/dpkg/status" in run("unowned", root, "--all")


def test_breakdown(root: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("breakdown", root, "--by", "package", "--csv"))))
    assert {row["group"] for row in rows} == {"app", "(no package)"}
    picture = tmp_path / "a.png"
    text = run("breakdown", root, "--compressed", "--plot", picture)
    assert "compressed" in text.splitlines()[0]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_diff(root: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"/usr/bin/app": b"z", **database(Deb("app", "2"))})
    text = run("diff", root, other)
    assert "1 removed, 1 upgraded" in text
    assert "/usr/bin/app" not in text
    assert "/usr/bin/app" in run("diff", root, other, "--files")
    data = json.loads(run("diff", root, other, "--json"))
    assert {row["name"]: row["change"] for row in data["packages"]} == {
        "app": "upgraded",
        "lib": "removed",
    }
    assert isinstance(data["packages"][0]["delta"], int)


def test_lists_of_packages_have_no_sizes(tmp_path: Path) -> None:
    for name, version in (("a", 1), ("b", 2)):
        line = f"bash|None|{version}|None|amd64|None|None\n"
        (tmp_path / f"{name}.packages").write_text(line)
    paths = [tmp_path / "a.packages", tmp_path / "b.packages"]
    (row,) = json.loads(run("diff", *paths, "--json"))["packages"]
    assert row["delta"] is None
    assert "upgraded" in run("diff", *paths)


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InspectError):
        run("files", tmp_path / "none")
    (tmp_path / "config.toml").write_text(f'store = "{tmp_path}/store"\n')
    monkeypatch.setenv("KIWINB_CONFIG", str(tmp_path / "config.toml"))
    with pytest.raises(StoreError, match="no checkpoints have a key that starts with abcdef"):
        run("files", "abcdef")


def test_the_command_line_starts_without_pandas() -> None:
    script = (
        "import sys, kiwinb.cli, kiwinb.build.appliance; "
        "print([name for name in ('pandas', 'numpy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n"
