"""The model of the image as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.description.model.container import Container
from kiwinb.description.model.packages import Packages, Repository, Strip
from kiwinb.description.model.type import BuildType


@dataclass(frozen=True)
class Information:
    """``<description>``: who made the image, and what it is for."""

    kind: str = "system"
    author: tuple[str, ...] = ()
    contact: tuple[str, ...] = ()
    specification: str = ""
    license: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preferences:
    """All selected ``<preferences>`` sections, merged in document order (the later one wins)."""

    version: str | None = None
    packagemanager: str | None = None
    locale: tuple[str, ...] = ()
    keytable: str | None = None
    timezone: str | None = None
    release_version: str | None = None
    rpm_check_signatures: bool | None = None
    rpm_excludedocs: bool | None = None
    rpm_locale_filtering: bool | None = None
    bootsplash_theme: str | None = None
    bootloader_theme: str | None = None
    showlicense: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """``<user>``."""

    name: str
    password: str | None = field(default=None, repr=False)
    pwdformat: str = "encrypted"
    groups: tuple[str, ...] = ()
    home: str | None = None
    id: int | None = None
    realname: str | None = None
    shell: str | None = None


@dataclass(frozen=True)
class Profile:
    """``<profile>``: a name for sections that a build may select."""

    name: str
    description: str = ""
    imported: bool = False
    arch: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Certificates:
    """``<certificates>``: CA certificate files for the image's own trust store."""

    target_distribution: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageDescription:
    """One image, as one build sees it.

    Attributes:
        directory: The description directory.
        file: The description file in it.
        profiles: The selected profiles in document order, including those that others require.
        arch: The target architecture as ``uname -m`` prints it.
    """

    name: str
    directory: Path
    file: Path
    arch: str
    type: BuildType
    preferences: Preferences
    displayname: str | None = None
    id: str | None = None
    schemaversion: str = "8.5"
    profiles: tuple[str, ...] = ()
    all_profiles: tuple[Profile, ...] = ()
    information: Information = Information()
    users: tuple[User, ...] = ()
    repositories: tuple[Repository, ...] = ()
    packages: Packages = field(default_factory=Packages)
    drivers: tuple[str, ...] = ()
    strip: Strip = field(default_factory=Strip)
    containers: tuple[Container, ...] = ()
    certificates: tuple[Certificates, ...] = ()

    @property
    def version(self) -> str:
        """The version of the image; ``1.0.0`` if the description does not set it."""
        return self.preferences.version or "1.0.0"

    @property
    def result_name(self) -> str:
        """The prefix of all result file names, as in KIWI NG: ``NAME.ARCH-VERSION``."""
        return f"{self.name}.{self.arch}-{self.version}"
