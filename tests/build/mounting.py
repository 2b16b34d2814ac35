"""Mount images, and hold two trees against each other in every column."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kiwinb.inspect.tree import Tree


@contextmanager
def mounted(image: Path, kind: str, options: str) -> Iterator[Path]:
    """Mount it in this worker, which takes its mounts along when it ends."""
    with tempfile.TemporaryDirectory() as place:
        words = ["mount", "-t", kind, "-o", options, str(image), place]
        for _ in range(50):
            tried = subprocess.run(words, capture_output=True, text=True)
            if not tried.returncode:
                break
            time.sleep(0.1)  # the loop device of the mount before goes away a little later
        assert not tried.returncode, tried.stderr
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


def differences(one: Tree, other: Tree, columns: tuple[str, ...]) -> list[str]:
    a, b = one.scan().set_index("path"), other.scan().set_index("path")
    found = [f"{path} in one only" for path in set(a.index) ^ set(b.index)]
    if found:
        return sorted(found)
    for name in columns:
        unequal = a[name].astype(object) != b[name].astype(object)
        found += [
            f"{path}: {name} {a.loc[path, name]!r} {b.loc[path, name]!r}"
            for path in a.index[unequal]
        ]
    files = a.index[a["type"] == "file"].tolist()
    left, right = one.digests(files), other.digests(files)
    return found + [f"{path}: content" for path in files if left[path] != right[path]]
