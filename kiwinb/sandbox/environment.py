"""The environment variables of the host that reach workers and tools.

Many programs take options from variables, such as ``TAR_OPTIONS`` or ``XZ_DEFAULTS``. Two hosts
would make different images of one description, so none of them is passed on, except those that the
user names with ``--setenv``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from kiwinb.sandbox.tools import search_path

NAMED_VARIABLE = "KIWINB_SETENV"
"""Environment variable with the names of the variables that the user has set for all programs."""

_FIXED: Mapping[str, str] = {"LC_ALL": "C.UTF-8", "TZ": "UTC0"}
_OF_USER = ("HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
"""Variables that say how to reach servers, in lower case."""

_PREFIX = "KIWINB_"


def worker_environment() -> dict[str, str]:
    """Return the environment of a worker: where the user's files are, and how to download."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _OF_USER or name.lower() in PROXIES or name.startswith(_PREFIX)
    }
    return {**kept, **_FIXED, "PATH": search_path(), **_named()}


def tool_environment() -> dict[str, str]:
    """Return the environment of a tool of the host."""
    temporary = {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
    fixed = {**_FIXED, "PATH": search_path(), "HOME": "/nonexistent"}
    return {**temporary, **fixed, **_named()}


def _named() -> dict[str, str]:
    names = os.environ.get(NAMED_VARIABLE, "").split()
    return {name: os.environ[name] for name in names if name in os.environ}
