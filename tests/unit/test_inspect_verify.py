"""Files of packages against what dpkg states; the other databases have tests of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from inspect_trees import Deb, MemoryTree, database, write

from kiwinb.cli import app
from kiwinb.inspect import verify as module
from kiwinb.inspect.formats.directory import DirectoryTree
from kiwinb.inspect.verify import COLUMNS, verify


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


SUMS = f"{md5(b'one')}  usr/share/one\n{md5(b'two')}  usr/share/two\n{md5(b'x')}  usr/share/gone\n"
CONF = (
    f"Conffiles:\n /etc/kept {md5(b'kept')}\n /etc/edited {md5(b'old')}\n"
    f" /etc/left {md5(b'left')} obsolete\n /etc/new newconffile\n"
    "Description: text\nMaintainer: me\n"
)
PATHS = ("/etc", "/etc/kept", "/etc/edited", "/etc/new", "/usr/share/one", "/usr/share/two")
FILES = {
    **database(Deb("tool", fields=CONF, files=[*PATHS, "/usr/share/gone", "/usr/share/folder"])),
    "/var/lib/dpkg/info/tool.md5sums": SUMS.encode(),
    "/var/lib/dpkg/info/format": b"1\n",
    "/etc/kept": b"kept",
    "/etc/edited": b"new",
    "/etc/new": b"",
    "/usr/share/one": b"one",
    "/usr/share/two": b"2",
    "/usr/share/folder/mine": b"",
}
WRONG = {"/etc/edited": "content", "/usr/share/gone": "missing", "/usr/share/two": "content"}


@pytest.mark.needs("dpkg")
def test_as_dpkg_does(tmp_path: Path) -> None:
    root = write(tmp_path, FILES)
    found = verify(DirectoryTree(root))
    assert tuple(found.columns) == COLUMNS
    assert dict(zip(found["path"], found["what"], strict=True)) == WRONG
    assert found.loc[found["config"], "path"].tolist() == ["/etc/edited"]
    assert set(found["package"]) == {"tool"}
    done = subprocess.run(
        ["dpkg", f"--root={root}", "--verify"],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    said = {line[12:] for line in done.stdout.splitlines()}
    assert said - {"/etc/new"} == WRONG.keys(), "dpkg takes the word newconffile for a digest"


def test_diverted_files() -> None:
    tree = MemoryTree(
        {
            **database(
                Deb("a", files=["/usr/bin/x"]), diversions="/usr/bin/x\n/usr/bin/x.orig\nother\n"
            ),
            "/var/lib/dpkg/info/a.md5sums": f"{md5(b'a')}  usr/bin/x\n".encode(),
            "/usr/bin/x": b"other",
            "/usr/bin/x.orig": b"a",
        }
    )
    assert verify(tree).empty


def test_below_links_and_in_one_of_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 10)
    count = 20
    sums = "".join(f"{md5(b'%d' % n)}  lib/f{n}\n" for n in range(count))
    tree = MemoryTree(
        {
            **database(Deb("a", files=["/lib", *(f"/lib/f{n}" for n in range(count))])),
            "/var/lib/dpkg/info/a.md5sums": sums.encode(),
            "/lib": "usr/lib",
            **{f"/usr/lib/f{n}": b"%d" % n for n in range(count)},
            "/usr/lib/f7": b"seven",
        }
    )
    assert verify(tree)["path"].tolist() == ["/lib/f7"]


def test_on_the_command_line(tmp_path: Path) -> None:
    root = write(tmp_path, FILES)
    done = CliRunner().invoke(app, ["inspect", "verify", str(root)], catch_exceptions=False)
    assert done.output.splitlines()[0].split() == list(COLUMNS)
    assert "/usr/share/gone" in done.output
    done = CliRunner().invoke(app, ["inspect", "verify", "--json", str(root)])
    assert {row["path"]: row["what"] for row in json.loads(done.output)} == WRONG
