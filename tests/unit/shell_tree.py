"""A small root tree of the host's own programs, and scripts that run in it as in a build."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from kiwinb.prepare.scripts import RunScript, Script, ScriptEnvironment
from kiwinb.prepare.shell import functions_text
from kiwinb.sandbox.tools import search_path
from kiwinb.sandbox.worker import Report, call
from kiwinb.steps.keys import Source
from kiwinb.steps.step import HostPaths, StepContext

_PROGRAMS = """
    bash cat basename chmod chown cp cut date dirname env find getent grep head id install
    kmod ldd ldconfig ln ls mkdir mktemp mount mv printf readlink realpath rm rmdir rpm
    rpmkeys sed sh sleep sort stat systemctl tail touch tr umount uname uniq wc xargs
    localedef
"""
KMOD = ("depmod", "modinfo", "modprobe")


def make_seed(root: Path) -> None:
    """Make the tree; the directories of programs are one, as in the distributions of today."""
    for name in ("usr/bin", "usr/lib", "usr/lib64", "etc", "root", "tmp", "var/tmp", "var/lib"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "sbin").symlink_to("usr/bin")
    (root / "usr/sbin").symlink_to("bin")
    files = set()
    for name in _PROGRAMS.split():
        found = shutil.which(name, path=search_path())
        assert found, f"{name} is not on this machine: see tests/apt.txt"
        shutil.copy(found, root / "usr/bin" / name)
        linked = subprocess.run(["ldd", found], capture_output=True, text=True, check=False).stdout
        files |= set(re.findall(r"(/\S+) \(0x", linked))
    for file in files:
        place = root / file.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    for name in KMOD:
        (root / "usr/bin" / name).symlink_to("kmod")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    shutil.copytree("/usr/lib/locale/C.utf8", root / "usr/lib/locale/C.utf8")
    shutil.copytree("/usr/lib/rpm", root / "usr/lib/rpm", symlinks=True)


@dataclass(frozen=True)
class Tree:
    """A root tree for one test."""

    root: Path

    def write(self, path: str, text: str | bytes = "", mode: int = 0o644) -> Path:
        """Write a file, and the directories on its way."""
        place = self.root / path.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # it may be a hard link to the seed
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        place.chmod(mode)
        return place

    def read(self, path: str) -> str:
        """The text of a file."""
        return (self.root / path.removeprefix("/")).read_text()

    def has(self, path: str) -> bool:
        """Whether there is something."""
        place = self.root / path.removeprefix("/")
        return place.exists() or place.is_symlink()

    def files(self, directory: str) -> set[str]:
        """What is in a directory, other than directories, relative to it."""
        place = self.root / directory.removeprefix("/")
        return {
            str(path.relative_to(place))
            for path in place.rglob("*")
            if path.is_symlink() or not path.is_dir()
        }

    def sh(self, text: str, **variables: str) -> list[str]:
        """Run ``config.sh`` in it, with ``set -eu``; its output."""
        return self.script(f"set -eu\n. /.kconfig\n. /.profile\n{text}\n", variables)

    def script(
        self,
        text: str,
        variables: Mapping[str, str] | None = None,
        *,
        mode: int = 0o644,
        on_host: bool = False,
    ) -> list[str]:
        """Run a script in it as a build does; its output."""
        lines: list[str] = []
        place = self.root.parent / "config.sh"
        place.write_text(text)
        place.chmod(mode)
        call(
            _run,
            (self.root, place, dict(variables or {}), on_host),
            on_log=lines.append,
        )
        return lines


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that those of all tests are copied from."""
    root = tmp_path_factory.mktemp("seed") / "root"
    make_seed(root)
    return root


@pytest.fixture
def tree(seed: Path, tmp_path: Path) -> Tree:
    """A root tree."""
    subprocess.run(["cp", "-al", seed, tmp_path / "root"], check=True)
    return Tree(tmp_path / "root")


def _run(argument: tuple[Path, Path, dict[str, str], bool], report: Report) -> None:
    root, script, variables, on_host = argument
    environment = ScriptEnvironment(functions_text(), variables, 1_600_000_000)
    action = RunScript(Script(script.name, Source("0" * 64, script), environment), on_host)
    action.run(
        StepContext(
            root=root,
            out=None,
            inputs={},
            host=HostPaths(root),
            log=report.log,
            progress=report.progress,
            rootless=False,
        )
    )


def kernel_module(**facts: str | list[str]) -> bytes:
    """A relocatable ELF file with nothing in it but ``.modinfo``; see elf(5)."""
    pairs = [
        (name, value)
        for name, values in facts.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    modinfo = b"".join(f"{name}={value}".encode() + b"\0" for name, value in pairs)
    names = b"\0.modinfo\0.shstrtab\0.symtab\0.strtab\0"
    symbols, strings = bytes(24), b"\0"
    at = 64
    sections = [bytes(64)]
    body = b""
    for name, kind, content, link, size in (
        (b".modinfo", 1, modinfo, 0, 0),
        (b".shstrtab", 3, names, 0, 0),
        (b".symtab", 2, symbols, 4, 24),
        (b".strtab", 3, strings, 0, 0),
    ):
        place = names.index(name)
        sections.append(
            struct.pack("<IIQQQQIIQQ", place, kind, 0, 0, at, len(content), link, 0, 1, size)
        )
        body += content
        at += len(content)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        1,
        62,
        1,
        0,
        0,
        at,
        0,
        64,
        0,
        0,
        64,
        len(sections),
        2,
    )
    return header + body + b"".join(sections)
