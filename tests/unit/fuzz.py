"""Mutants of images, archives, lists and databases of all kinds that kiwinb reads.

Seeds are made by the tools of each format. A mutant is made from a seed, its kind and a number, so
it can be made again. Each is read in a process of limited memory and time, and must give a table or
an ``InspectError``. For a longer run than that of the tests::

    PYTHONPATH=. python tests/unit/fuzz.py --each 2000 [--start 1000000] [KIND …]

It prints figures. A mutant that fails is kept: ``--keep`` writes it to ``tests/data/fuzz``, where
the tests read it again from then on.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import formats
from json_mutants import mutant as json_mutant
from test_archive_damage import archive, layout
from test_inspect_formats_disk import make_disk

from kiwinb.errors import InspectError, SpaceError
from kiwinb.inspect.files import files
from kiwinb.inspect.formats import open_tree
from kiwinb.inspect.mtree import write
from kiwinb.inspect.packages import packages

KEPT = Path(__file__).parents[1] / "data" / "fuzz"
"""Mutants that failed once, compressed with xz; ``KIND.NUMBER.xz``."""

SECONDS = 20.0
"""Processor time for one mutant."""

MEMORY = 6 << 30
LONGEST = 1500
"""Characters of an error."""

STATUS = """\
Package: base-files
Status: install ok installed
Installed-Size: 340
Maintainer: A <a@example.org>
Architecture: amd64
Version: 12.4+deb12u5
Depends: libc6 (>= 2.36), bash | dash
Conffiles:
 /etc/fstab 0123456789abcdef0123456789abcdef
Description: files
 more

Package: libc6
Status: deinstall ok config-files
Architecture: amd64
Multi-Arch: same
Version: 2:2.36-9
Provides: libc (= 2.36)

"""


def plain_tree(root: Path) -> Path:
    """A tree of few and small files, with a database of packages."""
    (root / "etc" / "deep").mkdir(parents=True)
    (root / "etc" / "fstab").write_text("UUID=x / ext4 defaults 0 1\n")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "os-release").write_text("ID=debian\nVERSION_ID=12\n")
    for number in range(30):
        (root / "etc" / f"file-{number}").write_text(f"{number} " * number * 20)
    (root / "link").symlink_to("etc/" + "long/" * 30)
    (root / "etc" / "deep" / "more").write_bytes(random.Random(1).randbytes(100_000))
    info = root / "var" / "lib" / "dpkg" / "info"
    info.mkdir(parents=True)
    (info.parent / "status").write_text(STATUS)
    (info / "base-files.list").write_text("/.\n/etc\n/etc/fstab\n")
    (info / "base-files.md5sums").write_text("0123456789abcdef0123456789abcdef  etc/passwd\n")
    return root


def _shell(command: str) -> Callable[[Path, Path], Path]:
    def make(tree: Path, image: Path) -> Path:
        formats.shell(command, tree=tree, image=image)
        return image

    return make


def _vfat(tree: Path, image: Path) -> Path:
    (tree / "link").unlink()
    formats.shell('truncate -s 8M "$i"; mkfs.vfat "$i"; mcopy -smi "$i" $t/* ::', i=image, t=tree)
    return image


def _xfs(tree: Path, image: Path) -> Path:
    lines = ["x", "0 0", "d--755 0 0"]
    found = sorted((tree / "etc").iterdir())
    lines += [f"{path.name} ---644 1 2 {path}" for path in found if path.is_file()]
    proto = tree.parent / "proto"
    proto.write_text("\n".join([*lines, "$", ""]))
    formats.shell('truncate -s 320M "$i"; mkfs.xfs -q -p "$p" "$i"', i=image, p=proto)
    return image


def _mtree(tree: Path, image: Path) -> Path:
    return write(tree, image)


def _oci(tree: Path, image: Path) -> Path:
    formats.shell('tar -C "$tree" -cf "$layer" .', tree=tree, layer=tree.parent / "layer")
    layer = (tree.parent / "layer").read_bytes()
    made = layout(tree.parent / "layout", [layer, archive()], [layer, archive()])
    formats.shell('tar -C "$made" -cf "$image" .', made=made, image=image)
    return image


def _docker(tree: Path, image: Path) -> Path:
    top = tree.parent / "docker"
    top.mkdir()
    (top / "layer.tar").write_bytes(archive())
    (top / "config.json").write_text('{"history": [{"created_by": "x"}], "rootfs": {}}')
    item = {"Config": "config.json", "RepoTags": ["a:b"], "Layers": ["layer.tar"]}
    (top / "manifest.json").write_text(json.dumps([item]))
    formats.shell('tar -C "$top" -cf "$image" .', top=top, image=image)
    return image


def _disk(table: str) -> Callable[[Path, Path], Path]:
    return lambda tree, image: make_disk(tree.parent / "disk", table).rename(image)


def _virtual(options: str) -> Callable[[Path, Path], Path]:
    return _shell(
        'truncate -s 8M "$image.raw"; mke2fs -q -F -d "$tree" "$image.raw"; '
        f'qemu-img convert -f raw {options} "$image.raw" "$image"; rm "$image.raw"'
    )


_TAR = 'tar -C "$tree" -c . | '
_CPIO = 'cd "$tree"; find . -print0 | cpio --quiet -o0 -H newc'

SEEDS: Mapping[str, Callable[[Path, Path], Path]] = {
    **{kind: _shell(made.command) for kind, made in formats.MADE.items()},
    "tar lz4": _shell(_TAR + 'lz4 -q > "$image"'),
    "tar lzo": _shell(_TAR + 'lzop -q > "$image"'),
    "tar lzma": _shell(_TAR + 'xz --format=lzma > "$image"'),
    "tar of 1988": _shell('tar -C "$tree" --format=ustar -cf "$image" etc'),
    "tar of an increment": _shell('tar -C "$tree" -G -cf "$image" .'),
    "cpio zst": _shell(_CPIO + ' | zstd -q > "$image"'),
    "initrd": _shell(f'({_CPIO}; {_CPIO} | xz -C crc32) > "$image"'),
    "iso9660 without Rock Ridge": _shell(
        'xorriso -as mkisofs -J -iso-level 3 -o "$image" "$tree/etc"'
    ),
    "vfat": _vfat,
    "xfs": _xfs,
    "disk gpt": _disk("gpt"),
    "disk dos": _disk("dos"),
    "qcow2": _virtual("-O qcow2"),
    "qcow2 compressed": _virtual("-c -O qcow2"),
    "vmdk": _virtual("-O vmdk"),
    "vmdk as a stream": _virtual("-O vmdk -o subformat=streamOptimized"),
    "vdi": _virtual("-O vdi"),
    "vhdx": _virtual("-O vhdx"),
    "vpc": _virtual("-O vpc"),
    "mtree": _mtree,
    "oci": _oci,
    "docker": _docker,
}
"""How the seed of each kind is made of a tree."""

SLOW = ("qcow2", "qcow2 compressed", "vmdk", "vmdk as a stream", "vdi", "vhdx", "vpc")
"""Kinds for which each mutant starts qemu-img three times."""

IN_TREES = ("dpkg", "oci-json", "docker-json")
"""Kinds that are files of a directory, or JSON in an archive."""

KINDS = (*SEEDS, *IN_TREES)


@dataclass(frozen=True)
class Case:
    """A mutant: the image to read, and what undoes the change."""

    image: Path
    undo: Callable[[], None]


class Images:
    """The seeds, made in a directory as they are needed."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._made: dict[str, tuple[Path, bytes, list[int]]] = {}

    def seed(self, kind: str) -> Path:
        """The image of a kind."""
        return self._seed(kind)[0]

    def _seed(self, kind: str) -> tuple[Path, bytes, list[int]]:
        if kind not in self._made:
            top = self._top / kind.replace(" ", "-")
            top.mkdir()
            image = SEEDS[kind](plain_tree(top / "tree"), top / "image")
            read_all(image)  # it is whole
            data = image.read_bytes()
            used = [at for at in range(0, len(data), 512) if data[at : at + 512].strip(b"\0")]
            self._made[kind] = image, data, used
        return self._made[kind]

    def case(self, kind: str, number: int) -> Case:
        """A mutant."""
        chance = random.Random(f"{kind} {number}")
        if kind in IN_TREES:
            return self._in_tree(kind, chance)
        image, data, used = self._seed(kind)
        if chance.random() < 0.1:
            left = chance.choice((chance.randrange(len(data)), chance.choice(used)))
            os.truncate(image, left)
            return Case(image, lambda: _restore(image, data, [(left, len(data) - left)]))
        places = []
        with image.open("r+b") as file:
            for _ in range(chance.choice((1, 1, 4, 20))):
                at = chance.choice(used[: chance.choice((1, 4, 60, len(used)))])
                at = min(at + chance.randrange(512), len(data) - 8)
                value = _value(chance, data[at : at + 8])
                places.append((at, len(value)))
                file.seek(at)
                file.write(value)
        return Case(image, lambda: _restore(image, data, places))

    def _in_tree(self, kind: str, chance: random.Random) -> Case:
        top = Path(tempfile.mkdtemp(dir=self._top))
        if kind == "dpkg":
            tree = plain_tree(top / "tree")
            file = (
                tree
                / "var/lib/dpkg"
                / chance.choice(
                    ("status", "status", "info/base-files.list", "info/base-files.md5sums")
                )
            )
            data = bytearray(file.read_bytes())
            for _ in range(chance.choice((1, 3, 10))):
                at = chance.randrange(len(data))
                data[at : at + chance.choice((0, 1, 8))] = _value(chance, bytes(8))
            file.write_bytes(data)
            return Case(tree, lambda: shutil.rmtree(top))
        made = layout(top / "layout", [archive()], [archive()])
        if kind == "oci-json":
            found = [made / "index.json", *(made / "blobs/sha256").iterdir()]
            found = [path for path in found if path.read_bytes().startswith(b"{")]
        else:
            shutil.rmtree(made)
            made.mkdir()
            item = {"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["l.tar"]}
            (made / "manifest.json").write_text(json.dumps([item]))
            (made / "c.json").write_text('{"history": [{"created_by": "x"}]}')
            (made / "l.tar").write_bytes(archive())
            found = [made / "manifest.json", made / "c.json"]
        file = chance.choice(sorted(found))
        file.write_text(json.dumps(json_mutant(json.loads(file.read_text()), chance)))
        if kind == "docker-json":
            formats.shell('tar -C "$made" -cf "$image" .', made=made, image=top / "image")
            return Case(top / "image", lambda: shutil.rmtree(top))
        return Case(made, lambda: shutil.rmtree(top))


def _value(chance: random.Random, before: bytes) -> bytes:
    flipped = bytes((before[0] ^ 1 << chance.randrange(8),))
    odd = (b"\0", b"\xff", b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 3, bytes(8), flipped)
    return chance.choice((*odd, chance.randbytes(8), chance.randbytes(2)))


def _restore(image: Path, data: bytes, places: Sequence[tuple[int, int]]) -> None:
    with image.open("r+b") as file:
        for at, size in places:
            file.seek(at)
            file.write(data[at : at + size])
        file.truncate(len(data))


def read_all(image: Path) -> None:
    """Read all that a user can see of an image."""
    with open_tree(image) as tree:
        table = tree.scan()
        paths = table[table["type"] == "file"]["path"].tolist()[:100]
        if tree.has_contents:
            tree.digests(paths)
        if tree.has_contents and tree.exists("/var/lib/dpkg/status"):
            packages(tree)
        files(tree)


def verdict(image: Path) -> str:
    """Read an image: ``table``, ``error``, or what is wrong."""
    began = time.process_time()
    try:
        read_all(image)
    except (InspectError, SpaceError) as error:
        if len(str(error)) > LONGEST:
            return f"a message of {len(str(error))} characters"
        result = "error"
    except MemoryError:
        return "out of memory"
    except _LateError:
        return f"more than {SECONDS:.0f} s"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    else:
        result = "table"
    seconds = time.process_time() - began
    return result if seconds < SECONDS else f"{seconds:.0f} s"


class _LateError(BaseException):
    """A mutant takes too long."""


def _late(signal: int, frame: FrameType | None) -> None:
    raise _LateError


def in_child(work: Callable[[Callable[[str], None]], None]) -> tuple[list[str], int]:
    """Do some work in a child of limited memory; return the lines that it tells, and its status."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPROF, _late)
        status = 1
        try:
            with os.fdopen(writing, "w") as told:
                work(lambda line: print(line, file=told, flush=True))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as heard:
        lines = heard.read().splitlines()
    return lines, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(images: Images, kind: str, numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Read mutants of a kind; yield each number and its verdict."""
    if kind in SEEDS:
        images.seed(kind)
    left = list(numbers)
    while left:

        def work(tell: Callable[[str], None], mine: Sequence[int] = tuple(left)) -> None:
            for number in mine:
                case = images.case(kind, number)
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                found = verdict(case.image)
                signal.setitimer(signal.ITIMER_PROF, 0)
                tell(json.dumps([number, found]))
                case.undo()

        lines, status = in_child(work)
        found: list[tuple[int, str]] = [tuple(json.loads(line)) for line in lines]
        yield from found
        left = left[len(found) :]
        if status and left:
            yield left.pop(0), f"the process ended with {status}"


def is_good(found: str) -> bool:
    """Whether a verdict is no fault."""
    return found in ("table", "error")


def keep(images: Images, kind: str, number: int) -> Path | None:
    """Keep a mutant for the tests, if it is small."""
    image = images.case(kind, number).image
    if image.is_dir():
        return None
    data = lzma.compress(image.read_bytes(), preset=9)
    if len(data) > 64 << 10:
        return None
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{kind.replace(' ', '-')}.{number}.xz"
    file.write_bytes(data)
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", help="kinds; all by default", default=KINDS)
    parser.add_argument("--each", type=int, default=500, help="mutants of each kind")
    parser.add_argument("--start", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--keep", action="store_true", help="keep the mutants that fail")
    given: Any = parser.parse_args(arguments)
    total: Counter[str] = Counter()
    faults = 0
    with tempfile.TemporaryDirectory() as top:
        for kind in given.kinds:
            images = Images(Path(tempfile.mkdtemp(dir=top)))
            began = time.monotonic()
            verdicts: Counter[str] = Counter()
            for number, found in run(images, kind, range(given.start, given.start + given.each)):
                verdicts[found if is_good(found) else "fault"] += 1
                if not is_good(found):
                    print(f"  {kind} {number}: {found}", flush=True)
                    if given.keep:
                        keep(images, kind, number)
            total += verdicts
            faults += verdicts["fault"]
            figures = ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items()))
            print(f"{kind}: {figures}; {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(given.kinds)} kinds, {sum(total.values())} mutants, {faults} faults")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
