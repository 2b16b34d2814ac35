"""Small real distributions for tests of package managers, made of Debian packages.

Each has real programs, in native packages that the tools of its format have built and signed, and
small packages for one feature each. All are made once per machine, into the tests' cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import made_apk
import made_base
import made_features
import made_pacman
import made_rpm
from made_converted import converted
from made_debs import Deb, closure, downloaded
from made_packages import Package
from made_signer import Signer, signer
from made_table import SETS

HERE = Path(__file__).parent
_PLACE = Path("/var/tmp/kiwinb-test-distributions")
"""All users of this machine share it, since builds of several users are compared."""

_KEYS = ("key.asc", "other.asc")
_APK_KEYS = ("test@example.org-1.rsa.pub", "else@example.org-1.rsa.pub")


@dataclass(frozen=True)
class Made:
    """A distribution.

    Attributes:
        root: Directory of the repository ``main``.
        updates: Directory of the repository ``updates``, with newer packages.
        key: Public key that signs both.
        other_key: Public key that signs neither.
    """

    root: Path
    updates: Path
    key: Path
    other_key: Path


Maker = Callable[[Sequence[Deb], Path, Path, Signer], None]
"""Makes ``KIND/main`` and ``KIND/updates`` for each kind of a family: from Debian packages, into a
directory, with a directory to work in, signed."""


@cache
def made(kind: str) -> Made:
    """Return a distribution, which is made first if this machine does not have it yet.

    Args:
        kind: ``fedora``, ``fedora5`` (the same with newer programs, and dnf5), ``suse``, ``arch``
            or ``alpine``.
    """
    family, chosen = _FAMILIES[kind], SETS["dnf5" if kind == "fedora5" else "core"]
    debs = closure([*chosen.common, *chosen.own.get(family, ())], chosen.suite)
    home = _PLACE / f"{family}-{_digest(family, debs)}"
    if not home.is_dir():
        _PLACE.mkdir(exist_ok=True)
        with _locked(_PLACE / f"{family}.lock"):
            if not home.is_dir():
                _make(family, debs, home)
    key, other = (home / name for name in (_APK_KEYS if family == "apk" else _KEYS))
    place = home / kind.rstrip("5")
    return Made(place / "main", place / "updates", key, other)


def _digest(family: str, debs: Sequence[Deb]) -> str:
    """A digest of all that a family is made of and with."""
    others = {f"made_{other}.py" for other in _MAKERS if other != family}
    files = (file for file in sorted(HERE.glob("made*.py")) if file.name not in others)
    sources = (file.read_bytes() for file in files)
    identities = (deb.identity.encode() for deb in debs)
    return hashlib.sha256(b"\0".join([*sources, *identities])).hexdigest()[:16]


def _make(family: str, debs: Sequence[Deb], home: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as work,
        signer(home.parent / "keys") as keys,
    ):
        fresh, between = Path(work, "made"), Path(work, "work")
        fresh.mkdir()
        between.mkdir()
        _MAKERS[family](debs, fresh, between, keys)
        for name, key in zip(_KEYS, (keys.key, keys.other_key), strict=True):
            (fresh / name).write_bytes(key)
        _publish(fresh)
        fresh.rename(home)


def _publish(directory: Path) -> None:
    """Let everybody read what is in a directory, whatever the umask."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _packages(debs: Sequence[Deb], *, keeps_lib: bool = False) -> Iterator[Package]:
    """The packages that all distributions of a family share; each is read when it is needed."""
    filesystem = made_base.filesystem(keeps_lib=keeps_lib)
    base = frozenset(entry.path for entry in filesystem.entries)
    yield made_base.setup()
    yield filesystem
    with downloaded(debs) as files:
        for deb in debs:
            yield converted(deb, files[deb.name], base)
    yield from made_features.main()


def _rpm(debs: Sequence[Deb], home: Path, work: Path, keys: Signer) -> None:
    files = made_rpm.build(_packages(debs), work / "main", work)
    files += made_rpm.build(made_features.rpm_only(), work / "main", work)
    if not any(deb.name == "dnf5" for deb in debs):  # which is microdnf, too
        files += made_rpm.build([made_features.manager("microdnf")], work / "main", work)
    newer = made_rpm.build(made_features.updates(), work / "updates", work)
    own = {
        kind: made_rpm.build([made_base.release(kind)], work / kind, work)
        for kind in ("fedora", "suse")
    }
    made_rpm.sign([*files, *newer, *(file for release in own.values() for file in release)], keys)
    for kind, release in own.items():
        named = made_features.NAMED if kind == "suse" else ()
        made_rpm.make_repository([*files, *release], home / kind / "main", keys, named)
        made_rpm.make_repository(newer, home / kind / "updates", keys)


def _pacman(debs: Sequence[Deb], home: Path, work: Path, keys: Signer) -> None:
    del work  # makepkg has its own
    packages = chain(_packages(debs), [made_base.release("arch")])
    made_pacman.make_repository(packages, "main", home / "arch/main", keys)
    made_pacman.make_repository(made_features.updates(), "updates", home / "arch/updates", keys)


def _apk(debs: Sequence[Deb], home: Path, work: Path, keys: Signer) -> None:
    signs = made_apk.make_keys(keys.cache, home, _APK_KEYS)
    packages = chain(_packages(debs, keeps_lib=True), [made_base.release("alpine")])
    made_apk.make_repository(packages, home / "alpine/main", signs, work)
    made_apk.make_repository(made_features.updates(), home / "alpine/updates", signs, work)


_FAMILIES = {
    **{"fedora": "rpm", "fedora5": "rpm", "suse": "rpm"},
    **{"arch": "pacman", "alpine": "apk"},
}
_MAKERS: dict[str, Maker] = {"rpm": _rpm, "pacman": _pacman, "apk": _apk}
