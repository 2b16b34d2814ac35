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
import made_boot
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
"""Makes the repositories ``KIND/NAME`` for each kind of a family: from Debian packages, into a
directory, with a directory to work in, signed."""


@cache
def made(kind: str) -> Made:
    """Return a distribution, which is made first if this machine does not have it yet.

    Args:
        kind: ``fedora``, ``fedora5`` (the same with newer programs, and dnf5), ``suse``, ``arch``
            or ``alpine``.
    """
    family = _FAMILIES[kind]
    debs = _core(family, "dnf5" if kind == "fedora5" else "core")
    home = _home(family, debs, _MAKERS[family])
    key, other = (home / name for name in (_APK_KEYS if family == "apk" else _KEYS))
    place = home / kind.rstrip("5")
    return Made(place / "main", place / "updates", key, other)


@cache
def made_for_disks(kind: str) -> Path:
    """Return the repository with what a disk of a distribution boots with.

    It is made first if this machine does not have it yet. The same key signs it as those of
    :func:`made`, whose packages it needs.

    Args:
        kind: ``fedora``, ``suse`` or ``arch``.
    """
    family, boot = _FAMILIES[kind], SETS["boot"]
    names = {deb.name for deb in _core(family, "core")}
    debs = [deb for deb in closure(boot.common, boot.suite) if deb.name not in names]
    return _home(f"{family}-boot", debs, _BOOT_MAKERS[family]) / kind / "boot"


@cache
def _core(family: str, name: str) -> tuple[Deb, ...]:
    chosen = SETS[name]
    return closure([*chosen.common, *chosen.own.get(family, ())], chosen.suite)


def _home(name: str, debs: Sequence[Deb], maker: Maker) -> Path:
    """Return the directory of what is made of Debian packages, which is made first if need be."""
    home = _PLACE / f"{name}-{_digest(name, debs)}"
    if not home.is_dir():
        _PLACE.mkdir(exist_ok=True)
        with _locked(_PLACE / f"{name}.lock"):
            if not home.is_dir():
                _make(maker, debs, home)
    return home


def _digest(name: str, debs: Sequence[Deb]) -> str:
    """A digest of all that the packages of a family are made of and with."""
    parts = {"boot", *_MAKERS}
    others = {f"made_{part}.py" for part in parts.difference(name.split("-"))}
    files = (file for file in sorted(HERE.glob("made*.py")) if file.name not in others)
    sources = (file.read_bytes() for file in files)
    identities = (deb.identity.encode() for deb in debs)
    return hashlib.sha256(b"\0".join([*sources, *identities])).hexdigest()[:16]


def _make(maker: Maker, debs: Sequence[Deb], home: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as work,
        signer(home.parent / "keys") as keys,
    ):
        fresh, between = Path(work, "made"), Path(work, "work")
        fresh.mkdir()
        between.mkdir()
        maker(debs, fresh, between, keys)
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
    yield from _converted(debs, base)
    yield from made_features.main()


def _converted(debs: Sequence[Deb], base: frozenset[str]) -> Iterator[Package]:
    with downloaded(debs) as files:
        for deb in debs:
            yield converted(deb, files[deb.name], base)


def _for_disks(debs: Sequence[Deb]) -> tuple[Iterator[Package], Sequence[Package]]:
    """What a disk boots with: packages that all distributions share, and those they do not."""
    base = frozenset(entry.path for entry in made_base.filesystem().entries)
    own = [deb for deb in debs if made_boot.is_native(deb.name)]
    shared = [deb for deb in debs if not made_boot.is_native(deb.name)]
    return _converted(shared, base), [*_converted(own, base)]


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


def _rpm_boot(debs: Sequence[Deb], home: Path, work: Path, keys: Signer) -> None:
    shared, own = _for_disks(debs)
    files = made_rpm.build(shared, work / "shared", work)
    natives = {
        kind: made_rpm.build(made_boot.native(kind, own), work / kind, work)
        for kind in ("fedora", "suse")
    }
    made_rpm.sign([*files, *(file for native in natives.values() for file in native)], keys)
    for kind, native in natives.items():
        made_rpm.make_repository([*files, *native], home / kind / "boot", keys)


def _pacman(debs: Sequence[Deb], home: Path, work: Path, keys: Signer) -> None:
    del work  # makepkg has its own
    packages = chain(_packages(debs), [made_base.release("arch")])
    made_pacman.make_repository(packages, "main", home / "arch/main", keys)
    made_pacman.make_repository(made_features.updates(), "updates", home / "arch/updates", keys)


def _pacman_boot(debs: Sequence[Deb], home: Path, work: Path, keys: Signer) -> None:
    del work  # makepkg has its own
    shared, own = _for_disks(debs)
    packages = chain(shared, made_boot.native("arch", own))
    made_pacman.make_repository(packages, "boot", home / "arch/boot", keys)


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
_BOOT_MAKERS: dict[str, Maker] = {"rpm": _rpm_boot, "pacman": _pacman_boot}
