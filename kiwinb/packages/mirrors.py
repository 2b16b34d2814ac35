"""Find the URLs of a description's repositories, and the keys that sign them.

A source path is one of

* ``mirror:ALIAS[/PATH]``: a mirror from the settings, or else from the host's own package
  managers;
* a ``http:``, ``https:`` or ``ftp:`` URL;
* ``obs:PROJECT/REPOSITORY``: a repository on the Open Build Service that the settings name;
* ``dir:``, ``file:`` or a plain path: a directory of the host;
* ``this:PATH``: a directory in the description directory;
* ``iso:PATH[?DIRECTORY]``: an ISO image, which is unpacked into the cache.

If it is a list of mirrors, it is a file at one of the first two, or on this host.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kiwinb.description.login import split_login, without_logins
from kiwinb.description.model import ImageDescription, Repository
from kiwinb.distributions import of_mirror
from kiwinb.errors import RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages import MANAGERS
from kiwinb.packages.keys import key_file, read_key
from kiwinb.packages.manager import HostMirror, ResolvedRepository
from kiwinb.packages.variables import Variables, replaced
from kiwinb.sandbox.command import run
from kiwinb.settings import Settings, settings_file
from kiwinb.spelling import near_names
from kiwinb.steps.keys import Source

KEYRINGS = Path("/usr/share/keyrings")

_ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


def resolve(
    repository: Repository,
    settings: Settings,
    description_dir: Path,
    arch: str,
    *,
    host: Sequence[HostMirror] | None = None,
    keyrings: Path = KEYRINGS,
    variables: Variables | None = None,
) -> ResolvedRepository:
    """Find the URLs and the keys of a repository; the module says what its path can be.

    Args:
        repository: The repository in the description.
        settings: The user's settings.
        description_dir: The description directory.
        arch: Target architecture, which replaces ``%arch``.
        host: Mirrors of the host's own package managers; by default, these are looked up.
        keyrings: Directory in which packages of the host install archive keyrings.
        variables: What ``$NAME`` stands for in its URLs. In the image, they stay as they are.

    Raises:
        RepositoryError: The repository cannot be found, or its signature has to be checked but no
            key is known.
    """
    path = repository.path.replace("%arch", arch)
    sourcetype = None if repository.sourcetype == "baseurl" else repository.sourcetype
    locate = _locate if sourcetype is None else _locate_list
    place = locate(path, settings, description_dir, host_mirrors() if host is None else host)
    distribution = repository.distribution or "./"
    alias = repository.alias or _alias(path, distribution)
    variables = variables if variables and repository.used_for_build else {}
    urls = tuple(replaced(without_logins(url), variables) for url in place.urls)
    return ResolvedRepository(
        alias=alias,
        path=repository.path,
        urls=urls,
        sourcetype=sourcetype,
        variables=tuple(variables.items()) if sourcetype == "mirrorlist" else (),
        keys=_keys(repository, alias, place, settings, description_dir, keyrings),
        checked=repository.repository_gpgcheck is not False,
        index_required=repository.repository_gpgcheck is True,
        packages_checked=repository.package_gpgcheck,
        distribution=distribution,
        components=() if distribution.endswith("/") else repository.components or ("main",),
        architectures=repository.architectures,
        priority=repository.priority,
        username=repository.username,
        password=repository.password,
        url_logins=tuple(_logins(place.urls, variables)),
        outdated_allowed=alias in settings.outdated_repositories,
        used_for_build=repository.used_for_build,
        included_in_image=repository.included_in_image,
        image_url=without_logins(place.urls[0]) if repository.included_in_image else None,
    )


def resolve_for(
    image: ImageDescription, repository: Repository, settings: Settings, directory: Path
) -> ResolvedRepository:
    """Find the URLs and the keys of a repository of an image; see :func:`resolve`.

    Args:
        image: The image, whose package manager reads the repository.
        repository: The repository.
        settings: The user's settings.
        directory: The description directory.

    Raises:
        RepositoryError: As :func:`resolve` does, or the package manager cannot read its list of
            mirrors.
    """
    preferences = image.preferences
    manager = MANAGERS.get(preferences.packagemanager or "")
    if manager is None:
        return resolve(repository, settings, directory, image.arch)
    if is_list(repository) and "sourcetype" not in manager.honours:
        problem, remedy = refused_list(repository, manager.name)
        raise RepositoryError(problem, remedy=remedy)
    variables = manager.url_variables(image.arch, preferences.release_version)
    return resolve(repository, settings, directory, image.arch, variables=variables)


def is_list(repository: Repository) -> bool:
    """Tell whether the source of a repository is a list of mirrors."""
    return repository.sourcetype in ("metalink", "mirrorlist")


def refused_list(repository: Repository, manager: str) -> tuple[str, str]:
    """Say that a package manager cannot read a list of mirrors, and what to do about it."""
    return (
        f'the repository {repository.alias or repository.path} has sourcetype="'
        f'{repository.sourcetype}", which kiwinb cannot read with {manager}',
        "Name a mirror itself, and remove sourcetype.",
    )


def _logins(urls: Sequence[str], variables: Variables) -> Iterator[tuple[str, str, str]]:
    """The user names and passwords in the URLs of the settings and of the host's sources."""
    for url in urls:
        bare, user, password = split_login(url)
        if user is not None:
            yield replaced(bare, variables), user, password or ""


def _keys(
    repository: Repository,
    alias: str,
    place: _Place,
    settings: Settings,
    description_dir: Path,
    keyrings: Path,
) -> tuple[Source, ...]:
    """The keys that the description names, or else those of the host."""
    if repository.signing:
        logins = {key: (user, password) for key, user, password in repository.key_logins}
        return tuple(
            read_key(key, alias, description_dir, settings.cache, logins.get(key))
            for key in repository.signing
        )
    if repository.repository_gpgcheck is False:
        return ()
    if not (keys := _default_keys(place, settings, keyrings)):
        raise _no_key(repository, alias)
    return keys


def _no_key(repository: Repository, alias: str) -> RepositoryError:
    return RepositoryError(
        f"there is no known key for the repository {alias} ({repository.path})",
        remedy='Name its key file in the description: <source …><signing key="…"/>'
        '</source>, or set repository_gpgcheck="false" to use it unchecked.',
    )


def host_mirrors() -> tuple[HostMirror, ...]:
    """Return the mirrors that this host's own package managers read from."""
    return tuple(mirror for manager in MANAGERS.values() for mirror in manager.host_mirrors())


@dataclass(frozen=True)
class _Place:
    urls: tuple[str, ...]
    name: str
    signed_by: str = ""


def _locate(
    path: str, settings: Settings, description_dir: Path, sources: Sequence[HostMirror]
) -> _Place:
    try:
        return _located(path, settings, description_dir, sources)
    except ValueError as error:
        raise RepositoryError(
            f"{path} is not a URL: {error}", remedy="Correct the source of the repository."
        ) from None


def _locate_list(
    path: str, settings: Settings, description_dir: Path, sources: Sequence[HostMirror]
) -> _Place:
    """Find a list of mirrors; the query of its URL stays as it is."""
    scheme, colon, rest = path.partition(":")
    if colon and scheme in ("mirror", "http", "https", "ftp"):
        place = _locate(path, settings, description_dir, sources)
        return replace(place, urls=(path,)) if scheme != "mirror" else place
    if not colon or "/" in scheme:
        file = description_dir / path
    elif scheme == "this":
        file = description_dir / rest.lstrip("/")
    elif scheme in ("dir", "file"):
        file = description_dir / unquote(urlsplit(path).path)
    else:
        raise RepositoryError(
            f"{path} cannot be a list of mirrors",
            remedy="Name a file: mirror:, http:, https:, ftp:, file: or this:, or remove "
            "sourcetype.",
        )
    if not file.is_file():
        raise RepositoryError(f"the list of mirrors {file} does not exist")
    return _Place((file.resolve().as_uri(),), file.name)


def _located(
    path: str, settings: Settings, description_dir: Path, sources: Sequence[HostMirror]
) -> _Place:
    scheme, colon, rest = path.partition(":")
    if not colon or "/" in scheme:
        return _directory(description_dir / path)
    match scheme:
        case "mirror":
            return _mirror(rest, settings, sources)
        case "http" | "https" | "ftp":
            url = path.rstrip("/")
            known = next((source for source in sources if source.url == url), None)
            return _Place((url,), _last(url), known.signed_by if known else "")
        case "obs":
            return _build_service(rest, settings)
        case "this":
            return _directory(description_dir / rest.lstrip("/"))
        case "dir" | "file":
            return _directory(description_dir / unquote(urlsplit(path).path))
        case "iso":
            return _iso_image(rest, settings, description_dir)
    if scheme == "obsrepositories":
        raise RepositoryError(
            f"{path} stands for a project's repositories on a worker of the Open Build Service",
            remedy="Name the repositories with --set-repo and --add-repo, as in obs:PROJECT/NAME.",
        )
    raise RepositoryError(
        f"kiwinb does not know the kind of the repository path {path}",
        remedy="Use mirror:, http:, https:, ftp:, obs:, dir:, file:, this: or iso:.",
    )


def _mirror(rest: str, settings: Settings, sources: Sequence[HostMirror]) -> _Place:
    alias, _, below = rest.strip("/").partition("/")
    own = [source for source in sources if alias in source.aliases]
    urls = settings.mirrors.get(alias) or tuple(dict.fromkeys(source.url for source in own))
    if not urls:
        aliases = (*settings.mirrors, *(name for source in sources for name in source.aliases))
        near = near_names(alias, aliases)
        raise RepositoryError(
            f"no mirror is known for mirror:{alias}",
            remedy=(f"Did you mean mirror:{near[0]}? " if near else "")
            + f"Neither the settings nor the host's package managers name one. Set it in "
            f'{settings_file()}:\n\n    [mirrors]\n    {alias} = "http://…/{alias}"\n',
        )
    signed_by = next((source.signed_by for source in own if source.signed_by), "")
    return _Place(tuple(f"{url}/{below}" if below else url for url in urls), alias, signed_by)


def _build_service(rest: str, settings: Settings) -> _Place:
    project = rest.strip("/").replace(":", ":/")
    return _Place((f"{settings.obs_server.rstrip('/')}/{project}",), "")


def _directory(path: Path) -> _Place:
    path = path.resolve()
    if not path.is_dir():
        raise RepositoryError(f"the repository directory {path} does not exist")
    return _Place((path.as_uri(),), path.name)


def _iso_image(rest: str, settings: Settings, description_dir: Path) -> _Place:
    name, _, below = re.sub(r"^//(?=/)", "", rest).partition("?")
    file = (description_dir / name).resolve()
    if not file.is_file():
        raise RepositoryError(f"the ISO image {file} does not exist")
    about = file.stat()
    identity = f"{file}\0{about.st_size}\0{about.st_mtime_ns}"
    tree = settings.cache / "iso" / hashlib.sha256(identity.encode()).hexdigest()
    if not tree.is_dir():
        tree.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tree.parent) as work:
            fresh = Path(work, "tree")
            run(["xorriso", "-osirrox", "on", "-indev", file, "-extract", "/", fresh])
            run(["chmod", "-R", "u+rwX", fresh])
            if not tree.is_dir():
                fresh.rename(tree)
    return _directory(tree / below.strip("/"))


def _last(url: str) -> str:
    return urlsplit(url).path.rstrip("/").rpartition("/")[2]


def _alias(path: str, distribution: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.partition(":")[2] or path).strip("-.")
    suite = re.sub(r"[^A-Za-z0-9._-]+", "-", distribution).strip("-.")
    return "-".join(part for part in (name, suite) if part) or "repository"


def _default_keys(place: _Place, settings: Settings, keyrings: Path) -> tuple[Source, ...]:
    if _ARMOR in place.signed_by:
        return (_inline_key(place.signed_by, settings),)
    named = [file for word in place.signed_by.split() if (file := Path(word)).is_file()]
    return tuple(key_file(file) for file in named or _keyrings(place.name, keyrings))


def _keyrings(alias: str, keyrings: Path) -> Iterator[Path]:
    """Yield this host's archive keyrings for the distribution on a mirror with this alias."""
    distribution = of_mirror(alias)
    for name in distribution.keyrings if distribution else ():
        for suffix in ("gpg", "pgp", "asc"):
            file = keyrings / f"{name}.{suffix}"
            if file.is_file():
                yield file
                break


def _inline_key(field: str, settings: Settings) -> Source:
    """Write a key that is embedded in a deb822 source to a file; `` .`` stands for empty lines."""
    lines = ("" if line.strip() == "." else line for line in field.splitlines())
    data = ("\n".join(lines).strip() + "\n").encode()
    directory = settings.cache / "keys"
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{hashlib.sha256(data).hexdigest()}.asc"
    replace_file(file, data)
    return key_file(file)
