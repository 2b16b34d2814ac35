"""How long a scan of a directory takes, next to ``find -printf`` of the same facts.

Run it as ``python benchmarks/scan.py [--entries 300000] [--rounds 5] [--json FILE]``. It makes a
tree, lists it alternately with both, and prints the times in seconds and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kiwinb.inspect.formats.directory import DirectoryTree

FORMAT = r"%p %y %s %b %m %U %G %n %i %T@ %l\n"


def make_tree(root: Path, entries: int) -> None:
    """A tree like that of a system: mostly small files, some links, deep and shallow folders."""
    made = 0
    folder = 0
    while made < entries:
        place = root / f"usr{folder % 7}/share{folder % 53}/package-{folder}/some/documentation"
        place.mkdir(parents=True, exist_ok=True)
        made += 3
        descriptor = os.open(place, os.O_RDONLY)
        for number in range(min(40, max(entries - made, 0))):
            name = f"a-file-with-a-name-{number:04}.txt"
            if number % 12 == 11:
                os.symlink("../../a/target/of/a/link", name, dir_fd=descriptor)
            else:
                flags = os.O_CREAT | os.O_WRONLY
                file = os.open(name, flags, 0o644, dir_fd=descriptor)
                if number % 9:
                    os.write(file, b"content of a file\n")
                os.close(file)
            made += 1
        os.close(descriptor)
        folder += 1


def time_find(root: Path) -> tuple[float, int]:
    """Seconds and lines of ``find``, which writes to a file as a user of its output would."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        subprocess.run(["find", root, "-printf", FORMAT], stdout=output, check=True)
        seconds = time.perf_counter() - began
        output.seek(0)
        return seconds, sum(1 for _line in output)


def time_scan(root: Path) -> tuple[float, int]:
    """Seconds and rows of our scan, the table included."""
    began = time.perf_counter()
    rows = len(DirectoryTree(root).scan())
    return time.perf_counter() - began, rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the result there, too")
    parser.add_argument("--directory", type=Path, help="where to make the tree")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as scratch:
        root = Path(scratch) / "tree"
        root.mkdir()
        make_tree(root, arguments.entries)
        time_find(root), time_scan(root)  # both from a warm cache
        finds, scans = [], []
        for _round in range(arguments.rounds):
            seconds, lines = time_find(root)
            finds.append(seconds)
            seconds, rows = time_scan(root)
            scans.append(seconds)
            if lines != rows:
                print(f"find lists {lines} entries, the scan {rows}", file=sys.stderr)
                return 1
    ratio = statistics.median(scans) / statistics.median(finds)
    result = {
        "entries": rows,
        "find_seconds": [round(value, 4) for value in finds],
        "scan_seconds": [round(value, 4) for value in scans],
        "ratio_of_medians": round(ratio, 3),
    }
    print(
        f"{rows} entries: find {statistics.median(finds):.2f} s, "
        f"scan {statistics.median(scans):.2f} s, ratio {ratio:.2f}"
    )
    print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
