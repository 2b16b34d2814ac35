"""The model of repositories, packages, archives, files and strip sections."""

from __future__ import annotations

from dataclasses import dataclass, field

from kiwinb.description.login import split_login


@dataclass(frozen=True)
class Repository:
    """``<repository>``: where packages come from.

    Attributes:
        path: The ``<source path=…>``: ``mirror:debian``, ``dir:///…``, ``https://…``; a user name
            and a password in a URL are not in it, but in ``username`` and ``password``.
        distribution: Suite, for apt: ``bookworm``. A path ending in ``/`` is a flat repository.
        components: Components, for apt: ``("main", "contrib")``; ``main`` by default.
        priority: The smallest number comes first, as in KIWI NG.
        signing: Keys that sign the repository, from ``<signing key=…>``, without user names and
            passwords.
        key_logins: Key, user name and password, for keys whose URL has them.
        used_for_build: ``False`` for ``imageonly``.
        included_in_image: ``True`` for ``imageonly`` and ``imageinclude``.
    """

    path: str
    alias: str | None = None
    type: str | None = None
    distribution: str | None = None
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    priority: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    repository_gpgcheck: bool | None = None
    package_gpgcheck: bool | None = None
    sourcetype: str | None = None
    customize: str | None = None
    signing: tuple[str, ...] = ()
    key_logins: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    used_for_build: bool = True
    included_in_image: bool = False
    login_of_url: bool = False

    def __post_init__(self) -> None:
        """Take user names and passwords out of the URLs, so that they get nowhere with them."""
        path, username, password = split_login(self.path)
        if username is not None:
            object.__setattr__(self, "path", path)
            object.__setattr__(self, "username", username)
            object.__setattr__(self, "password", password)
            object.__setattr__(self, "login_of_url", True)
        split = [split_login(key) for key in self.signing]
        own = tuple((key, user, word or "") for key, user, word in split if user is not None)
        object.__setattr__(self, "signing", tuple(key for key, _user, _word in split))
        object.__setattr__(self, "key_logins", (*self.key_logins, *own))


@dataclass(frozen=True)
class Archive:
    """``<archive>``: a tarball of the description to unpack into the root tree."""

    name: str
    target_dir: str | None = None
    bootinclude: bool = False


@dataclass(frozen=True)
class OverlayFile:
    """``<file>`` in ``<packages>``: one file of the description and its place in the tree."""

    name: str
    target: str | None = None
    owner: str | None = None
    permissions: str | None = None


@dataclass(frozen=True)
class CollectionModule:
    """``<collectionModule>``: a module stream of dnf."""

    name: str
    stream: str | None = None
    enable: bool = True


@dataclass(frozen=True)
class PackageSet:
    """All selected ``<packages>`` sections of a phase, merged in order without duplicates."""

    packages: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    collection_modules: tuple[CollectionModule, ...] = ()
    products: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()
    files: tuple[OverlayFile, ...] = ()
    plus_recommended: bool = False

    def __bool__(self) -> bool:
        return any(
            (
                self.packages,
                self.collections,
                self.collection_modules,
                self.products,
                self.archives,
                self.files,
            )
        )


@dataclass(frozen=True)
class Packages:
    """The packages of a build by phase; ``image`` includes those for the selected type."""

    bootstrap: PackageSet = PackageSet()
    image: PackageSet = PackageSet()
    delete: tuple[str, ...] = ()
    uninstall: tuple[str, ...] = ()
    systemfiles: tuple[str, ...] = ()
    bootstrap_package: str | None = None


@dataclass(frozen=True)
class Strip:
    """All selected ``<strip>`` sections: names for the strip functions of the scripts."""

    delete: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    libs: tuple[str, ...] = ()
