"""Checks of the keyboard."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.prepare.keyboard import find_files, is_known, plain_name, remedy


def keytable_known(subject: Subject) -> Iterator[Problem]:
    """``<keytable>`` names a console keymap: a known one, or one that an overlay brings.

    An archive may bring one, too; the build finds out.
    """
    image = subject.image
    if not image.preferences.keytable:
        return
    keymap = plain_name(image.preferences.keytable)
    overlays = (image.directory / name for name in ("root", *image.profiles))
    archives = (*image.packages.bootstrap.archives, *image.packages.image.archives)
    if archives or any(image.directory.glob("root.tar*")):
        return
    if not is_known(keymap) and not any(find_files(overlay, keymap) for overlay in overlays):
        yield Problem(
            f"there is no keymap {keymap}", remedy(keymap), subject.at("preferences/keytable")
        )
