"""What the user sets for this host: where things are kept, and which mirrors are used.

The file is ``config.toml`` in the user's configuration directory
(``$XDG_CONFIG_HOME/kiwinb``), or the one that ``KIWINB_CONFIG`` names::

    store = "/srv/kiwinb/store"
    store-limit = "40G"
    cache = "/srv/kiwinb/cache"
    backend = "auto"
    parallel-steps = 2
    obs-server = "https://download.example.org/repositories"
    disabled-checks = ["swap_name_used_with_lvm"]
    network = ["config.sh"]
    outdated-repositories = ["debian-snapshot"]

    [mirrors]
    debian = "http://mirror.example.org/debian"
    debian-security = ["http://mirror.example.org/debian-security"]

    [limits]
    processes = 8192
    memory = "4G"
    seconds = 7200
    disk = "20G"
    reserve = "1G"

``obs-server`` and ``disabled-checks`` may also come from KIWI NG's runtime configuration; see
:mod:`kiwinb.runtime_config`.

``KIWINB_STORE`` and ``KIWINB_CACHE`` override the file. Nothing in it except ``network`` changes
what a build makes, so no key includes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_config_path

from kiwinb.errors import KiwinbError, Location
from kiwinb.limits import Limits
from kiwinb.runtime_config import read_runtime_config
from kiwinb.sizes import parse_size

OBS_SERVER = "http://download.opensuse.org/repositories"
"""The server that KIWI NG's documentation names as the default of ``obs:`` repositories."""

_BACKENDS = ("auto", "overlay", "copy")


@dataclass(frozen=True)
class Settings:
    """The settings of one user on one host.

    Attributes:
        store: Directory of the checkpoint store.
        cache: Directory of downloads, shared by all builds.
        store_limit: Size in bytes that the store is kept below; ``None`` for no limit.
        mirrors: URLs by mirror alias.
        obs_server: Base URL of the repositories of an Open Build Service; by default that of
            KIWI NG.
        backend: How the store keeps trees: ``auto``, ``overlay`` or ``copy``.
        disabled_checks: Names of runtime checks that are not to stop a build.
        disabled_kiwi_checks: More such names, from KIWI NG's runtime configuration; kiwinb does not
            have all of them.
        compress_bundles: Whether bundles have compressed results.
        outdated_repositories: Aliases of repositories whose index may have expired, or may be
            older than one that was seen before.
        parallel_steps: How many steps of a build run at the same time, at most; ``None`` for as
            many as there are processor cores.
        network: Names of the scripts that reach the network; ``all`` for all scripts.
        limits: How much of the host the programs of a step may use.
    """

    store: Path
    cache: Path
    store_limit: int | None = None
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    obs_server: str = field(default=OBS_SERVER, repr=False)
    backend: str = "auto"
    disabled_checks: tuple[str, ...] = ()
    disabled_kiwi_checks: tuple[str, ...] = ()
    compress_bundles: bool = True
    parallel_steps: int | None = None
    network: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    outdated_repositories: tuple[str, ...] = ()

    @property
    def all_disabled_checks(self) -> tuple[str, ...]:
        """Names of the checks that either file disables."""
        return (*self.disabled_checks, *self.disabled_kiwi_checks)


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that settings are read from, whether it exists or not."""
    if named := environ.get("KIWINB_CONFIG"):
        return Path(named).expanduser()
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) / "kiwinb" if base else user_config_path("kiwinb")) / "config.toml"


def load_settings(
    environ: Mapping[str, str] = os.environ,
    *,
    file: Path | None = None,
    cache: Path | None = None,
) -> Settings:
    """Read the settings.

    Args:
        environ: Environment variables.
        file: Settings file to read instead, for ``--config``; a YAML file is a runtime
            configuration of KIWI NG and is read beside the settings.
        cache: Overrides the download cache, for ``--shared-cache-dir``.

    Raises:
        KiwinbError: The settings file cannot be read, is no TOML, or says what it cannot say; or
            the runtime configuration of KIWI NG.
    """
    named = file is not None or bool(environ.get("KIWINB_CONFIG"))
    file = file or settings_file(environ)
    custom = file if file.suffix in (".yml", ".yaml") else None
    if custom is not None:
        named, file = False, settings_file({**environ, "KIWINB_CONFIG": ""})
    home = environ.get("HOME")
    kiwi = read_runtime_config(Path(home) if home else None, custom)
    text = _read(file, required=named)
    reader = _Reader(file, text, _parse(file, text) if text else {})
    base = environ.get("XDG_CACHE_HOME")
    caches = Path(base) / "kiwinb" if base else user_cache_path("kiwinb")
    named_cache = reader.path("cache", environ.get("KIWINB_CACHE"))
    settings = Settings(
        store=reader.path("store", environ.get("KIWINB_STORE")) or caches / "store",
        cache=cache or named_cache or caches / "downloads",
        store_limit=reader.size("store-limit"),
        mirrors=reader.mirrors(),
        obs_server=reader.text("obs-server") or kiwi.obs_server or OBS_SERVER,
        backend=reader.choice("backend", _BACKENDS),
        disabled_checks=reader.names("disabled-checks"),
        disabled_kiwi_checks=kiwi.disabled_checks,
        compress_bundles=kiwi.compress_bundles is not False,
        parallel_steps=reader.count("parallel-steps"),
        network=reader.names("network"),
        limits=reader.limits(),
        outdated_repositories=reader.names("outdated-repositories"),
    )
    reader.finish()
    return settings


def _read(file: Path, *, required: bool) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if required:
            raise KiwinbError(
                "this settings file does not exist", location=Location(file)
            ) from None
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise KiwinbError(
            f"the settings cannot be read: {error}", location=Location(file)
        ) from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    import tomllib  # most users have no settings file

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number, or arrays, that are too large
        place = re.search(r"line (\d+), column (\d+)", str(error))
        line, column = map(int, place.groups()) if place else (None, None)
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise KiwinbError(
            f"this is no valid TOML: {problem}", location=Location(file, line, column)
        ) from None


class _Reader:
    """Takes typed values out of a TOML text; what is wrong is told with file and line."""

    def __init__(self, file: Path, text: str, values: dict[str, Any]) -> None:
        self._file = file
        self._text = text
        self._values = values

    def text(self, name: str) -> str | None:
        value = self._values.pop(name, None)
        if value is not None and not (isinstance(value, str) and value):
            raise self._error(name, "is to be a text in quotes")
        return value

    def path(self, name: str, override: str | None) -> Path | None:
        value = self.text(name)
        text = override or value
        return Path(text).expanduser().absolute() if text else None

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name) or choices[0]
        if value not in choices:
            raise self._error(name, f"is to be one of {', '.join(choices)}")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        value = self._values.pop(name, [])
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise self._error(name, 'is to be a list of names, as in ["name"]')
        return tuple(value)

    def count(self, name: str) -> int | None:
        value = self._values.pop(name, None)
        if value is not None and (not isinstance(value, int) or value is True or value < 1):
            raise self._error(name, "is to be a number from 1 on")
        return value

    def size(self, name: str) -> int | None:
        value = self._values.pop(name, None)
        if value is None:
            return None
        size = None if isinstance(value, bool) else parse_size(str(value))
        if size is None:
            raise self._error(name, 'is to be a size in bytes or with a unit, as in "40G"')
        return size

    def mirrors(self) -> dict[str, tuple[str, ...]]:
        table = self._values.pop("mirrors", {})
        if not isinstance(table, dict):
            raise self._error("mirrors", "is to be a table: [mirrors]")
        mirrors = {}
        for alias, value in table.items():
            urls = [value] if isinstance(value, str) else value
            if not (isinstance(urls, list) and urls and all(_is_url(url) for url in urls)):
                raise self._error(alias, "is to be a URL or a list of URLs")
            mirrors[alias] = tuple(url.rstrip("/") for url in urls)
        return mirrors

    def limits(self) -> Limits:
        table = self._values.pop("limits", {})
        if not isinstance(table, dict):
            raise self._error("limits", "is to be a table: [limits]")
        reader = _Reader(self._file, self._text, table)
        given = {
            **{name: reader.count(name) for name in ("processes", "seconds", "files")},
            "reserved_files": reader.count("reserved-files"),
            **{name: reader.size(name) for name in ("memory", "disk", "reserve")},
        }
        reader.finish()
        return Limits(**{name: value for name, value in given.items() if value is not None})

    def finish(self) -> None:
        for name in self._values:
            raise self._error(name, "is no setting of kiwinb")

    def _error(self, name: str, problem: str) -> KiwinbError:
        pattern = re.compile(rf"""\s*\[?\s*["']?{re.escape(name)}["']?\s*[\]=]""")
        lines = enumerate(self._text.splitlines(), 1)
        line = next((number for number, text in lines if pattern.match(text)), None)
        return KiwinbError(f"{name} {problem}", location=Location(self._file, line))


def _is_url(value: object) -> bool:
    return isinstance(value, str) and re.match(r"[a-z][a-z0-9+]*:/", value) is not None
