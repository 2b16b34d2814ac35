"""Result files of real packages have the formats of KIWI NG: what reads its files reads these."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_build import build, write_description

from kiwinb import Appliance
from kiwinb.build.image import Image
from kiwinb.results.bundle import bundle

KIWI: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data/kiwi-11.1-results.json").read_text()
)

pytestmark = pytest.mark.build

Made = tuple[Appliance, Image]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A container with a changed configuration file, and a missing one."""
    directory = tmp_path_factory.mktemp("formats")
    description = write_description(directory, "oci", '<package name="adduser"/>')
    (description / "root/etc/adduser.conf").write_text("FIRST_UID=2000\n")
    (description / "config.sh").write_text("set -e\nrm /etc/deluser.conf /usr/bin/ping\n")
    return build(directory)


@pytest.fixture
def tree(made: Made, tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    made[0].prepare().export(root)
    return root


def text(made: Made, tag: str) -> str:
    return made[1].result.path(tag).read_text(encoding="utf-8", errors="surrogateescape")


def test_packages(made: Made, tree: Path) -> None:
    """The lines are those that KIWI NG asks of dpkg-query, sorted."""
    found = text(made, "image_packages")
    form = "${Package}|None|${Version}|None|${Architecture}|None|None\n"
    command = ["dpkg-query", "--admindir", str(tree / "var/lib/dpkg"), "-W", "-f", form]
    asked = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == "".join(sorted(asked.splitlines(keepends=True)))
    line = re.compile(KIWI["texts"]["image_packages"]["line"])
    assert [item for item in found.splitlines() if not line.fullmatch(item)] == []


def test_changes(made: Made, tree: Path) -> None:
    """KIWI NG writes the changelogs whole, below the names of their directories."""
    spec, found = KIWI["texts"]["image_changes"], text(made, "image_changes")
    parts = re.split(rf"^({spec['head']})\n", found, flags=re.MULTILINE)
    assert parts[0] == ""
    names, bodies = [head[:-1] for head in parts[1::2]], parts[2::2]
    assert names == sorted(names)
    assert {"adduser", "bash", "dpkg", "tzdata"} <= set(names)
    assert all(re.match(spec["first"], body) for body in bodies)
    assert all(body.endswith("\n\n") for body in bodies)
    with gzip.open(tree / "usr/share/doc/bash/changelog.Debian.gz", "rt") as changelog:
        assert bodies[names.index("bash")] == changelog.read() + "\n"


def test_verified(made: Made) -> None:
    found = text(made, "image_verified").splitlines()
    line = re.compile(KIWI["texts"]["image_verified"]["line"])
    assert [item for item in found if not line.fullmatch(item)] == []
    assert "??5?????? c /etc/adduser.conf" in found
    assert "missing   c /etc/deluser.conf" in found
    assert "missing     /bin/ping" in found


def entries(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those with a file, as a program that knows KIWI NG's file takes them."""
    return ((tag, item) for tag, item in data.items() if "filename" in item)


def test_record(made: Made) -> None:
    result = made[1].result
    data = json.loads((result.directory / "kiwi.result.json").read_text())
    found = dict(entries(data))
    assert found.keys() == {"container", *KIWI["texts"]}
    for tag, item in found.items():
        assert list(item) == KIWI["entry"]
        assert Path(item["filename"]) == result.path(tag)
        assert Path(item["filename"]).is_absolute() and Path(item["filename"]).is_file()


def test_bundle(made: Made, tmp_path: Path) -> None:
    names = {path.name for path in bundle(made[1].result.directory, tmp_path / "bundle", "b1")}
    name = "small.x86_64-1.0.0-b1"
    assert names == {
        *(f"{name}.oci.tar.xz", f"{name}.oci.tar.xz.sha256"),
        *(f"{name}.packages", f"{name}.changes.xz", f"{name}.verified"),
    }
    checksum = (tmp_path / f"bundle/{name}.oci.tar.xz.sha256").read_text()
    assert re.fullmatch(rf"[0-9a-f]{{64}}  {re.escape(name)}\.oci\.tar\.xz\n", checksum)
