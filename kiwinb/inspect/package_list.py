"""Read the ``.packages`` file that a build writes beside an image.

:func:`kiwinb.images.metadata.package_line` writes its lines, as KIWI NG documents them:
``name|epoch|version|release|arch|disturl|license``, with ``None`` for unknown values. If the
release field is used, versions are those of RPM.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import InspectError
from kiwinb.packages.databases.database import Package
from kiwinb.packages.rpm_versions import compare_rpm_versions
from kiwinb.packages.versions import compare_versions

SUFFIX = ".packages"
_FIELDS = 7


@dataclass(frozen=True)
class PackageList:
    """The packages of a ``.packages`` file.

    Attributes:
        packages: The packages, without sizes.
        compare: Function that compares their versions.
    """

    packages: tuple[Package, ...]
    compare: Callable[[str, str], int]


def read_package_list(path: Path) -> PackageList:
    """Read a ``.packages`` file.

    Raises:
        InspectError: The file cannot be read, or is not a ``.packages`` file.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise InspectError(f"{path} cannot be read: {error.strerror}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        fields = ["" if field == "None" else field for field in line.split("|")]
        if len(fields) < _FIELDS or not fields[0]:
            raise InspectError(
                f"{path}:{number}: not a line of a {SUFFIX} file: {line[:60]!r}",
                remedy="Give the file that a build writes beside its image.",
            )
        rows.append(fields)
    count = Counter(name for name, *_ in rows)
    packages = []
    for name, epoch, version, release, arch, *_ in rows:
        full = (f"{epoch}:" if epoch else "") + version + (f"-{release}" if release else "")
        label = f"{name}:{arch}" if count[name] > 1 else name
        packages.append(Package(name, full, arch, label, None))
    has_releases = any(release for _, _, _, release, *_ in rows)
    return PackageList(tuple(packages), compare_rpm_versions if has_releases else compare_versions)
