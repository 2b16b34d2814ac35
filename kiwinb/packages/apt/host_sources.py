"""Read the sources of the host's own apt."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from kiwinb.description.login import without_logins
from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.manager import HostMirror

_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)")


def host_sources(etc: Path = Path("/etc/apt")) -> tuple[HostMirror, ...]:
    """Return the enabled binary sources of the host's apt, in the order in which apt reads them."""
    parts = sorted((etc / "sources.list.d").glob("*"))
    found: list[HostMirror] = []
    for file in (etc / "sources.list", *parts):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if file.suffix == ".sources":
            found += _deb822(text)
        elif file.suffix == ".list":
            found += _one_line(text)
    return tuple(found)


def _deb822(text: str) -> Iterator[HostMirror]:
    for fields in paragraphs(text):
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" in fields.get("types", "").split():
            suites = tuple(fields.get("suites", "").split())
            for uri in fields.get("uris", "").split():
                for url in _expand(uri):
                    yield HostMirror(url, _aliases(url, suites), fields.get("signed-by", ""))


def _one_line(text: str) -> Iterator[HostMirror]:
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.strip()):
            options = dict(
                option.partition("=")[::2] for option in (match["options"] or "").split()
            )
            signed_by = options.get("signed-by", "").replace(",", " ")
            for url in _expand(match["uri"]):
                yield HostMirror(url, _aliases(url, (match["suite"],)), signed_by)


def _aliases(url: str, suites: Sequence[str]) -> tuple[str, ...]:
    """Return the aliases of a source with these suites, such as ``debian-security``."""
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if not name or name.endswith("-security"):
        return (name,) if name else ()
    security = [suite.endswith(("-security", "/updates")) for suite in suites]
    plain = () if security and all(security) else (name,)
    return (*plain, f"{name}-security") if any(security) else plain


def _expand(uri: str) -> Iterator[str]:
    """Yield the URLs for a URI of a source; ``mirror+file:`` names a file that lists several."""
    if not uri.startswith("mirror+file:"):
        yield uri.rstrip("/")
        return
    path = urlsplit(uri).path
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        if line.strip() and not line.startswith("#"):
            yield line.split()[0].rstrip("/")


def host_proxy() -> str | None:
    """Return the proxy that the host's apt.conf(5) names, without user name and password.

    kiwinb does not use it, but tells about it if a mirror cannot be reached.
    """
    tool = shutil.which("apt-config")
    if tool is None:
        return None
    argv = [tool, "shell", "proxy", "Acquire::http::Proxy"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    found = re.search(r"proxy='(.+)'", said)
    return without_logins(found[1]) if found else None
