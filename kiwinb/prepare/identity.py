"""Set names, language, keyboard and time zone of the system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import ClassVar

from kiwinb.distributions import package_remedy
from kiwinb.errors import ImageError
from kiwinb.files import open_regular
from kiwinb.prepare.keyboard import XkbLayout, find_layout, plain_name
from kiwinb.prepare.variables import set_variables
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in, write_in
from kiwinb.steps.step import Output, StepContext

_HOSTNAME = "/etc/hostname"
_HOSTS = "/etc/hosts"
_LOCALES = "/usr/lib/locale"


@dataclass(frozen=True)
class SetIdentity:
    """Write settings from the preferences into the tree.

    Attributes:
        name: Image name; it becomes the host name if the tree has none.
        id: Content of ``/etc/ImageID``.
        locale: Languages such as ``en_US``; the first one is the default.
        keytable: Console keymap, with or without the suffix of its file (``.map.gz``).
        timezone: Name of a time zone below ``/usr/share/zoneinfo``.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 3

    name: str
    id: str | None = None
    locale: tuple[str, ...] = ()
    keytable: str | None = None
    timezone: str | None = None

    def run(self, context: StepContext) -> None:
        """Write the settings.

        Raises:
            ImageError: The tree does not have the time zone, or nothing knows the keymap.
            CommandError: ``locale-gen`` or ``setupcon`` failed.
        """
        root = context.root
        name = read_text_in(root, _HOSTNAME).strip()
        if not name:
            name = self.name.lower().replace("_", "-")
            write_in(root, _HOSTNAME, f"{name}\n")
        if not resolve_in(root, _HOSTS).exists():
            write_in(root, _HOSTS, f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost\n")
        if self.id is not None:
            write_in(root, "/etc/ImageID", f"{self.id}\n")
        if self.locale:
            self._set_locale(context)
        if self.keytable:
            self._set_keyboard(context, plain_name(self.keytable))
        if self.timezone:
            self._set_timezone(root, self.timezone)

    def _set_locale(self, context: StepContext) -> None:
        root = context.root
        language = f"{self.locale[0]}.UTF-8"
        generator = resolve_in(root, "/usr/sbin/locale-gen")
        if generator.exists():
            lines = "".join(f"{name}.UTF-8 UTF-8\n" for name in self.locale)
            write_in(root, "/etc/locale.gen", lines)
            with Chroot(root, log=context.log) as chroot:
                chroot.run(["locale-gen"])
        elif not _has_locale(root, f"{self.locale[0]}.utf8"):
            remedy = package_remedy(root, lambda packages: packages.locales)
            context.log(f"the tree has no locale {language}: using C.UTF-8. {remedy}")
            language = "C.UTF-8"
        for file in ("/etc/locale.conf", "/etc/default/locale"):
            if resolve_in(root, file).parent.is_dir():
                write_in(root, file, f"LANG={language}\n")

    def _set_keyboard(self, context: StepContext, keymap: str) -> None:
        """Set the keymap for systemd's console, and its XKB layout for Debian's and for X."""
        root = context.root
        found = find_layout(root, keymap)
        if found is None:
            context.log(f"the keymap {keymap} is set for the console only: no XKB layout is known")
        xkb = {} if found is None else _xkb_variables(found)
        set_variables(root, "/etc/vconsole.conf", {"KEYMAP": keymap, **xkb})
        if xkb and resolve_in(root, "/etc/default").is_dir():
            set_variables(root, "/etc/default/keyboard", xkb)
            if resolve_in(root, "/usr/bin/setupcon").exists():
                with Chroot(root, log=context.log) as chroot:
                    chroot.run(["setupcon", "--save-only"])  # in place of the layout of before

    def _set_timezone(self, root: Path, zone: str) -> None:
        if not resolve_in(root, f"/usr/share/zoneinfo/{zone}").is_file():
            have = resolve_in(root, "/usr/share/zoneinfo").is_dir()
            raise ImageError(
                f"the root tree has no time zone {zone}",
                remedy="Correct <timezone>; zones are named as in Europe/Berlin."
                if have
                else package_remedy(root, lambda packages: packages.timezones),
            )
        localtime = resolve_in(root, "/etc/localtime", follow_last=False)
        localtime.unlink(missing_ok=True)
        localtime.symlink_to(f"/usr/share/zoneinfo/{zone}")
        write_in(root, "/etc/timezone", f"{zone}\n")


def _has_locale(root: Path, name: str) -> bool:
    """Tell whether a tree has a locale: in a directory of its own, or in the archive of localedef.

    Fedora's ``glibc-all-langpacks`` has the archive only. Its names end with a zero byte; source of
    the format: the file ``locale/locarchive.h`` of glibc.
    """
    if resolve_in(root, f"{_LOCALES}/{name}").exists():
        return True
    archive = resolve_in(root, f"{_LOCALES}/locale-archive")
    if not archive.is_file() or archive.stat().st_size == 0:
        return False
    with open_regular(archive) as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return data.find(name.encode() + b"\0") != -1


def _xkb_variables(found: XkbLayout) -> Mapping[str, str]:
    """Return the variables of keyboard(5), which vconsole.conf(5) has, too."""
    return {
        "XKBMODEL": found.model,
        "XKBLAYOUT": found.layout,
        "XKBVARIANT": found.variant,
        "XKBOPTIONS": found.options,
    }
