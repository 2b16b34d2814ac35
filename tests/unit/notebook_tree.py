"""A small tree in memory, for what shows trees."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.inspect.tree import Tree, table

FILES: Mapping[str, bytes] = {
    "/etc/motd": b"hello\n",
    "/etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
    "/usr/bin/big": bytes(9000),
    "/usr/share/doc/big/README": b"read me\n",
    "/usr/share/odd/\udcff.txt": b"name is not UTF-8\n",
}


class MemoryTree(Tree):
    """Files in memory, and a symbolic link."""

    name = "memory"

    def __init__(self, files: Mapping[str, bytes] = FILES) -> None:
        self._files = dict(files)

    def scan(self) -> pd.DataFrame:
        paths = [*self._files, "/bin"]
        count = len(paths)
        return table(
            {
                "path": paths,
                "type": ["file"] * (count - 1) + ["symlink"],
                "size": [len(data) for data in self._files.values()] + [0],
                "allocated": [-(-len(data) // 4096) * 4096 for data in self._files.values()] + [0],
                "mode": [0o644] * count,
                "uid": [0] * count,
                "gid": [0] * count,
                "links": [1] * count,
                "mtime": [0] * count,
                "target": [""] * (count - 1) + ["usr/bin"],
            }
        )

    def read(self, path: str, limit: int | None = None) -> bytes:
        if path not in self._files:
            raise InspectError(f"{path} is no file")
        return self._files[path][:limit]

    def exists(self, path: str) -> bool:
        return path in set(self.scan()["path"])

    def close(self) -> None:
        pass


def table_of(tree: MemoryTree) -> pd.DataFrame:
    """Its files with owners, packages and usage."""
    files = tree.scan()
    package = files["path"].map(lambda path: "big" if "/big" in path else "")
    return files.assign(owner="root", package=package, usage=files["allocated"])
