"""Small rpm-md repositories that are made here, and builds on them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.packages.manager import ResolvedRepository
from kiwinb.steps.step import HostPaths


@dataclass(frozen=True)
class Rpm:
    """A package to make.

    Attributes:
        name: Its name.
        version: ``version-release``.
        requires: What it requires.
        recommends: What it recommends.
        provides: What it provides.
        conflicts: What it conflicts with.
        obsoletes: What it obsoletes.
        files: Content by path.
        scripts: Sections of the spec file such as ``%post``, by their first line.
    """

    name: str
    version: str = "1.0-1"
    requires: Sequence[str] = ()
    recommends: Sequence[str] = ()
    provides: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    obsoletes: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    def spec(self) -> str:
        """The text of its spec file."""
        version, _, release = self.version.partition("-")
        relations = [
            f"{tag}: {value}"
            for tag, values in (
                ("Requires", self.requires),
                ("Recommends", self.recommends),
                ("Provides", self.provides),
                ("Conflicts", self.conflicts),
                ("Obsoletes", self.obsoletes),
            )
            for value in values
        ]
        install = [
            f"mkdir -p $(dirname %{{buildroot}}{path}); printf %s '{text}' > %{{buildroot}}{path}"
            for path, text in self.files.items()
        ]
        return "\n".join(
            [
                f"Name: {self.name}\nVersion: {version}\nRelease: {release}",
                "Summary: A test\nLicense: MIT\nBuildArch: noarch\nAutoReqProv: no",
                *relations,
                "%description\nA test.\n%install\nmkdir -p %{buildroot}",
                *install,
                *(f"{head}\n{text}" for head, text in self.scripts.items()),
                "%files",
                *self.files,
                "",
            ]
        )


def make_repository(
    directory: Path, packages: Sequence[Rpm], *, groups: str = "", revision: str = "1700000000"
) -> Path:
    """Build packages, and make a repository of them."""
    directory.mkdir(parents=True, exist_ok=True)
    top = directory.with_name(f"{directory.name}-build")
    for package in packages:
        spec = top / f"{package.name}.spec"
        spec.parent.mkdir(exist_ok=True)
        spec.write_text(package.spec())
        _run(
            *("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", "--define"),
            *(f"_rpmdir {directory}", "--define", "_build_id_links none", str(spec)),
        )
    index(directory, groups=groups, revision=revision)
    return directory


def index(directory: Path, *, groups: str = "", revision: str = "1700000000") -> None:
    """Make the metadata of a repository anew."""
    options = ["--revision", revision, "--set-timestamp-to-revision"]
    if groups:
        (directory / "comps.xml").write_text(groups)
        options += ["--groupfile", "comps.xml"]
    _run("createrepo_c", "--quiet", *options, str(directory))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def repository(directory: Path, alias: str = "test", **more: object) -> ResolvedRepository:
    """The repository in a directory, unchecked unless ``more`` says otherwise."""
    given = {"checked": False, **more}
    return ResolvedRepository(alias, f"dir:{directory}", (directory.as_uri(),), **given)  # type: ignore[arg-type]


def host_paths(directory: Path) -> HostPaths:
    """Directories of the host below a directory."""
    return HostPaths(cache=directory / "cache")
