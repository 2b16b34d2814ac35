"""How long builds take, next to KIWI NG with the same description on the same host.

Run it as root: ``python benchmarks/build.py DIRECTORY [--rounds 1] [--json FILE]``. It builds what
``benchmarks/description`` describes, with KIWI NG and with kiwinb: from nothing, and with kiwinb
also with nothing changed, one overlay file changed and one package added. It prints wall and CPU
seconds, and the ratio of each to KIWI NG, which always builds from nothing. The column others has
the CPU seconds of whatever else ran on the host: where it is large, wall seconds say little.

KIWI NG runs in a Debian tree of its own below DIRECTORY, made from ``benchmarks/kiwi-host``. The
first run there also does one build with each of them that is not measured: after it the packages
are downloaded, in the caches of both. Everything else is made anew in each build, but for kiwinb's
index of the repository, which is read once; KIWI NG asks the mirror for it each time. DIRECTORY is
kept for the next run and takes about 4 GB.

With ``--against CHECKOUT``, it builds from nothing with the kiwinb of another checkout instead of
KIWI NG, to find out what a change costs: ratios are then those to the other kiwinb.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import kiwinb
from kiwinb.packages.apt.host_sources import host_sources

HERE = Path(__file__).parent
KIWI = "kiwi==11.1.*"
PYTHON = "3.11"  # of the Debian release in kiwi-host
ALIAS = "debian"
ADDED = "tree"
KIWINB = (sys.executable, "-m", "kiwinb")
PEER, BEFORE, COLD = "KIWI NG", "before", "cold"
NOT_HANDED_ON = ("PYTHONDONTWRITEBYTECODE",)

KIWI_SETTINGS = """\
mapper:
  part_mapper: partx
"""

# Runs in mount and process namespaces of its own: TREE WORK COMMAND…
ENTER = """\
set -eu
tree=$1 work=$2; shift 2
mount --rbind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
mount --rbind /sys "$tree/sys"
mount -t tmpfs tmpfs "$tree/run"
mount --bind "$work" "$tree/work"
exec chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    PYTHONPATH=/opt/kiwi "$@"
"""


@dataclass(frozen=True)
class Taken:
    """What a command took.

    Attributes:
        wall: Seconds until it ended.
        cpu: Seconds of processor time, of it and of all that it started.
        others: Seconds of processor time that everything else on the host used meanwhile.
    """

    wall: float
    cpu: float
    others: float


@dataclass(frozen=True)
class Places:
    """Where things are below the directory of the benchmark."""

    top: Path

    @property
    def tree(self) -> Path:
        """The Debian tree that KIWI NG runs in."""
        return self.top / "kiwi-tree"

    @property
    def kiwi(self) -> Path:
        """What KIWI NG reads and writes; ``/work`` in its tree."""
        return self.top / "kiwi-work"

    @property
    def kiwinb(self) -> Path:
        """What kiwinb reads and writes."""
        return self.top / "kiwinb-work"

    @property
    def cache(self) -> Path:
        """The downloads of kiwinb."""
        return self.top / "kiwinb-cache"

    @property
    def warm(self) -> Path:
        """Is there when all downloads are."""
        return self.top / "downloaded"

    @property
    def log(self) -> Path:
        """What the commands print."""
        return self.top / "log.txt"


class Group:
    """A control group, to count the processor time of all processes in it."""

    def __init__(self, name: str) -> None:
        root = Path("/sys/fs/cgroup")
        first = root / "cpuacct"
        self._v1 = first.is_dir()
        self._path = (first if self._v1 else root) / name

    def __enter__(self) -> Self:
        self._path.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_error: object) -> None:
        self._path.rmdir()

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        """The command, in the group."""
        return ["sh", "-c", 'echo $$ >"$0"; exec "$@"', self._path / "cgroup.procs", *command]

    def seconds(self) -> float:
        """How much processor time was used up to now."""
        if self._v1:
            return int((self._path / "cpuacct.usage").read_text()) / 1e9
        lines = (self._path / "cpu.stat").read_text().splitlines()
        return {key: int(value) for key, value in map(str.split, lines)}["usage_usec"] / 1e6


def busy_seconds() -> float:
    """How much processor time the host used since it started; the first line of /proc/stat."""
    user, nice, system, _idle, _wait, *interrupts = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def run_timed(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> Taken:
    """Run a command; what it prints goes to the end of the log."""
    with Group(f"kiwinb-benchmark-{os.getpid()}") as group, log.open("ab") as output:
        busy = busy_seconds()
        began = time.perf_counter()
        done = subprocess.run(
            group.command(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            check=False,
        )
        wall, cpu = time.perf_counter() - began, group.seconds()
        taken = Taken(wall, cpu, max(0.0, busy_seconds() - busy - cpu))
    if done.returncode:
        sys.exit(f"{command[0]} failed; see the end of {log}")
    return taken


def mirror() -> tuple[str, str]:
    """The URL of the mirror, and the keyring that it is checked with."""
    for source in host_sources():
        if ALIAS in source.aliases:
            return source.url, f"/usr/share/keyrings/{ALIAS}-archive-keyring.gpg"
    sys.exit(f"the host's apt sources have no mirror of {ALIAS}")


def environment(places: Places, store: Path, checkout: Path | None = None) -> Mapping[str, str]:
    """The environment of kiwinb: with that store, and bytecode kept as when it is installed.

    Args:
        places: The places.
        store: The store.
        checkout: Another kiwinb than that which is installed; it has a cache of its own.
    """
    kept = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
    other = {"PYTHONPATH": str(checkout), "KIWINB_CACHE": f"{places.cache}-{BEFORE}"}
    return {
        **kept,
        "KIWINB_STORE": str(store),
        "KIWINB_CACHE": str(places.cache),
        "PYTHONPYCACHEPREFIX": str(places.top / "bytecode"),
        **(other if checkout else {}),
    }


def compile_kiwinb(places: Places, checkout: Path | None = None) -> None:
    """Have the bytecode of kiwinb made, as installers do; KIWI NG has got its own."""
    package = checkout / "kiwinb" if checkout else Path(kiwinb.__file__).parent
    command: list[str | Path] = [sys.executable, "-m", "compileall", "-q", package]
    run_timed(command, places.log, environment(places, places.kiwinb / "store"))


def make_kiwi_tree(places: Places) -> None:
    """Make the tree that KIWI NG runs in, if it is not there."""
    if (places.tree / "opt/kiwi").is_dir():
        return
    shutil.rmtree(places.tree, ignore_errors=True)
    store = places.top / "kiwi-tree-store"
    description: list[str | Path] = ["--description", HERE / "kiwi-host"]
    run_timed(
        [*KIWINB, "system", "prepare", *description, "--root", places.tree],
        places.log,
        environment(places, store),
    )
    shutil.rmtree(store)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc", name), places.tree / "etc" / name)
    certificates = places.tree / "etc/ssl/certs"
    shutil.rmtree(certificates)  # its links would lead to the host's files
    shutil.copytree("/etc/ssl/certs", certificates)
    (places.tree / "etc/kiwi.yml").write_text(KIWI_SETTINGS)
    for name in ("work", "var/tmp"):
        (places.tree / name).mkdir(exist_ok=True)
    wheels = places.top / "wheels"
    pip: list[str | Path] = [sys.executable, "-m", "pip"]
    # It comes as source without code for a processor; what it needs comes as wheels
    run_timed([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, KIWI], places.log)
    part = places.tree / "opt/kiwi.part"
    only = ["--python-version", PYTHON, "--only-binary=:all:"]
    run_timed([*pip, "install", "--target", part, *only, *wheels.glob("kiwi-*.whl")], places.log)
    part.rename(places.tree / "opt/kiwi")


def build_with_kiwi(places: Places, description: Path) -> Taken:
    """Build with KIWI NG."""
    copy = places.kiwi / "description"
    for place in (copy, places.kiwi / "result"):
        shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(description, copy, symlinks=True)
    file = copy / "config.xml"
    url, key = mirror()
    source = f'<source path="{url}"><signing key="file://{key}"/></source>'
    file.write_text(file.read_text().replace(f'<source path="mirror:{ALIAS}"/>', source))
    namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    enter = ["unshare", *namespaces, "sh", "-c", ENTER, "sh", str(places.tree), str(places.kiwi)]
    kiwi = ["python3", "/opt/kiwi/bin/kiwi-ng", "--shared-cache-dir", "/work/cache"]
    build = ["--description", "/work/description", "--target-dir", "/work/result"]
    return run_timed([*enter, *kiwi, "system", "build", *build], places.log)


def build_with_kiwinb(places: Places, description: Path, checkout: Path | None = None) -> Taken:
    """Build with kiwinb, or with that of another checkout."""
    target = places.kiwinb / "result"
    return run_timed(
        [*KIWINB, "system", "build", "--description", description, "--target-dir", target],
        places.log,
        environment(places, places.kiwinb / "store", checkout),
    )


@contextmanager
def empty(directory: Path) -> Iterator[None]:
    """A directory that is made anew, and removed in the end."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    yield
    shutil.rmtree(directory)


def change_file(description: Path) -> None:
    """Change one overlay file."""
    with (description / "root/etc/motd").open("a") as file:
        file.write("It was changed since.\n")


def add_package(description: Path) -> None:
    """Add one package."""
    file = description / "config.xml"
    last = '<package name="vim-tiny"/>'
    file.write_text(file.read_text().replace(last, f'{last}<package name="{ADDED}"/>'))


def measure(places: Places) -> Iterator[tuple[str, Taken]]:
    """Do all builds once."""
    description = places.top / "description"
    shutil.rmtree(description, ignore_errors=True)
    shutil.copytree(HERE / "description", description, symlinks=True)
    changes = {"overlay file changed": change_file, "package added": add_package}
    if not places.warm.exists():
        add_package(description)
        build_with_kiwi(places, description)
        with empty(places.kiwinb):
            build_with_kiwinb(places, description)
        shutil.copytree(HERE / "description", description, symlinks=True, dirs_exist_ok=True)
        places.warm.touch()
    os.sync()
    yield PEER, build_with_kiwi(places, description)
    os.sync()
    with empty(places.kiwinb):
        yield COLD, build_with_kiwinb(places, description)
        yield "nothing changed", build_with_kiwinb(places, description)
        for name, change in changes.items():
            os.sync()
            shutil.copytree(HERE / "description", description, symlinks=True, dirs_exist_ok=True)
            change(description)
            yield name, build_with_kiwinb(places, description)


def measure_against(places: Places, checkout: Path, turn: int) -> Iterator[tuple[str, Taken]]:
    """Build from nothing with both; they take turns in being the first one."""
    description = HERE / "description"
    both: dict[str, Path | None] = {BEFORE: checkout, COLD: None}
    if turn == 0:  # the packages are downloaded, and files of the host are read
        for other in both.values():
            with empty(places.kiwinb):
                build_with_kiwinb(places, description, other)
    for name in sorted(both, reverse=turn % 2 == 1):
        os.sync()
        with empty(places.kiwinb):
            yield name, build_with_kiwinb(places, description, both[name])


def kiwi_version(places: Places) -> str:
    """The version of KIWI NG that is measured."""
    names = (path.name for path in (places.tree / "opt/kiwi").glob("kiwi-*.dist-info"))
    return next(names).removeprefix("kiwi-").removesuffix(".dist-info")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("directory", type=Path, help="where everything is made, and kept")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the result there, too")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure another kiwinb")
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("KIWI NG runs as root only")
    places = Places(arguments.directory.resolve())
    for directory in (places.top, places.kiwi):
        directory.mkdir(parents=True, exist_ok=True)
    other = arguments.against and arguments.against.resolve()
    compile_kiwinb(places)
    if other:
        compile_kiwinb(places, other)
    else:
        make_kiwi_tree(places)
    rounds: list[dict[str, Taken]] = []
    for number in range(arguments.rounds):
        rounds.append({})
        for name, taken in measure_against(places, other, number) if other else measure(places):
            rounds[number][name] = taken
            print(f"{name}: {taken.wall:.2f} s", file=sys.stderr)
    result = {} if other else {"kiwi": kiwi_version(places)}
    show(rounds, BEFORE if other else PEER, result, arguments.json)
    return 0


def show(
    rounds: Sequence[Mapping[str, Taken]], peer: str, known: Mapping[str, str], file: Path | None
) -> None:
    """Print all figures, and write them to a file.

    Args:
        rounds: What each case took, by round.
        peer: The case whose ratios are 1.
        known: More to write.
        file: The file; ``None`` to write none.
    """
    result: dict[str, Any] = {
        **known,
        "cases": {
            name: {
                "wall_seconds": [round(taken[name].wall, 3) for taken in rounds],
                "cpu_seconds": [round(taken[name].cpu, 3) for taken in rounds],
                "others_cpu_seconds": [round(taken[name].others, 3) for taken in rounds],
                "wall_ratio": ratio([taken[name].wall / taken[peer].wall for taken in rounds]),
                "cpu_ratio": ratio([taken[name].cpu / taken[peer].cpu for taken in rounds]),
            }
            for name in rounds[0]
        },
    }
    print(f"{'':22}{'wall s':>9}{'ratio':>9}{'CPU s':>9}{'ratio':>9}{'others':>9}")
    for name in rounds[0]:
        wall = statistics.median(taken[name].wall for taken in rounds)
        cpu = statistics.median(taken[name].cpu for taken in rounds)
        others = statistics.median(taken[name].others for taken in rounds)
        wall_ratio = ratio([taken[name].wall / taken[peer].wall for taken in rounds])
        cpu_ratio = ratio([taken[name].cpu / taken[peer].cpu for taken in rounds])
        print(f"{name:22}{wall:9.2f}{wall_ratio:9.4f}{cpu:9.2f}{cpu_ratio:9.4f}{others:9.2f}")
    print(json.dumps(result))
    if file:
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def ratio(values: Sequence[float]) -> float:
    """The median, rounded."""
    return round(statistics.median(values), 4)


if __name__ == "__main__":
    sys.exit(main())
