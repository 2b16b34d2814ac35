"""Turn a Debian package into a package of no certain format."""

from __future__ import annotations

import posixpath
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from made_debs import Deb
from made_packages import (
    EPOCH,
    Alternatives,
    Entry,
    Package,
    Relation,
    Scripts,
    Version,
    relations,
    symlink,
)
from made_table import AFTER, CAPABILITIES, CUT, DROPPED, DROPPED_NAMES, LINKS, PROVIDED

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_BASE = Relation("filesystem")


def converted(deb: Deb, file: Path, base: frozenset[str]) -> Package:
    """Turn a Debian package into a package of no certain format.

    Args:
        deb: What the package list says of it.
        file: The file.
        base: Paths that the package with the base directories owns.
    """
    fields = deb.fields
    conflicts = [*relations(fields.get("conflicts", "")), *relations(fields.get("breaks", ""))]
    provides = [group[0] for group in relations(fields.get("provides", ""))]
    links = [symlink(path, target) for path, target in LINKS.get(deb.name, {}).items()]
    entries = (entry for entry in _entries(file) if entry.path not in base)
    return Package(
        name=deb.name,
        version=Version.of(fields["version"]),
        arch="noarch" if fields["architecture"] == "all" else "x86_64",
        summary=fields["description"].partition("\n")[0],
        entries=sorted(
            [*entries, *links], key=lambda entry: (entry.kind == "hardlink", entry.path)
        ),
        requires=((_BASE,), *_required(deb)),
        recommends=relations(fields.get("recommends", "")),
        provides=(*provides, *map(Relation, PROVIDED.get(deb.name, ()))),
        conflicts=tuple(group[0] for group in conflicts),
        scripts=Scripts(post=AFTER.get(deb.name, "")),
    )


def _required(deb: Deb) -> Iterator[Alternatives]:
    for name in ("pre-depends", "depends"):
        for group in relations(deb.fields.get(name, "")):
            if any(relation.name not in CUT for relation in group):
                yield group


def _entries(file: Path) -> Iterator[Entry]:
    """The files in a Debian package that are not dropped, at their places below ``/usr``."""
    config = {path.strip().lstrip("/") for path in _control_file(file, "conffiles").splitlines()}
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", file], check=True, capture_output=True)
    seen: set[str] = set()
    with tarfile.open(fileobj=BytesIO(data.stdout)) as tar:
        for member in tar:
            entry = _entry(tar, member)
            if entry.path in seen or not entry.path or _is_dropped(entry.path):
                continue
            seen.add(entry.path)
            yield replace(
                entry,
                config=posixpath.normpath(member.name) in config,
                capability=CAPABILITIES.get(entry.path, ""),
            )


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    name = posixpath.normpath(member.name).strip("/").removeprefix(".")
    target, content = "", b""
    if member.issym():
        kind, target = "symlink", _link_text(name, member.linkname)
    elif member.islnk():
        kind, target = "hardlink", _merged(posixpath.normpath(member.linkname).strip("/"))
    elif member.isdir():
        kind = "directory"
    else:
        opened = tar.extractfile(member)
        assert opened is not None, f"{name} is a device"
        kind, content = "file", opened.read()
    return Entry(
        path=_merged(name),
        kind=kind,
        mode=member.mode,
        owner=member.uname or "root",
        group=member.gname or "root",
        data=content,
        target=target,
        mtime=min(int(member.mtime), EPOCH),
    )


def _merged(path: str) -> str:
    top, slash, _below = path.partition("/")
    if top not in _MERGED:
        return path
    return f"usr/{path}" if slash else ""  # the directory itself is a link


def _link_text(name: str, target: str) -> str:
    """What a symbolic link says, so that it still leads to its target below ``/usr``."""
    if target.startswith("/"):
        return target
    leads_to = posixpath.normpath(posixpath.join("/", posixpath.dirname(name), target))
    merged = _merged(leads_to.lstrip("/"))
    return posixpath.relpath(f"/{merged}", f"/{posixpath.dirname(_merged(name))}")


def _is_dropped(path: str) -> bool:
    if posixpath.basename(path) in DROPPED_NAMES:
        return True
    return any(path == dropped or path.startswith(f"{dropped}/") for dropped in DROPPED)


def _control_file(file: Path, name: str) -> str:
    """The text of a file of the control archive; empty if there is none."""
    done = subprocess.run(["dpkg-deb", "--info", file, name], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""
