"""KIWI NG's runtime configuration, as far as it applies to kiwinb.

kiwinb reads the files that KIWI NG reads, each of which adds to those before it: ``kiwi.yml`` and
``kiwi.yml.d/*.yml`` in ``/usr/share/kiwi``, then in ``/etc``, then ``~/.config/kiwi/config.yml``,
and the file that ``--config`` names. kiwinb's own settings go before them. The keys are documented
at https://osinside.github.io/kiwi/concept_and_workflow/runtime_configuration.html.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from kiwinb.errors import KiwinbError, Location

log = logging.getLogger(__name__)

PLACES = (Path("/usr/share/kiwi/kiwi.yml"), Path("/etc/kiwi.yml"))
"""The files of the vendor and of the administrator; ``NAME.d/*.yml`` belongs to each."""

_PREFIX = "check_"

WITHOUT_EFFECT: Mapping[str, str] = {
    "credentials.verification_metadata_signing_key_file": "kiwinb signs no verification metadata",
    "obs.api_url": "kiwinb downloads nothing through the API",
    "obs.public": "kiwinb takes the download server for public",
    "bundle.has_package_changes": "kiwinb always writes the file of changes",
    "bundle.shasum_size": "kiwinb always writes SHA-256 checksums",
    "xz.options": "kiwinb has xz write the same bytes on every host",
    "sync.sparse": "holes in files always stay holes",
    "container.compress": "kiwinb compresses container archives as their format asks",
    "iso.tool_category": "kiwinb has one tool for ISO images, xorriso",
    "iso.media_tag_tool": "kiwinb takes the tool that is installed",
    "oci.archive_tool": "kiwinb writes container archives itself",
    "shasum.size": "kiwinb always writes SHA-256 checksums",
    "build_constraints.max_size": "kiwinb does not limit the size of results",
    "mapper.part_mapper": "kiwinb maps no partitions",
}
"""The keys that kiwinb does not honour, and why."""


@dataclass(frozen=True)
class RuntimeConfig:
    """What the files say.

    Attributes:
        obs_server: Base URL of the repositories of an Open Build Service.
        disabled_checks: Names of runtime checks that are not to stop a build.
        compress_bundles: Whether bundles have compressed results; ``None`` if no file says.
    """

    obs_server: str | None = None
    disabled_checks: tuple[str, ...] = ()
    compress_bundles: bool | None = None


def read_runtime_config(home: Path | None, custom: Path | None = None) -> RuntimeConfig:
    """Read the files that exist.

    Args:
        home: The user's home directory.
        custom: A file that is to exist, for ``--config``.

    Raises:
        KiwinbError: A file cannot be read, is no YAML, or has a value of another type.
    """
    config = RuntimeConfig()
    for file in _files(home, custom):
        config = _read(file, config)
    return config


def _files(home: Path | None, custom: Path | None) -> Iterator[Path]:
    for place in PLACES:
        yield from filter(Path.is_file, [place])
        yield from sorted(place.with_name(f"{place.name}.d").glob("*.yml"))
    if home is not None:
        yield from filter(Path.is_file, [home / ".config/kiwi/config.yml"])
    if custom is not None:
        yield custom


def _read(file: Path, config: RuntimeConfig) -> RuntimeConfig:
    import yaml  # most hosts have no such file

    try:
        data = yaml.safe_load(file.read_text("utf-8"))
    except FileNotFoundError:
        raise KiwinbError(
            "this configuration file does not exist", location=Location(file)
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise KiwinbError(
            f"the configuration cannot be read: {error}", location=Location(file)
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date
        mark = getattr(error, "problem_mark", None)
        raise KiwinbError(
            f"this is not valid YAML: {getattr(error, 'problem', error)}",
            location=Location(file, mark.line + 1 if mark else None),
        ) from None
    for section, content in _table(data, file, "the configuration").items():
        # Up to version 10, a section is a list of mappings with one key each.
        for table in content if isinstance(content, list) else [content]:
            for key, value in _table(table, file, str(section)).items():
                config = _with(config, file, f"{section}.{key}", value)
    return config


def _table(value: Any, file: Path, name: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise KiwinbError(f"{name} is to be a mapping", location=Location(file))
    return value


def _with(config: RuntimeConfig, file: Path, name: str, value: Any) -> RuntimeConfig:
    def wrong(expected: str) -> KiwinbError:
        return KiwinbError(f"{name} is to be {expected}", location=Location(file))

    match name:
        case "obs.download_url":
            if not isinstance(value, str):
                raise wrong("a URL")
            return replace(config, obs_server=value)
        case "bundle.compress":
            if not isinstance(value, bool):
                raise wrong("true or false")
            return replace(config, compress_bundles=value)
        case "runtime_checks.disable":
            names = value or []
            if not (isinstance(names, list) and all(isinstance(item, str) for item in names)):
                raise wrong("a list of names of checks")
            known = tuple(item.removeprefix(_PREFIX) for item in names)
            return replace(config, disabled_checks=(*config.disabled_checks, *known))
    reason = WITHOUT_EFFECT.get(name)
    _warn(f"{file}: {name} has no effect: {reason or 'kiwinb does not know it'}")
    return config


@cache
def _warn(text: str) -> None:
    log.warning("%s", text)
