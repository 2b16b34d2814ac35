"""Descriptions without user names and passwords, to be shown and kept."""

from __future__ import annotations

from copy import deepcopy

from lxml import etree

from kiwinb.description.login import without_logins
from kiwinb.description.passwords import hash_password


def without_secrets(tree: etree._ElementTree) -> etree._ElementTree:
    """Return a description without logins of repositories, with hashes of plain passwords.

    Args:
        tree: The description, which stays as it is.
    """
    copy = deepcopy(tree)
    image = copy.getroot()
    for repository in image.iter("repository"):
        for name in ("username", "password"):
            if name in repository.attrib:
                del repository.attrib[name]
        for element, name in (
            *((source, "path") for source in repository.iter("source")),
            *((key, "key") for key in repository.iter("signing")),
        ):
            if (text := element.get(name)) is not None:
                element.set(name, without_logins(text))
    for kind in image.iter("type"):
        if kind.get("luks"):
            kind.set("luks", "")
    for user in image.iter("user"):
        password = user.get("password")
        if (user.get("pwdformat") or "").strip() == "plain" and password is not None:
            name = user.get("name", "").strip()
            user.set("password", hash_password(password, image.get("name", ""), name))
            user.set("pwdformat", "encrypted")
    return copy
