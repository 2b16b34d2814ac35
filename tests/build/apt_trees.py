"""Build a tree with apt, change it, and print what it holds.

python tests/build/apt_trees.py DIRECTORY    as any user who can run workers
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kiwinb.description.model import Repository
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.mirrors import resolve
from kiwinb.prepare.packages import (
    Bootstrap,
    ConfigureRepositories,
    DeletePackages,
    InstallPackages,
)
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.privilege import detect
from kiwinb.sandbox.worker import Report, call
from kiwinb.settings import load_settings
from kiwinb.steps.step import Action, HostPaths, StepContext


@dataclass(frozen=True)
class Job:
    root: Path
    cache: Path
    action: Action
    rootless: bool


def act(job: Job, report: Report) -> None:
    job.action.run(
        StepContext(
            root=job.root,
            out=None,
            inputs={},
            host=HostPaths(job.cache),
            log=report.log,
            progress=report.progress,
            rootless=job.rootless,
        )
    )


def describe(root: Path, report: Report) -> dict[str, object]:
    """What the tree holds, and what dpkg says of it."""
    files = dict(entries(root))
    with Chroot(root) as chroot:
        says = {
            "audit": chroot.run(["dpkg", "--audit"]),
            "verify": chroot.run(["dpkg", "--verify"], check=False),
            "automatic": chroot.run(["apt-mark", "showauto"]).split(),
        }
    return {**says, "files": files}


def entries(root: Path) -> Iterator[tuple[str, list[object]]]:
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = Path(directory, name)
            about = path.lstat()
            if path.is_symlink():
                content = str(path.readlink())
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                content = ""
            attributes = sorted(
                (attribute, os.getxattr(path, attribute, follow_symlinks=False).hex())
                for attribute in os.listxattr(path, follow_symlinks=False)
                if not attribute.startswith("system.")
            )
            links = about.st_nlink if stat.S_ISREG(about.st_mode) else 0
            mode = stat.filemode(about.st_mode)
            yield (
                str(path.relative_to(root)),
                [mode, about.st_uid, about.st_gid, links, content, attributes],
            )


def make(directory: Path, log: Callable[[str], None] = print) -> dict[str, object]:
    """Bootstrap, install, delete, uninstall, and configure a tree; describe the result."""
    root = directory / "root"
    root.mkdir()
    settings = load_settings()
    repositories = tuple(
        resolve(
            Repository(path=path, alias=alias, distribution=suite, included_in_image=True),
            settings,
            directory,
            "x86_64",
        )
        for path, alias, suite in (
            ("mirror:debian", "debian", "bookworm"),
            ("mirror:debian-security", "security", "bookworm-security"),
        )
    )
    apt, used = MANAGERS["apt"], MANAGERS.use("apt")
    state = apt.refresh(repositories, "x86_64", HostPaths(settings.cache), force=False)
    request = PackageRequest("x86_64", repositories, state)
    privilege = detect()
    actions = (
        Bootstrap(used, replace(request, packages=("apt",))),
        InstallPackages(
            used,
            replace(
                request,
                packages=("openssh-server", "systemd-resolved", "iputils-ping", "ssl-cert", "less"),
                collections=("ssh-server",),
                ignore=("openssh-sftp-server-not-known",),
            ),
        ),
        DeletePackages(used, ("less", "never-there"), force=True),
        DeletePackages(used, ("iputils-ping",), force=False),
        ConfigureRepositories(used, repositories),
    )
    for action in actions:
        job = Job(root, settings.cache, action, privilege.rootless)
        call(act, job, on_log=log, privilege=privilege)
    names = [package.name for package in apt.installed(root)]
    return {"installed": names, **call(describe, root, privilege=privilege)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from apt_trees import make as make_importable

    result = make_importable(Path(sys.argv[1]), lambda line: print(line, file=sys.stderr))
    json.dump(result, sys.stdout)
