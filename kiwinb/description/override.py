"""Overrides: repositories, packages and attributes that replace those of the description."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kiwinb.description.login import without_logins
from kiwinb.description.model import (
    BuildType,
    Certificates,
    ConfigOption,
    ContainerConfig,
    ImageDescription,
    Packages,
    Repository,
)
from kiwinb.description.placement import allowed_on
from kiwinb.description.schema.rules import element_rules, image_has, normal
from kiwinb.description.values import convert_attribute
from kiwinb.errors import DescriptionError
from kiwinb.spelling import near_names

REPOSITORY_FORMAT = (
    "source,type,alias,priority,imageinclude,package_gpgcheck,{signing_keys},components,"
    "distribution,repo_gpgcheck,repo_sourcetype"
)
"""The value of ``--set-repo`` and ``--add-repo``; only the source is required."""


@dataclass(frozen=True)
class Overrides:
    """Changes to a description, as the options of the command line make them.

    Relative paths start at the working directory. Only those in ``set_type_attr`` start at the
    description directory, as in the description itself.

    Attributes:
        set_repo: Replaces the first repository; see ``REPOSITORY_FORMAT``.
        set_repo_credentials: ``user:password`` for that repository.
        add_repo: Additional repositories.
        add_repo_credentials: ``user:password`` for each additional repository, in order.
        ignore_repos: Ignore the repositories of the description.
        ignore_repos_used_for_build: Ignore them, except those with ``imageonly="true"``.
        add_package: Packages to install.
        add_bootstrap_package: Packages to install in the bootstrap phase.
        delete_package: Packages to delete.
        set_container_tag: Tag of the container.
        set_container_derived_from: URI of the container that the image builds on.
        add_container_label: Labels as ``name=value``; each replaces a label of the same name.
        set_release_version: The distribution's release version.
        set_type_attr: Attributes of the selected ``<type>`` as ``attribute=value``.
        signing_key: Key files to trust for all repositories.
        ca_cert: CA certificate files for the image.
        ca_target_distribution: The distribution that decides how to install the certificates.
        network: Names of the scripts that reach the network, such as ``config.sh``; ``all`` for
            all scripts.
    """

    set_repo: str | None = None
    set_repo_credentials: str | None = field(default=None, repr=False)
    add_repo: tuple[str, ...] = ()
    add_repo_credentials: tuple[str, ...] = field(default=(), repr=False)
    ignore_repos: bool = False
    ignore_repos_used_for_build: bool = False
    add_package: tuple[str, ...] = ()
    add_bootstrap_package: tuple[str, ...] = ()
    delete_package: tuple[str, ...] = ()
    set_container_tag: str | None = None
    set_container_derived_from: str | None = None
    add_container_label: tuple[str, ...] = ()
    set_release_version: str | None = None
    set_type_attr: tuple[str, ...] = ()
    signing_key: tuple[str, ...] = ()
    ca_cert: tuple[str, ...] = ()
    ca_target_distribution: str | None = None
    network: tuple[str, ...] = ()

    def __repr__(self) -> str:
        given = ", ".join(
            f"{item.name}={value!r}"
            for item in fields(self)
            if (value := getattr(self.without_secrets(), item.name)) != item.default
        )
        return f"Overrides({given})"

    def without_secrets(self) -> Overrides:
        """The overrides without credentials, to be shown and kept."""
        return replace(
            self,
            set_repo=self.set_repo and without_logins(self.set_repo),
            set_repo_credentials=None,
            add_repo=tuple(map(without_logins, self.add_repo)),
            add_repo_credentials=(),
            signing_key=tuple(map(without_logins, self.signing_key)),
        )


def apply(image: ImageDescription, overrides: Overrides) -> ImageDescription:
    """Apply overrides to a description; a pure function.

    Raises:
        DescriptionError: An override is malformed, or does not apply to this image.
    """
    image = replace(
        image,
        repositories=_repositories(image.repositories, overrides),
        packages=_packages(image.packages, overrides),
        type=_type(image.type, overrides),
        certificates=_certificates(image.certificates, overrides),
    )
    if overrides.set_release_version is None:
        return image
    return replace(
        image,
        preferences=replace(image.preferences, release_version=overrides.set_release_version),
    )


def read_credentials(value: str) -> str:
    """``user:password`` of an option: its value, or the first line of the file that it names.

    Raises:
        DescriptionError: The file cannot be read.
    """
    file = Path(value)
    with suppress(OSError, ValueError):  # the value is no name that a file can have
        if file.is_file():
            try:
                return file.read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
            except (OSError, UnicodeDecodeError) as error:
                raise DescriptionError(f"the credentials cannot be read: {error}") from None
    return value


def _repositories(given: tuple[Repository, ...], overrides: Overrides) -> tuple[Repository, ...]:
    repositories = list(given)
    if overrides.ignore_repos:
        repositories = []
    elif overrides.ignore_repos_used_for_build:
        repositories = [item for item in repositories if not item.used_for_build]
    if overrides.set_repo is not None:
        values = parse_repository(overrides.set_repo, "--set-repo")
        if overrides.set_repo_credentials is not None:
            values |= _credentials(overrides.set_repo_credentials, "--set-repo-credentials")
        if repositories and repositories[0].login_of_url:  # it belongs to that server
            values = {"username": None, "password": None, "login_of_url": False} | values
        first = replace(repositories[0], **values) if repositories else Repository(**values)
        repositories[:1] = [first]
    elif overrides.set_repo_credentials is not None:
        raise DescriptionError(
            "--set-repo-credentials is given without --set-repo", remedy="Give both."
        )
    if len(overrides.add_repo_credentials) > len(overrides.add_repo):
        raise DescriptionError(
            "there are more --add-repo-credentials than --add-repo",
            remedy="Give one for each repository, in the same order.",
        )
    for number, text in enumerate(overrides.add_repo):
        values = parse_repository(text, "--add-repo")
        for credentials in overrides.add_repo_credentials[number : number + 1]:
            values |= _credentials(credentials, "--add-repo-credentials")
        repositories.append(Repository(**values))
    return tuple(
        replace(item, signing=(*item.signing, *overrides.signing_key)) for item in repositories
    )


def split_repository(text: str) -> list[str]:
    """The fields of an option in ``REPOSITORY_FORMAT``; commas between braces do not separate."""
    return re.split(r",(?![^{]*\})", text)


def parse_repository(text: str, option: str) -> dict[str, Any]:
    """The fields of a :class:`Repository` that an option in ``REPOSITORY_FORMAT`` sets.

    Raises:
        DescriptionError: It is malformed.
    """

    def wrong(problem: str) -> DescriptionError:
        return DescriptionError(
            f"{option} {without_logins(text)}: {problem}",
            remedy=f"The format is {REPOSITORY_FORMAT}.",
        )

    parts = split_repository(text)
    if len(parts) > len(_REPOSITORY_FIELDS):
        raise wrong(f"it has {len(parts)} fields, {len(_REPOSITORY_FIELDS)} at most are known")
    values: dict[str, Any] = {}
    for (name, convert, expected), part in zip(_REPOSITORY_FIELDS, parts, strict=False):
        if part == "":
            continue
        try:
            values[name] = convert(part)
        except ValueError:
            raise wrong(f"{without_logins(part)!r} is not {expected}") from None
    if "path" not in values:
        raise wrong("the source is missing")
    return values


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[_one_of("true", "false")(text)]


def _one_of(*choices: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return convert


def _keys(text: str) -> tuple[str, ...]:
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError(text)
    return tuple(key for part in text[1:-1].split(";") if (key := part.strip()))


def _alias(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        raise ValueError(text)
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _values_of(element: str, attribute: str) -> tuple[str, ...]:
    return tuple(element_rules()[element].attributes[attribute].datatype.values)


_TYPES = _values_of("repository", "type")
_SOURCE_TYPES = _values_of("repository", "sourcetype")
_REPOSITORY_FIELDS: Sequence[tuple[str, Callable[[str], Any], str]] = (
    ("path", str, ""),
    ("type", _one_of(*_TYPES), f"one of {', '.join(_TYPES)}"),
    ("alias", _alias, "an alias of letters, digits, '_', '-' and '.'"),
    ("priority", int, "a priority: a whole number"),
    ("included_in_image", _boolean, "true or false (imageinclude)"),
    ("package_gpgcheck", _boolean, "true or false (package_gpgcheck)"),
    ("signing", _keys, "a list of keys in braces: {key;key}"),
    ("components", _words, ""),
    ("distribution", str, ""),
    ("repository_gpgcheck", _boolean, "true or false (repo_gpgcheck)"),
    ("sourcetype", _one_of(*_SOURCE_TYPES), f"one of {', '.join(_SOURCE_TYPES)}"),
)


def _credentials(text: str, option: str) -> dict[str, str]:
    user, colon, password = text.partition(":")
    if not (user and colon):
        raise DescriptionError(
            f"{option} is not user:password", remedy="Give both, with a colon between them."
        )
    return {"username": user, "password": password}


def _packages(packages: Packages, overrides: Overrides) -> Packages:
    def add(old: tuple[str, ...], option: str, new: Sequence[str]) -> tuple[str, ...]:
        for name in new:
            if not name or re.search(r"\s", name):
                raise DescriptionError(
                    f"{option} {name!r} is no package name",
                    remedy="Give the option once for each package.",
                )
        return tuple(dict.fromkeys((*old, *new)))

    bootstrap, image = packages.bootstrap, packages.image
    return replace(
        packages,
        bootstrap=replace(
            bootstrap,
            packages=add(
                bootstrap.packages, "--add-bootstrap-package", overrides.add_bootstrap_package
            ),
        ),
        image=replace(image, packages=add(image.packages, "--add-package", overrides.add_package)),
        delete=add(packages.delete, "--delete-package", overrides.delete_package),
    )


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise DescriptionError(
            f"{option} {text} is not name=value", remedy="Write the name, '=' and the value."
        )
    return name, value


def _type(build_type: BuildType, overrides: Overrides) -> BuildType:
    for text in overrides.set_type_attr:
        build_type = _set_attribute(build_type, *_pair(text, "--set-type-attr"))
    if overrides.set_container_derived_from is not None:
        _check_container(build_type, "--set-container-derived-from")
        build_type = _set_attribute(
            build_type, "derived_from", overrides.set_container_derived_from
        )
    config = build_type.containerconfig or ContainerConfig()
    if overrides.set_container_tag is not None:
        _check_container(build_type, "--set-container-tag")
        config = replace(config, tag=overrides.set_container_tag)
    if overrides.add_container_label:
        _check_container(build_type, "--add-container-label")
        labels = {label.name: label for label in config.labels}
        for text in overrides.add_container_label:
            name, value = _pair(text, "--add-container-label")
            labels[name] = ConfigOption(name, value)
        config = replace(config, labels=tuple(labels.values()))
    if config != ContainerConfig():
        build_type = replace(build_type, containerconfig=config)
    return build_type


def _check_container(build_type: BuildType, option: str) -> None:
    in_container = (build_type.format or "").startswith(("oci:", "docker:"))
    if image_has(build_type.image) != "containerconfig" and not in_container:
        raise DescriptionError(
            f"{option} is for containers, and the type {build_type.image} is none",
            remedy="Select a container type with --type, or drop the option.",
        )


def _set_attribute(build_type: BuildType, name: str, value: str) -> BuildType:
    known = element_rules()["type"].attributes
    if name not in known:
        near = near_names(name, list(known))
        raise DescriptionError(
            f"--set-type-attr {name}: <type> has no such attribute",
            remedy=f"Did you mean {near[0]}?"
            if near
            else "kiwinb description schema lists all attributes.",
        )
    if name == "image":
        raise DescriptionError(
            "--set-type-attr cannot set image", remedy="Select another type with --type."
        )
    if not allowed_on(known[name], build_type.image):
        raise DescriptionError(
            f'--set-type-attr {name} is not allowed with image="{build_type.image}"',
            remedy=f"It belongs to images of the kinds {', '.join(known[name].kinds)}.",
        )
    datatype = known[name].datatype
    if not datatype.accepts(value):
        allowed = ", ".join((*datatype.values, *filter(None, [datatype.expected])))
        raise DescriptionError(
            f"--set-type-attr {name}={value}: the value is not allowed",
            remedy=f"Allowed: {allowed}.",
        )
    value = datatype.spellings.get(normal(value), normal(value))
    attributes = {**build_type.attributes, name: value}
    try:
        fields = {name: convert_attribute(name, value)}
    except KeyError:
        fields = {}
    except ValueError as error:
        raise DescriptionError(f"--set-type-attr {name}={value}: {error}") from None
    return replace(build_type, attributes=attributes, **fields)


def _certificates(
    certificates: tuple[Certificates, ...], overrides: Overrides
) -> tuple[Certificates, ...]:
    target = overrides.ca_target_distribution
    known = _values_of("certificates", "target_distribution")
    if target is not None and target not in known:
        raise DescriptionError(
            f"--ca-target-distribution {target} is not known",
            remedy=f"It is one of {', '.join(known)}.",
        )
    if target is not None:
        certificates = tuple(replace(item, target_distribution=target) for item in certificates)
    if not overrides.ca_cert:
        return certificates
    target = target or next((item.target_distribution for item in certificates), None)
    if target is None:
        raise DescriptionError(
            "--ca-cert is given, but not for which distribution",
            remedy=f"Give --ca-target-distribution: {', '.join(known)}.",
        )
    names = tuple(str(Path(name).absolute()) for name in overrides.ca_cert)
    return (*certificates, Certificates(target, names))
