"""Turn a ``<containerconfig>`` into the configuration of a container image.

Source of the format: the OCI Image Format Specification 1.0, "Image Configuration".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kiwinb.description.model import ContainerCommand, ContainerConfig
from kiwinb.errors import ImageError
from kiwinb.shapes import mapping, sequence, text, texts

DEFAULT_NAME = "kiwi-container"
DEFAULT_TAG = "latest"
_DEFAULT_COMMAND = ("/bin/bash",)

PLATFORMS: Mapping[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv6l": ("arm", "v6"),
    "armv6hl": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv7hl": ("arm", "v7"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "ix86": ("386", ""),
    "loongarch64": ("loong64", ""),
    "ppc64": ("ppc64", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
}
"""Architecture and variant, as container images name them, by the output of ``uname -m``."""

# The Docker distribution defines the grammar of references.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?"
_NAME = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?")
_SIGNAL = re.compile(r"SIG[A-Z0-9]+(?:[+-][0-9]+)?|[0-9]{1,3}")


def references(config: ContainerConfig) -> tuple[str, ...]:
    """Return all names of the image as ``name:tag``, the main one first.

    An additional name is ``name:tag``, ``name`` (with the main tag) or ``:tag`` (with the main
    name).

    Raises:
        ImageError: Container engines do not accept a name or a tag.
    """
    main_name, main_tag = config.name or DEFAULT_NAME, config.tag or DEFAULT_TAG
    found = {f"{main_name}:{main_tag}": None}
    for given in config.additionalnames:
        head, colon, tail = given.strip().rpartition(":")
        if not colon or "/" in tail:
            head, tail = given.strip(), ""
        found[f"{head or main_name}:{tail or main_tag}"] = None
    for reference in found:
        name, _, tag = reference.rpartition(":")
        if not _NAME.fullmatch(name):
            raise ImageError(
                f"{name!r} is not a name for a container image",
                remedy="A name has lower-case letters and digits, and . _ - or / between them.",
            )
        if not _TAG.fullmatch(tag):
            raise ImageError(
                f"{tag!r} is not a tag of a container image",
                remedy="A tag has at most 128 letters, digits and _ . -; it does not start with"
                " . or -.",
            )
    return tuple(found)


def platform(arch: str) -> dict[str, str]:
    """Return the platform members of an image configuration.

    Args:
        arch: Architecture, as ``uname -m`` prints it.

    Raises:
        ImageError: Container images have no name for the architecture.
    """
    if arch not in PLATFORMS:
        raise ImageError(f"container images have no name for the architecture {arch}")
    name, variant = PLATFORMS[arch]
    return {"architecture": name, "os": "linux", **({"variant": variant} if variant else {})}


def timestamp(epoch: int) -> str:
    """Format a time, in seconds since 1970-01-01 UTC, as RFC 3339 says."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_config(config: Mapping[str, Any]) -> None:
    """Check the shape of the configuration of a base image, from which :func:`image_config` takes.

    Raises:
        WrongData: A value is of another type than the OCI image specification says.
    """
    for item in sequence(config.get("history"), "history"):
        mapping(item, "an item of history")
    run = mapping(config.get("config"), "config")
    for name in ("Env", "Entrypoint", "Cmd"):
        texts(run.get(name), name)
    for name in ("Labels", "ExposedPorts", "Volumes"):
        mapping(run.get(name), name)
    for value, name in mapping(run.get("Labels"), "Labels").items():
        text(value, f"the label {name}")
    for where, names in ((run, ("User", "WorkingDir", "StopSignal")), (config, ("author",))):
        for name in names:
            text(where.get(name), name)


def image_config(
    container: ContainerConfig,
    *,
    arch: str,
    author: str | None,
    epoch: int,
    diff_ids: Sequence[str],
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the image configuration.

    Args:
        container: The ``<containerconfig>``; values that it does not set come from the base image.
        arch: Architecture, as ``uname -m`` prints it.
        author: Author of the image if ``container`` does not name a maintainer.
        epoch: Creation time, in seconds since 1970-01-01 UTC.
        diff_ids: SHA-256 of each layer's tar archive, lowest first; the last one is the new layer.
        base: Configuration of the base image.

    Raises:
        ImageError: Container engines do not accept a value.
    """
    base = base or {}
    history = container.history
    made_by = (history and history.author) or container.maintainer or author
    entry = {
        "created": timestamp(epoch),
        "created_by": (history and history.created_by) or "kiwinb",
        "author": made_by,
        "comment": history and history.comment,
    }
    inherited = base.get("history") or () if len(diff_ids) > 1 else ()
    return {
        **platform(arch),
        "created": timestamp(epoch),
        **_said(author=container.maintainer or author or base.get("author")),
        "config": _runtime_config(container, base.get("config") or {}),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in diff_ids]},
        "history": [*inherited, _said(**entry)],
    }


def _runtime_config(container: ContainerConfig, base: Mapping[str, Any]) -> dict[str, Any]:
    entrypoint = _command(container.entrypoint, base.get("Entrypoint"))
    command = _command(container.subcommand, base.get("Cmd"))
    if not entrypoint and not command and not _cleared(container):
        command = list(_DEFAULT_COMMAND)
    environment = dict(item.partition("=")[::2] for item in base.get("Env") or ())
    environment |= {variable.name: variable.value or "" for variable in container.environment}
    labels = dict(base.get("Labels") or {})
    if container.maintainer:
        labels["maintainer"] = container.maintainer
    labels |= {label.name: label.value or "" for label in container.labels}
    if container.stopsignal and not _SIGNAL.fullmatch(container.stopsignal):
        raise ImageError(
            f"{container.stopsignal!r} is not a signal that stops a container",
            remedy="Give a name such as SIGTERM, or a number.",
        )
    ports = {**(base.get("ExposedPorts") or {}), **{_port(port): {} for port in container.expose}}
    volumes = {**(base.get("Volumes") or {}), **{path: {} for path in container.volumes}}
    ours = _said(
        User=container.user or base.get("User"),
        ExposedPorts=ports,
        Env=[f"{name}={value}" for name, value in environment.items()],
        Entrypoint=entrypoint,
        Cmd=command,
        Volumes=volumes,
        WorkingDir=container.workingdir or base.get("WorkingDir"),
        Labels=labels,
        StopSignal=container.stopsignal or base.get("StopSignal"),
    )
    kept = ("Healthcheck", "OnBuild", "Shell", "ArgsEscaped")
    return {**{name: base[name] for name in kept if base.get(name)}, **ours}


def _command(said: ContainerCommand | None, base: Sequence[str] | None) -> list[str]:
    if said is None or not (said.argv or said.clear):
        return list(base or ())
    return list(said.argv)


def _cleared(container: ContainerConfig) -> bool:
    return any(said and said.clear for said in (container.entrypoint, container.subcommand))


def _port(port: str) -> str:
    found = _PORT.fullmatch(port.strip())
    if not found or not 0 < int(found[1]) < 65536:
        raise ImageError(
            f"{port!r} is not a port that a container exposes",
            remedy="A port is a number from 1 to 65535; /tcp, /udp or /sctp may follow.",
        )
    return f"{int(found[1])}/{found[2] or 'tcp'}"


def _said(**values: Any) -> dict[str, Any]:
    """Return the values that are not empty."""
    return {name: value for name, value in values.items() if value}
