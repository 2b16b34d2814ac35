"""Configure dnf independently of the host: it gets one local repository for each real one.

Both dnf 4 and dnf 5 read the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.image import repository_id

VOLATILE = "/run/kiwinb"
"""Directory in the tree, which is in memory while the tree is open."""


def write_config(
    work: Path, repositories: Mapping[str, str], request: PackageRequest | None
) -> Path:
    """Write the configuration; see dnf.conf(5) and dnf5.conf(5).

    dnf takes its cache and its logs for paths in the tree.

    Args:
        work: Private directory.
        repositories: URL of each repository, by alias.
        request: The request; ``None`` for removing packages.

    Returns:
        The file.
    """
    options = {
        "cachedir": f"{VOLATILE}/cache",
        "system_cachedir": f"{VOLATILE}/cache",  # the name that dnf 5 gives it
        "logdir": f"{VOLATILE}/log",
        "reposdir": "/dev/null",
        "varsdir": "/dev/null",
        "pluginconfpath": "/dev/null",
        "plugins": "False",
        "gpgcheck": "False",  # kiwinb has checked the packages
        "assumeyes": "True",
        "best": "True",
        "allow_vendor_change": "True",
        "color": "never",
        "deltarpm": "False",
        "diskspacecheck": "False",
        "clean_requirements_on_remove": "True",
        "install_weak_deps": str(request is not None and request.recommended),
        "protected_packages": "",
        "tsflags": "nodocs" if request is not None and request.excludedocs else "",
    }
    lines = ["[main]", *(f"{name}={value}" for name, value in options.items())]
    for number, (alias, url) in enumerate(repositories.items()):
        lines += [
            f"[{repository_id(alias) or number}]",
            f"name={alias}",
            f"baseurl={url}",
            "enabled=True",
            "metadata_expire=0",
        ]
    file = work / "dnf.conf"
    file.write_text("\n".join([*lines, ""]))
    return file
