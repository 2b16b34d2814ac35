"""The reference of the plug-ins, from their registries: ``docs/plugins.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.distributions import DISTRIBUTIONS
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.formats import FORMATS
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.packages import MANAGERS
from kiwinb.storage.filesystem import FILESYSTEMS

Row = tuple[str, ...]


def markdown() -> str:
    """The text of ``docs/plugins.md``."""
    lines = [
        "# Plug-ins",
        "",
        "<!-- Written by python -m kiwinb.cli.documents from the registries. -->",
        "",
        "What `kiwinb` can build with, and what each plug-in honours of a description. The tests",
        "under each table prove it; `tests/unit/test_contracts_kinds.py` holds every image kind,",
        "disk format, file system and bootloader against what it says here.",
        "",
    ]
    for title, heads, rows, tests in _sections():
        lines += [f"## {title}", "", *_table(heads, rows), "", f"Tests: {_listed(tests)}.", ""]
    return "\n".join(lines)


def _sections() -> Iterator[tuple[str, Row, Iterable[Row], tuple[str, ...]]]:
    yield (
        "Package managers",
        ("`<packagemanager>`", "Tools of the host"),
        ((item.name, _listed(item.tools)) for item in MANAGERS.values()),
        ("tests/build/test_apt_build.py", "tests/unit/test_apt_repository.py"),
    )
    yield (
        "Distributions",
        ("Distribution", "Found by `ID` in os-release", "Package managers", "Initrd", "GRUB"),
        (
            (
                item.name,
                _listed(item.ids),
                _listed(item.managers),
                f"`{item.initrd_name('VERSION')}`",
                f"`{item.grub_directory}`",
            )
            for item in DISTRIBUTIONS.values()
        ),
        ("tests/unit/test_distributions.py",),
    )
    yield (
        "Image kinds",
        ("`image`", "Is a", "Boots", "Honours, of `<type>`"),
        (
            (item.name, item.form, _said(item.boots), _listed(sorted(item.honours)))
            for item in IMAGE_KINDS.values()
        ),
        (
            "tests/boot/test_debian_server.py",
            "tests/build/test_containers.py",
            "tests/unit/test_archive_tar.py",
            "tests/unit/test_archive_cpio.py",
            "tests/unit/test_filesystem_image.py",
        ),
    )
    yield (
        "Disk formats",
        ("`format`", "Suffix", "Honours, of `<type>`", "Tools of the host"),
        (
            (item.name, f"`.{item.suffix}`", _listed(sorted(item.honours)), _listed(item.tools))
            for item in FORMATS.values()
        ),
        ("tests/unit/test_disk_format.py",),
    )
    yield (
        "File systems",
        ("File system", "Image of its own", "Read-only", "Grows", "GRUB reads it", "Tools"),
        (
            (
                item.name,
                _said(item.makes_images),
                _said(item.read_only),
                _said(item.growth is not None),
                _said(item.grub_module is not None),
                _listed(item.tools),
            )
            for item in FILESYSTEMS.values()
        ),
        ("tests/boot/test_filesystems.py", "tests/build/test_filesystem_mount.py"),
    )
    yield (
        "Bootloaders",
        ("`name`", "Boots with a BIOS", "Honours, of `<bootloader>`"),
        (
            (item.name, _said(item.boots_bios), _listed(sorted(item.honours)))
            for item in BOOTLOADERS.values()
        ),
        ("tests/boot/test_debian_server.py", "tests/boot/test_filesystems.py"),
    )
    yield (
        "Initrd tools",
        ("Tool", "`initrd_system`"),
        (
            (item.name, _listed(sorted(name for name in item.systems if name)))
            for item in INITRD_TOOLS.values()
        ),
        ("tests/unit/test_initrd.py", "tests/boot/test_filesystems.py"),
    )


def _table(heads: Row, rows: Iterable[Row]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _listed(names: Iterable[str] | Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _said(holds: bool) -> str:
    return "yes" if holds else "no"
