"""Set up users and groups of the description."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.description.model import User
from kiwinb.distributions import package_remedy
from kiwinb.errors import ImageError
from kiwinb.packages.traces import BY_PRODUCTS, without_traces
from kiwinb.prepare.homes import give_homes
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class SetupUsers:
    """Create users and groups, or change existing users, with the tree's own tools.

    The home directory of each user that this creates becomes the user's, with everything in it that
    overlays and archives brought; see :mod:`kiwinb.prepare.homes`.

    Attributes:
        users: The users; their passwords are hashes.
        epoch: Time of the last password change, in seconds since 1970-01-01 UTC.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 4

    users: tuple[User, ...]
    epoch: int

    def run(self, context: StepContext) -> None:
        """Set up the users and groups.

        Raises:
            ImageError: The tree has no ``useradd``.
            CommandError: One of the tools failed.
        """
        if not resolve_in(context.root, "/usr/sbin/useradd").exists():
            raise ImageError(
                "the root tree has no useradd, so users cannot be set up",
                remedy=package_remedy(context.root, lambda packages: packages.users),
            )
        before = _names(context.root, "/etc/passwd")
        with (
            without_traces(context.root, BY_PRODUCTS),
            Chroot(context.root, log=context.log) as chroot,
        ):
            for user in self.users:
                groups = [_group(chroot, context.root, group) for group in user.groups]
                self._user(chroot, context.root, user, groups)
        created = {user.name for user in self.users} - before
        give_homes(context.root, created, context.log)

    def _user(self, chroot: Chroot, root: Path, user: User, groups: list[str]) -> None:
        exists = user.name in _names(root, "/etc/passwd")
        options: list[str] = []
        if groups:
            options += ["--gid", groups[0]]
            options += ["--groups", ",".join(groups[1:])] if groups[1:] else []
        options += ["--home-dir" if not exists else "--home", user.home] if user.home else []
        options += ["--uid", str(user.id)] if user.id is not None else []
        options += ["--comment", user.realname] if user.realname is not None else []
        options += ["--shell", user.shell] if user.shell else []
        env = {"SOURCE_DATE_EPOCH": str(self.epoch)}
        if not exists:
            chroot.run(["useradd", "--create-home", *options, "--", user.name], env=env)
        elif options:
            chroot.run(["usermod", *options, "--", user.name], env=env)
        if user.password is not None:
            line = f"{user.name}:{user.password}\n"
            chroot.run(["chpasswd", "--encrypted"], input=line, env=env)
        chroot.run(["chage", "--lastday", str(self.epoch // 86400), "--", user.name])


def _group(chroot: Chroot, root: Path, said: str) -> str:
    """Create a group, given as ``name`` or ``name:gid``, if it does not exist; return its name."""
    name, _, number = said.partition(":")
    if name not in _names(root, "/etc/group"):
        chroot.run(["groupadd", *(("--gid", number) if number else ()), "--", name])
    return name


def _names(root: Path, database: str) -> set[str]:
    return {line.partition(":")[0] for line in read_text_in(root, database).splitlines()}
