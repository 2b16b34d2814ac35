"""The table of faults of packages and repositories, which is the same for all package managers.

A row says what is wrong, how a repository gets so, and what kiwinb has to say. ``python
tests/fault/package_faults.py`` writes it to ``docs/faults.md``.
"""

from __future__ import annotations

import random
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from made_packages import (
    Alternatives,
    Package,
    Relation,
    Scripts,
    Version,
    directory,
    relations,
    text,
)
from made_signer import NAME, OTHER, Signer
from package_formats import EXPIRED, MANAGED, Format
from package_server import Handler, hangs_up, is_gone, sends_half, stalls

from kiwinb.errors import KiwinbError, PackageError, RepositoryError, SpaceError

DOCUMENT = Path(__file__).parents[2] / "docs/faults.md"
"""The document that has the table."""

APP, OTHER_APP = "test-app", "test-other"
LARGE = 2 << 20
"""Size of a package that does not fit on the full disk."""


_NONE = Scripts()


def _package(
    name: str = APP,
    content: str = "sound\n",
    *,
    file: str = "",
    requires: Sequence[Alternatives] = (),
    conflicts: Sequence[Relation] = (),
    scripts: Scripts = _NONE,
) -> Package:
    own = file or f"usr/share/{name}/file"
    parent = directory(own.rpartition("/")[0])
    return Package(
        name=name,
        version=Version.of("1.0-1"),
        entries=(parent, text(own, content)),
        requires=tuple(requires),
        conflicts=tuple(conflicts),
        scripts=scripts,
    )


def _noise(size: int) -> str:
    """Text that hardly gets smaller by compression."""
    return "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=size))


PACKAGES: Mapping[str, Package] = {
    "app": _package(),
    "other": _package(OTHER_APP),
    "rebuilt": _package(content=f"rebuilt {_noise(300_000)}\n"),
    "needs": _package(requires=relations("test-nobody-has-this")),
    "conflicts": _package(conflicts=(Relation(OTHER_APP),)),
    "clashes": _package(file=f"usr/share/{OTHER_APP}/file", content="another\n"),
    "pre": _package(scripts=Scripts(pre="echo pre says so; exit 3", needs=("bash",))),
    "post": _package(scripts=Scripts(post="echo post says so; exit 3", needs=("bash",))),
    "large": _package(content=_noise(2 * LARGE)),
}
"""The packages that there are, by variant: most are variants of one package."""

SOUND = ("app", "other")


@dataclass
class Place:
    """A repository that the tests spoil.

    Attributes:
        format: Its format.
        root: Its directory.
        signer: Signs it.
        built: Files of the packages, by variant.
        server: What serves it.
    """

    format: Format
    root: Path
    signer: Signer
    built: Mapping[str, Path]
    server: type[Handler]

    def publish(self, *variants: str, user: str = NAME) -> None:
        """Replace its content with packages, and sign it."""
        self.server.answer = None
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        for variant in variants:
            shutil.copy(self.built[variant], self.root)
        self.index(user)

    def index(self, user: str = NAME) -> None:
        """Make the index anew, and sign it."""
        self.format.write_index(self.root, self.signer)
        self.format.sign_index(self.root, self.signer, user)

    @property
    def app(self) -> Path:
        """The file of the package that is installed."""
        (file,) = self.root.glob(f"{APP}*{self.format.suffix}")
        return file

    def misbehave(self, answer: Callable[[Handler, bytes], None], part: str) -> None:
        """Have the server answer requests for files with this in their path in another way."""
        self.server.part, self.server.answer = part, answer


Spoil = Callable[[Place], None]


def _as(*variants: str, user: str = NAME) -> Spoil:
    return lambda place: place.publish(*variants, user=user)


def _changed_index(place: Place) -> None:
    path = place.root / place.format.index
    data = path.read_bytes()
    path.write_bytes(data.replace(b"2022", b"2023") if b"2022" in data else data + b"\n")


def _without_signature(place: Place) -> None:
    (place.root / place.format.signature).unlink()


def packages_signed_by(user: str) -> Spoil:
    def spoil(place: Place) -> None:
        for file in sorted(place.root.glob(f"*{place.format.suffix}")):
            place.format.sign_package(file, place.signer, user)
        place.index()

    return spoil


def _flipped(file: Path) -> None:
    """Change some bytes in the last third of a file, where its payload is."""
    data = bytearray(file.read_bytes())
    for place in range(len(data) * 2 // 3, len(data) * 5 // 6):
        data[place] ^= 0x55
    file.write_bytes(data)


def _corrupt(place: Place) -> None:
    _flipped(place.app)


def _corrupt_and_listed(place: Place) -> None:
    place.publish("rebuilt", "other")
    _flipped(place.app)
    place.index()


def _rebuilt(place: Place) -> None:
    shutil.copy(place.built["rebuilt"], place.app)


def _served_by(answer: Callable[[Handler, bytes], None], *, index: bool = False) -> Spoil:
    return lambda place: place.misbehave(answer, place.format.index if index else APP)


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes:
        name: What it is called.
        says: What is wrong.
        error: The error, which has the exit status.
        spoil: Makes a repository so, that has been published with :data:`SOUND`.
        message: What the message has to match besides the remedy.
        remedy: What the remedy has to match.
        names_package: Whether the message names the package.
        names_repository: Whether it names the repository.
        wanted: The packages to install.
        checks_packages: Whether the description asks for signatures of packages.
        disk: Bytes of the cache's disk; 0 for that of all else.
    """

    name: str
    says: str
    error: type[KiwinbError]
    spoil: Spoil = field(repr=False)
    message: str
    remedy: str
    names_package: bool = True
    names_repository: bool = True
    wanted: tuple[str, ...] = (APP,)
    checks_packages: bool = False
    disk: int = 0

    def concerns(self, manager: str) -> bool:
        """Whether the packages of a manager can have it."""
        return MANAGED[manager].format.signs_packages or not self.checks_packages


def _of_index(name: str, says: str, spoil: Spoil, message: str, remedy: str) -> Fault:
    return Fault(name, says, RepositoryError, spoil, message, remedy, names_package=False)


_BOTH = (APP, OTHER_APP)

FAULTS = (
    _of_index(
        "bad signature",
        "The index was changed after it was signed.",
        _changed_index,
        "was changed|signature",
        "mirror",
    ),
    _of_index(
        "unsigned",
        "The index has no signature.",
        _without_signature,
        "has no signature",
        'repository_gpgcheck="false"',
    ),
    _of_index(
        "expired",
        "The signature of the index, and the key that made it, have expired.",
        _as(*SOUND, user=EXPIRED),
        "expired|not valid",
        "The clock of this host says",
    ),
    _of_index(
        "key missing",
        "The index is signed with a key that the description does not name.",
        _as(*SOUND, user=OTHER),
        "key",
        "signing key=",
    ),
    Fault(
        "unsigned package",
        "A package has no signature, and the description asks for it.",
        PackageError,
        _as("app", "other"),
        "not signed",
        "package_gpgcheck",
        checks_packages=True,
    ),
    Fault(
        "package by another key",
        "A package is signed with a key that the description does not name.",
        PackageError,
        packages_signed_by(OTHER),
        "not signed",
        "signing key=",
        checks_packages=True,
    ),
    Fault(
        "corrupt package",
        "The file of a package is not the one that the index lists.",
        RepositoryError,
        _corrupt,
        "digest|not those that the index lists",
        "--clear-cache",
    ),
    Fault(
        "damaged package",
        "The file of a package is damaged, and the index lists it so.",
        PackageError,
        _corrupt_and_listed,
        "is damaged",
        "mirror",
    ),
    Fault(
        "missing dependency",
        "A package requires something that no repository has.",
        PackageError,
        _as("needs", "other"),
        "test-nobody-has-this",
        "repository",
    ),
    Fault(
        "conflict",
        "A package conflicts with another one.",
        PackageError,
        _as("conflicts", "other"),
        OTHER_APP,
        "Drop one",
        wanted=_BOTH,
    ),
    Fault(
        "file conflict",
        "Two packages have the same file.",
        PackageError,
        _as("clashes", "other"),
        "packages have the same files",
        "Drop one",
        wanted=_BOTH,
    ),
    Fault(
        "failing script before",
        "The script of a package fails that runs before its installation.",
        PackageError,
        _as("pre", "other"),
        "a script of a package failed",
        "log of the step",
    ),
    Fault(
        "failing script after",
        "The script of a package fails that runs after its installation.",
        PackageError,
        _as("post", "other"),
        "a script of a package failed",
        "log of the step",
    ),
    Fault(
        "gone in the middle",
        "The server hangs up when the index has arrived.",
        RepositoryError,
        _served_by(hangs_up),
        "cannot be downloaded",
        "reaches",
    ),
    _of_index(
        "slow",
        "The server stalls.",
        _served_by(stalls, index=True),
        "stalls|too slow",
        "",
    ),
    Fault(
        "half a file",
        "The server hangs up in the middle of a package.",
        RepositoryError,
        _served_by(sends_half),
        "cannot be downloaded",
        "reaches",
    ),
    Fault(
        "metadata newer",
        "A package was built again after the index was made.",
        RepositoryError,
        _rebuilt,
        "bytes|not those that the index lists",
        "--clear-cache",
    ),
    Fault(
        "package gone",
        "A package that the index lists is not there any more.",
        RepositoryError,
        _served_by(is_gone),
        "404",
        "--clear-cache",
    ),
    Fault(
        "full disk",
        "The disk of the download cache is full in the middle of a download.",
        SpaceError,
        _as("large", "other"),
        "the download cache",
        "Remove what is old",
        names_package=False,
        names_repository=False,
        disk=LARGE,
    ),
)
"""The table."""


def markdown() -> str:
    """The document about the faults."""
    managers = sorted(MANAGED)
    lines = [
        "# Faults of packages and repositories",
        "",
        "<!-- Written by python tests/fault/package_faults.py; change the table there instead. -->",
        "",
        "`tests/fault/test_package_faults.py` builds with each package manager from a small",
        "repository of its format that has one fault. Each cell of the table is a test that",
        "passes if",
        "",
        "- the build ends with one error, with this exit status, and with a remedy;",
        "- the error names the package, the repository or both, as the table says;",
        "- the results of the steps before are held, and no others;",
        "- no process, mount, temporary file, draft or root tree is left behind;",
        "- when the fault is mended, the next build succeeds and runs the one step that failed.",
        "",
        f"| Fault | What is wrong | Status | Names | {' | '.join(managers)} |",
        f"|---|---|---|---|{'---|' * len(managers)}",
    ]
    for fault in FAULTS:
        named = [
            *(["package"] if fault.names_package else []),
            *(["repository"] if fault.names_repository else []),
            *(["directory"] if fault.disk else []),
        ]
        cells = ("tested" if fault.concerns(manager) else "—" for manager in managers)
        status = fault.error.exit_status
        words = (fault.name, fault.says, str(status), " and ".join(named), *cells)
        lines.append(f"| {' | '.join(words)} |")
    lines += ["", "—: packages of this format have no signatures of their own.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    DOCUMENT.write_text(markdown())
