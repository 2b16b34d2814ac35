"""Configure zypper independently of the host: it gets one local repository for each real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.rpm.image import repository_id
from kiwinb.packages.rpm.session import Session

_CACHE = "/run/kiwinb/zypper"
"""Directory in the tree, which is in memory while the tree is open."""


def write_config(
    session: Session, repositories: Mapping[str, Path], request: PackageRequest | None
) -> list[str]:
    """Write the configuration; see zypper(8) and the comments in ``zypp.conf``.

    Args:
        session: The session.
        repositories: Directory of each repository, by alias.
        request: The request; ``None`` for removing packages.

    Returns:
        The command line of zypper, without what it is to do.
    """
    work = session.work / "zypper"
    places = work / "repos.d"
    places.mkdir(parents=True)
    for number, (alias, directory) in enumerate(repositories.items()):
        options = {
            "name": alias,
            "enabled": "1",
            "autorefresh": "0",
            "baseurl": directory.as_uri(),
            "type": "rpm-md",
            "gpgcheck": "0",  # kiwinb has checked the packages
            "keeppackages": "0",
        }
        lines = [f"[{repository_id(alias) or number}]"]
        lines += [f"{name}={value}" for name, value in options.items()]
        (places / f"{number:03}.repo").write_text("\n".join([*lines, ""]))
    (work / "zypper.conf").write_text("[main]\n[color]\nuseColors = never\n")
    (work / "zypp.conf").write_text(
        "[main]\n"
        "commit.downloadMode = DownloadInAdvance\n"
        "solver.onlyRequires = " + str(request is None or not request.recommended).lower() + "\n"
    )
    return [
        *("env", f"ZYPP_CONF={work / 'zypp.conf'}", "zypper"),
        *("--config", str(work / "zypper.conf"), "--root", str(session.root)),
        *("--reposd-dir", str(places), "--cache-dir", _CACHE),
        *("--non-interactive", "--no-gpg-checks"),
    ]
