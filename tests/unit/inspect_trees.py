"""Trees to look into: small ones in memory, and directories with a package database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from kiwinb.inspect.tree import NUMBERS, Tree, table

INFO = "var/lib/dpkg/info"


@dataclass
class Item:
    """One path of a :class:`MemoryTree`."""

    content: bytes = b""
    type: str = "file"
    mode: int = 0o644
    uid: int = 0
    target: str = ""
    mtime: int = 1
    allocated: int | None = None


class MemoryTree(Tree):
    """A tree of a few files; directories are added by themselves."""

    def __init__(self, items: Mapping[str, Item | bytes | str], name: str = "memory") -> None:
        self.name = name
        self.items = {path: _item(value) for path, value in items.items()}
        self.reads: list[str] = []

    def scan(self) -> pd.DataFrame:
        rows = list(self.items.values())
        numbers = {name: [0] * len(rows) for name in NUMBERS}
        return table(
            {
                **numbers,
                "path": list(self.items),
                "type": [item.type for item in rows],
                "size": [len(item.content) for item in rows],
                "allocated": [_allocated(item) for item in rows],
                "mode": [item.mode for item in rows],
                "uid": [item.uid for item in rows],
                "links": [1] * len(rows),
                "inode": list(range(len(rows))),
                "mtime": [item.mtime for item in rows],
                "target": [item.target for item in rows],
            }
        )

    def read(self, path: str, limit: int | None = None) -> bytes:
        self.reads.append(path)
        return self.items[path].content[:limit]

    def exists(self, path: str) -> bool:
        return any(path in (item, "/") or item.startswith(f"{path}/") for item in self.items)

    def close(self) -> None:
        pass


def _item(value: Item | bytes | str) -> Item:
    if isinstance(value, str):
        return Item(type="symlink", mode=0o777, target=value)
    return value if isinstance(value, Item) else Item(value)


def _allocated(item: Item) -> int:
    return -(-len(item.content) // 4096) * 4096 if item.allocated is None else item.allocated


@dataclass
class Deb:
    """A package in the database of dpkg."""

    name: str
    version: str = "1.0-1"
    fields: str = ""
    files: Sequence[str] = ()
    size: int = 10
    arch: str = "amd64"
    automatic: bool = False
    postinst: str = ""
    stem: str = field(default="")

    def paragraph(self) -> str:
        return (
            f"Package: {self.name}\nStatus: install ok installed\nVersion: {self.version}\n"
            f"Architecture: {self.arch}\nInstalled-Size: {self.size}\n{self.fields}"
        )


def database(*debs: Deb, states: bool = True, diversions: str = "") -> dict[str, bytes]:
    """The files of a database of dpkg, by path."""
    made = {"/var/lib/dpkg/status": "\n".join(deb.paragraph() for deb in debs)}
    for deb in debs:
        stem = f"/{INFO}/{deb.stem or deb.name}"
        made[f"{stem}.list"] = "/.\n" + "".join(f"{path}\n" for path in deb.files)
        if deb.postinst:
            made[f"{stem}.postinst"] = deb.postinst
    if states:
        made["/var/lib/apt/extended_states"] = "\n".join(
            f"Package: {deb.name}\nArchitecture: {deb.arch}\nAuto-Installed: 1\n"
            for deb in debs
            if deb.automatic
        )
    if diversions:
        made["/var/lib/dpkg/diversions"] = diversions
    return {path: text.encode() for path, text in made.items()}


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a directory."""
    for path, content in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return root


def many(count: int, per_package: int = 150) -> Iterator[tuple[str, str]]:
    """Paths as of a large system, each with the package that has it."""
    for number in range(count):
        package = number // per_package
        yield f"/usr/lib/d{package % 97}/pkg{package}/sub{number % 7}/f{number}.so", f"p{package}"
