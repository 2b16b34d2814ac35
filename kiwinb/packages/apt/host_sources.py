"""What the host's own apt reads from, and how it gets there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kiwinb.packages.deb822 import paragraphs

_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)")


@dataclass(frozen=True)
class HostSource:
    """One base URL of the host's apt sources.

    Attributes:
        url: Base URL, without a slash at its end.
        suites: Its suites.
        signed_by: Keyring files, or the armored key itself, as the source has it.
    """

    url: str
    suites: tuple[str, ...]
    signed_by: str = ""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Mirror aliases that mean this source, such as ``debian`` and ``debian-security``."""
        name = urlsplit(self.url).path.rstrip("/").rpartition("/")[2]
        if not name or name.endswith("-security"):
            return (name,) if name else ()
        security = [suite.endswith(("-security", "/updates")) for suite in self.suites]
        plain = () if security and all(security) else (name,)
        return (*plain, f"{name}-security") if any(security) else plain


def host_sources(etc: Path = Path("/etc/apt")) -> tuple[HostSource, ...]:
    """The enabled binary sources of the host's apt, in the order in which apt reads them."""
    parts = sorted((etc / "sources.list.d").glob("*"))
    found: list[HostSource] = []
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


def _deb822(text: str) -> Iterator[HostSource]:
    for fields in paragraphs(text):
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" in fields.get("types", "").split():
            suites = tuple(fields.get("suites", "").split())
            for uri in fields.get("uris", "").split():
                for url in _expand(uri):
                    yield HostSource(url, suites, fields.get("signed-by", ""))


def _one_line(text: str) -> Iterator[HostSource]:
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.strip()):
            options = dict(
                option.partition("=")[::2] for option in (match["options"] or "").split()
            )
            signed_by = options.get("signed-by", "").replace(",", " ")
            for url in _expand(match["uri"]):
                yield HostSource(url, (match["suite"],), signed_by)


def _expand(uri: str) -> Iterator[str]:
    """The URLs behind a URI of a source; ``mirror+file:`` names a list of them."""
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


_CARRIED = re.compile(
    r"Acquire::(https?|ftp|Retries|ForceIPv[46]|Check-Valid-Until|Check-Date"
    r"|Max-ValidTime|By-Hash)\b",
    re.IGNORECASE,
)


def acquire_options() -> str:
    """The host's apt.conf lines on how files are fetched: proxies, certificates and the like."""
    tool = shutil.which("apt-config")
    if tool is None:
        return ""
    dump = subprocess.run([tool, "dump"], capture_output=True, text=True, check=False).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if _CARRIED.match(line))
