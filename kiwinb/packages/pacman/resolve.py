"""Let pacman resolve packages against a database of its own, which only notes what a tree has.

Builds and forecasts both do it, so a forecast has the packages of the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import CommandError, PackageError
from kiwinb.packages.databases.database import TreeFiles
from kiwinb.packages.databases.pacman import Sections, local_sections
from kiwinb.packages.failures import CONFLICT, naming_origins
from kiwinb.packages.indexed import directory_of
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.pacman.complaints import complaint, unknown_names
from kiwinb.packages.pacman.config import ordered, place_indexes, write_config
from kiwinb.packages.pacman.conflicts import conflicts
from kiwinb.packages.pacman.metadata import Listed, checked, listed, repository_name
from kiwinb.sandbox.chroot import ENVIRONMENT
from kiwinb.sandbox.command import run
from kiwinb.sandbox.tools import find_tool

_KEPT = (
    *("NAME", "VERSION", "BASE", "DESC", "GROUPS", "URL", "LICENSE", "ARCH", "BUILDDATE"),
    *("PACKAGER", "REASON", "SIZE", "REPLACES", "DEPENDS", "OPTDEPENDS", "CONFLICTS", "PROVIDES"),
)


@dataclass(frozen=True)
class Chosen:
    """A package of a repository that is to be installed.

    Attributes:
        repository: Number of its repository.
        listed: What the repository says of it.
    """

    repository: int
    listed: Listed

    @property
    def name(self) -> str:
        """Its name."""
        return self.listed.one("NAME")

    @property
    def version(self) -> str:
        """Its version."""
        return self.listed.one("VERSION")


class Resolver:
    """Repositories, and a database with notes of the packages of a tree.

    Args:
        work: Private directory.
        request: Names the repositories.
        base: The tree that has packages already; ``None`` for an empty one.
    """

    def __init__(self, work: Path, request: PackageRequest, base: TreeFiles | None) -> None:
        self._root = work / "noted"
        self._database = self._root / "database"
        (self._database / "local").mkdir(parents=True)
        (self._database / "local/ALPM_DB_VERSION").write_text("9\n")
        state = checked(request.state)
        self._config = write_config(work, self._root, request)
        place_indexes(state, request, self._database)
        self._listed: dict[tuple[str, str], Chosen] = {}
        self._aliases: dict[str, str] = {}
        for number, repository in ordered(request):
            for name, item in listed(directory_of(state, number)).items():
                self._listed[repository_name(repository), name] = Chosen(number, item)
                self._aliases.setdefault(name, repository.alias)
        self.noted: dict[str, Sections] = {}
        for sections in local_sections(base) if base is not None else ():
            self._note(sections)

    @property
    def known(self) -> set[str]:
        """Names of all packages and groups in the repositories."""
        groups = (
            group
            for item in self._listed.values()
            for group in item.listed.sections.get("GROUPS", ())
        )
        return {name for _repository, name in self._listed} | {*groups}

    def install(
        self, targets: Sequence[str], ignore: Sequence[str] = (), *, upgrade: bool = False
    ) -> tuple[Chosen, ...]:
        """Find out what to install for some packages and groups, sorted by name.

        Raises:
            PackageError: No repository has one, or it cannot be installed.
        """
        if not targets and not upgrade:
            return ()
        job = ["-Su" if upgrade else "-S", *_ignored(ignore), *targets]
        said = self._run([*job, "--needed", "--print-format", "chosen %r %n %v"])
        found = []
        for words in _chosen(said):
            repository, name, version = words
            item = self._listed[repository, name]
            assert item.version == version
            found.append(item)
        self._refuse_conflicts(found)
        return tuple(sorted(found, key=lambda item: item.name))

    def _refuse_conflicts(self, chosen: Sequence[Chosen]) -> None:
        """Refuse packages that conflict, which pacman does not look for before it downloads.

        Raises:
            PackageError: There are some.
        """
        new = {item.name: item.listed.sections for item in chosen}
        replaced = {name for sections in new.values() for name in _names(sections, "REPLACES")}
        kept = {name: item for name, item in self.noted.items() if name not in replaced}
        if found := conflicts({**kept, **new}, new.keys()):
            said = "\n".join(f"  {line}" for line in found)
            with naming_origins(lambda: self._aliases):
                raise PackageError(f"{CONFLICT.problem}:\n{said}", remedy=CONFLICT.remedy)

    def note(self, chosen: Sequence[Chosen], named: Sequence[str]) -> None:
        """Note packages as installed.

        Args:
            chosen: The packages.
            named: Names of packages and groups that were asked for.
        """
        asked = {re.split("[<>=]", name.rpartition("/")[2])[0] for name in named}
        provided = asked - {item.name for item in chosen}
        for item in chosen:
            sections = dict(item.listed.sections)
            sections["SIZE"] = sections.get("ISIZE", ["0"])
            before = self.noted.get(item.name)
            is_named = bool(
                asked & {item.name, *sections.get("GROUPS", ())}
                or provided & _names(sections, "PROVIDES")
            )
            automatic = "REASON" in before if before is not None else not is_named
            self.drop([item.name])
            self._note({**sections, **({"REASON": ["1"]} if automatic else {})})

    def remove(self, names: Sequence[str]) -> None:
        """Note that packages go away, with what needs them and what nothing needs any more.

        Raises:
            PackageError: They cannot be removed.
        """
        said = self._run(["-Rsc", *names, "--print-format", "chosen - %n %v"])
        self.drop([name for _repository, name, _version in _chosen(said)])

    def drop(self, names: Sequence[str]) -> None:
        """Note that only these packages go away."""
        for name in names:
            if (sections := self.noted.pop(name, None)) is not None:
                place = self._place(sections)
                for file in place.iterdir():
                    file.unlink()
                place.rmdir()

    def _note(self, sections: Sections) -> None:
        self.noted[sections["NAME"][0]] = sections
        place = self._place(sections)
        place.mkdir()
        lines = (
            f"%{name}%\n" + "".join(f"{line}\n" for line in sections[name]) + "\n"
            for name in _KEPT
            if name in sections
        )
        (place / "desc").write_text("".join(lines))
        (place / "files").write_text("")

    def _place(self, sections: Sections) -> Path:
        name = f"{sections['NAME'][0]}-{sections['VERSION'][0]}".replace("/", "_")
        return self._database / "local" / name

    def _run(self, job: Sequence[str]) -> str:
        lines: list[str] = []
        words = ["--config", str(self._config), "--dbpath", str(self._database), "--noconfirm"]
        try:
            return run(
                [find_tool("pacman"), *words, "--print", *job], env=ENVIRONMENT, log=lines.append
            )
        except CommandError as error:
            said = lines or list(error.tail)
            if unknown := unknown_names(said, self.known):
                raise unknown from error
            with naming_origins(lambda: self._aliases):
                raise complaint(said) from error


def _chosen(said: str) -> Iterator[tuple[str, str, str]]:
    for line in said.splitlines():
        words = line.split(" ")
        if words[0] == "chosen" and len(words) == 4:
            yield words[1], words[2], words[3]


def _names(sections: Mapping[str, Sequence[str]], name: str) -> set[str]:
    return {line.partition("=")[0] for line in sections.get(name, ())}


def _ignored(names: Sequence[str]) -> list[str]:
    return [f"--ignore={','.join(names)}"] if names else []
