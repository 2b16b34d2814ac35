"""Warnings of what makes an image less safe than it could be."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.description.model import ImageDescription
from kiwinb.packages import MANAGERS


def risks(image: ImageDescription) -> Iterator[str]:
    """Yield a warning for each check that the description turns off, and each plain password.

    Args:
        image: The effective description.
    """
    manager = MANAGERS.get(image.preferences.packagemanager or "")
    checks_packages = manager is not None and "package_gpgcheck" in manager.honours
    for item in image.repositories:
        name = item.alias or item.path
        if item.repository_gpgcheck is False:
            yield (
                f"the signature of the repository {name} is not checked "
                '(repository_gpgcheck="false"): whoever controls the repository, or the way to '
                "it, decides what the image contains"
                + (
                    ". The image itself will use it without a check, too (imageinclude)"
                    if item.included_in_image
                    else ""
                )
            )
        if item.package_gpgcheck is False and checks_packages:
            yield (
                f"the signatures of the packages of the repository {name} are not checked "
                '(package_gpgcheck="false")'
            )
    for user in image.users:
        if user.pwdformat == "plain" and user.password is not None:
            yield (
                f"the description has the plain password of the user {user.name}, and whoever "
                "reads it knows it. Write what `openssl passwd -6` prints, with "
                'pwdformat="encrypted"'
            )
