"""Packages that each have one feature that tests of package managers are about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from made_packages import (
    Entry,
    Package,
    Relation,
    Scripts,
    Version,
    directory,
    relations,
    text,
    with_parents,
)
from made_table import GROUP

_ONE, _TWO = Version.of("1.0-1"), Version.of("2.0-1")
_NONE = Scripts()

NAMED = (("pattern", GROUP, f"patterns-{GROUP}"), ("product", "kiwinb-test", "test-release"))
"""Patterns and products of the main repository for zypper, and the packages that they stand for."""

_LOG = "var/lib/test-scripts/log"


def _package(
    name: str,
    *entries: Entry,
    version: Version = _ONE,
    requires: str = "",
    recommends: str = "",
    provides: Sequence[Relation] = (),
    conflicts: str = "",
    obsoletes: str = "",
    scripts: Scripts = _NONE,
) -> Package:
    own = entries or (text(f"usr/share/{name}/name", f"{name}\n"),)
    return Package(
        name=name,
        version=version,
        summary=f"A package for tests: {name}",
        entries=[entry for entry in with_parents(own) if not _is_base(entry)],
        requires=((Relation("filesystem"),), *relations(requires)),
        recommends=relations(recommends),
        provides=tuple(provides),
        conflicts=tuple(group[0] for group in relations(conflicts)),
        obsoletes=tuple(group[0] for group in relations(obsoletes)),
        scripts=scripts,
    )


def _is_base(entry: Entry) -> bool:
    base = ("etc", "usr", "usr/bin", "usr/lib", "usr/share", "var", "var/lib", "var/log")
    return entry.kind == "directory" and entry.path in base


def _config(version: Version) -> Package:
    return _package(
        "test-config",
        text("etc/test-config.conf", f"version = {version.upstream}\n", config=True),
        text("usr/share/test-trigger/test-config", f"{version.upstream}\n"),
        text("var/log/test-config.log", "", ghost=True),
        version=version,
    )


def _scripts(version: Version) -> Package:
    def note(what: str) -> str:
        return f'echo "{what} {version.upstream} $1" >> /{_LOG}'

    return _package(
        "test-scripts",
        directory("var/lib/test-scripts"),
        text("usr/share/test-scripts/version", f"{version.upstream}\n"),
        version=version,
        scripts=Scripts(
            pre=f"mkdir -p /var/lib/test-scripts\n{note('pre')}",
            post=note("post"),
            preun=note("preun"),
            postun=f"test ! -d /var/lib/test-scripts || {note('postun')}",
            needs=("bash", "coreutils"),
        ),
    )


def _trigger() -> Package:
    watched, log = "usr/share/test-trigger", "/var/lib/test-trigger/log"
    return _package(
        "test-trigger",
        directory("var/lib/test-trigger"),
        directory(watched),
        scripts=Scripts(watched=f"/{watched}", triggered=f"cat >> {log}", needs=("coreutils",)),
    )


def _sysuser() -> Package:
    add = (
        "getent passwd testuser >/dev/null ||\n"
        "    useradd --system --user-group --home-dir /var/lib/testuser testuser"
    )
    return _package(
        "test-sysuser",
        directory("var/lib/testuser", 0o750, owner="testuser", group="testuser"),
        text("var/lib/testuser/own", "own\n", 0o640, owner="testuser", group="testuser"),
        provides=(Relation("user(testuser)"), Relation("group(testuser)")),
        scripts=Scripts(pre=add, needs=("passwd", "login", "libc-bin", "bash")),
    )


def _documented() -> Package:
    return _package(
        "test-doc",
        text("usr/share/doc/test-doc/README", "Read me.\n", doc=True),
        text("usr/share/man/man1/test-doc.1", ".TH TEST-DOC 1\n", doc=True),
        text("usr/share/locale/de/LC_MESSAGES/test-doc.mo", "de\n", lang="de"),
        text("usr/share/test-doc/data", "data\n"),
    )


def main() -> Iterator[Package]:
    """The packages of the main repository, for all formats."""
    yield _config(_ONE)
    yield _scripts(_ONE)
    yield _trigger()
    yield _sysuser()
    yield _documented()
    yield _package("test-old")
    yield _package("test-conflict-a", conflicts="test-conflict-b")
    yield _package("test-conflict-b")
    for letter in "ab":
        name = f"test-file-conflict-{letter}"
        yield _package(name, text("usr/share/test-file-conflict/file", f"{letter}\n"))
        yield _package(f"test-alternative-{letter}", provides=[Relation("test-alternative")])
    yield _package("test-needs-alternative", requires="test-alternative")
    yield _package("test-broken-script", scripts=Scripts(pre="exit 3", needs=("bash",)))
    yield _package("test-missing-dep", requires="test-nobody-has-this (>= 1.0)")
    yield _package("test-recommends", recommends="test-recommended")
    yield _package("test-recommended")
    yield _package("test-modes", *_strange_files())
    for name in ("dnf", "pacman", "zypper"):
        yield manager(name)


def manager(name: str) -> Package:
    """A package in place of that of a package manager, which every tree gets."""
    return _package(name)


def _strange_files() -> Iterator[Entry]:
    """Files with unusual modes and names, one of which is in no locale's charset but UTF-8."""
    yield text("usr/share/test-modes/set-user-id", "#!/bin/sh\n", 0o4755)
    yield text("usr/share/test-modes/set-group-id", "#!/bin/sh\n", 0o2755, group="utmp")
    yield directory("usr/share/test-modes/empty", 0o1777)
    yield text("usr/share/test-modes/with a space", "space\n")
    yield text("usr/share/test-modes/gr\u00fc\u00dfe", "utf-8\n")
    yield text("usr/share/test-modes/[x]*?", "glob\n")
    yield text("usr/share/test-modes/100%s", "percent\n")


def rpm_only() -> Iterator[Package]:
    """Further packages of the main repository, for rpm."""
    lua = 'local file = io.open("/var/lib/test-lua/log", "a")\nfile:write("lua\\n")\nfile:close()'
    yield _package(
        "test-lua", directory("var/lib/test-lua"), scripts=Scripts(lua_post=lua, needs=())
    )
    yield _package(
        f"patterns-{GROUP}",
        requires="bash, coreutils, passwd",
        recommends="test-recommended",
        provides=(
            Relation("pattern()", "=", Version.of(GROUP)),
            Relation("pattern-order()", "=", Version.of("1000")),
            Relation("pattern-visible()"),
        ),
    )


def updates() -> Iterator[Package]:
    """The packages of the repository with updates, for all formats."""
    yield _config(_TWO)
    yield _scripts(_TWO)
    yield _package(
        "test-obsoletes",
        version=_TWO,
        provides=[Relation("test-old", "=", _TWO)],
        obsoletes="test-old (< 2.0)",
    )
