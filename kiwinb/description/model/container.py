"""The model of containers."""

from __future__ import annotations

from dataclasses import dataclass

from kiwinb.description.model.boot import ConfigOption


@dataclass(frozen=True)
class ContainerCommand:
    """``<entrypoint>`` or ``<subcommand>``: an argv; ``clear`` empties an inherited one."""

    argv: tuple[str, ...] = ()
    clear: bool = False


@dataclass(frozen=True)
class ContainerHistory:
    """``<history>`` of a container."""

    comment: str = ""
    author: str | None = None
    created_by: str | None = None
    application_id: str | None = None
    package_version: str | None = None
    launcher: str | None = None


@dataclass(frozen=True)
class ContainerConfig:
    """``<containerconfig>``: the metadata of a container image."""

    name: str | None = None
    tag: str | None = None
    additionalnames: tuple[str, ...] = ()
    maintainer: str | None = None
    user: str | None = None
    workingdir: str | None = None
    entrypoint: ContainerCommand | None = None
    subcommand: ContainerCommand | None = None
    labels: tuple[ConfigOption, ...] = ()
    expose: tuple[str, ...] = ()
    environment: tuple[ConfigOption, ...] = ()
    volumes: tuple[str, ...] = ()
    stopsignal: str | None = None
    history: ContainerHistory | None = None


@dataclass(frozen=True)
class Container:
    """``<container>`` in ``<containers>``: a container to load into the image."""

    name: str
    source: str
    backend: str
    tag: str | None = None
    path: str | None = None
    fetch_only: bool = False
