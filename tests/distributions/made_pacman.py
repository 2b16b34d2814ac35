"""Build packages of pacman with makepkg, and repositories of them with repo-add."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from made_base import GROUP_IDS, USER_IDS
from made_packages import Entry, Package, Relation, Version, text
from made_signer import NAME, Signer
from made_table import GROUP, GROUP_MEMBERS
from made_tar import write_tar
from made_tools import run_tool

_NOBODY = 65534
_CONFIG = """\
CARCH=x86_64
PKGEXT=.pkg.tar.zst
SRCEXT=.src.tar.zst
COMPRESSZST=(zstd -q -3 -c -)
BUILDENV=(!distcc !color !ccache !check !sign)
OPTIONS=(!strip docs libtool staticlibs emptydirs !zipman !purge !debug !lto)
PACKAGER='Test Distribution <test@example.org>'
DLAGENTS=()
VCSCLIENTS=()
INTEGRITY_CHECK=(sha256)
"""
_PACKAGE = """\
package() {
    bsdtar -xpf "$startdir/payload.tar" -C "$pkgdir"
}
"""
_FUNCTIONS: Mapping[str, Sequence[str]] = {
    "pre": ("pre_install", "pre_upgrade"),
    "post": ("post_install", "post_upgrade"),
    "preun": ("pre_remove",),
    "postun": ("post_remove",),
}
"""The functions of an install script, by name of the script."""

_JOBS = 2
_PLACE = "/mnt"


def make_repository(packages: Iterable[Package], name: str, root: Path, signer: Signer) -> None:
    """Build packages, and make a signed repository of them.

    Args:
        packages: The packages.
        name: Name of the repository, which that of its database starts with.
        root: Its directory, which is made.
        signer: Signs the packages and the database.
    """
    root.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="makepkg-") as work:
        files = [Path(shutil.copy(file, root)) for file in _build(packages, Path(work))]
    for file in files:
        signer.sign(file)
    options = ("--quiet", "--nocolor", "--sign", "--key", NAME)
    run_tool(["repo-add", *options, root / f"{name}.db.tar.gz", *files], signer.environment)


def _build(packages: Iterable[Package], work: Path) -> list[Path]:
    """Let an unprivileged user run makepkg, which refuses to be run by root."""
    work.chmod(0o755)
    become: list[str | Path] = []
    if os.geteuid() == 0:
        become = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        # makepkg notes its directory in the package; so all are built in a place of one name
        script = f'mount --bind . {_PLACE} && cd {_PLACE} && exec "$0" "$@"'
        become = ["unshare", "--mount", "sh", "-c", script, *become]
    options = ("--config", "makepkg.conf", "--nodeps", "--force", "--clean", "--cleanbuild")

    def make(place: Path) -> Path:
        home = _PLACE if become else str(place)
        environment = {"HOME": home, "PACMAN": "true", "PKGDEST": f"{home}/made"}
        run_tool([*become, "makepkg", *options], environment, cwd=place)
        (file,) = (place / "made").iterdir()
        return file

    with ThreadPoolExecutor(_JOBS) as threads:
        made = []
        for package in packages:
            place = work / package.name
            for directory in (place, place / "made"):
                directory.mkdir()
                if become:
                    os.chown(directory, _NOBODY, _NOBODY)
            (place / "makepkg.conf").write_text(_CONFIG)
            _write(package, place)
            made.append(threads.submit(make, place))
        return [item.result() for item in made]


def _write(package: Package, work: Path) -> None:
    """Write what makepkg makes a package of; everybody can read it."""
    chowned = [
        item
        for item in package.entries
        if item.owner not in USER_IDS or item.group not in GROUP_IDS
    ]
    entries = [_known(entry) for entry in package.entries if not entry.ghost]
    entries += [*_hook(package)]
    scripts = package.scripts
    later = "".join(
        f"\nchown {entry.owner}:{entry.group} {shlex.quote(f'/{entry.path}')}" for entry in chowned
    )
    package = replace(package, scripts=replace(scripts, post=f"{scripts.post}{later}".strip()))
    write_tar(entries, work / "payload.tar", USER_IDS, GROUP_IDS)
    script = "".join(_script(package))
    (work / "package.install").write_text(script)
    (work / "PKGBUILD").write_text("".join(_pkgbuild(package, with_script=bool(script))) + _PACKAGE)


def _known(entry: Entry) -> Entry:
    """An entry of root, if its owner is none that the first package has."""
    owner = entry.owner if entry.owner in USER_IDS else "root"
    return replace(entry, owner=owner, group=entry.group if entry.group in GROUP_IDS else "root")


def _hook(package: Package) -> Iterator[Entry]:
    if watched := package.scripts.watched:
        body = (
            "[Trigger]\nType = Path\nOperation = Install\nOperation = Upgrade\n"
            f"Target = {watched.strip('/')}/*\n\n[Action]\nWhen = PostTransaction\n"
            f"Exec = /usr/bin/sh -c {shlex.quote(package.scripts.triggered)}\nNeedsTargets\n"
        )
        yield text(f"usr/share/libalpm/hooks/{package.name}.hook", body)


def _script(package: Package) -> Iterator[str]:
    for name, functions in _FUNCTIONS.items():
        if body := getattr(package.scripts, name):
            # in a shell of its own, so that "exit" ends no more than the function
            yield from (f"{function}() {{ (\n{body}\n) }}\n" for function in functions)


def _pkgbuild(package: Package, *, with_script: bool) -> Iterator[str]:
    version = package.version
    pkgver, pkgrel = _numbers(version)
    yield f"pkgname={shlex.quote(package.name)}\n"
    yield f"pkgver={shlex.quote(pkgver)}\npkgrel={pkgrel}\n"
    if version.epoch:
        yield f"epoch={version.epoch}\n"
    yield f"pkgdesc={shlex.quote(package.summary)}\n"
    yield f"arch=({'any' if package.arch == 'noarch' else package.arch})\nlicense=(MIT)\n"
    needs = [*(group[0] for group in package.requires), *map(Relation, package.scripts.needs)]
    yield _array("depends", _relations(needs))
    yield _array("optdepends", (group[0].name for group in package.recommends))
    yield _array("provides", _relations(package.provides))
    replaced = [*_relations(package.obsoletes)]
    yield _array("conflicts", [*_relations(package.conflicts), *replaced])
    yield _array("replaces", replaced)
    yield _array("backup", (entry.path for entry in package.entries if entry.config))
    yield _array("groups", [GROUP] if package.name in GROUP_MEMBERS else [])
    if with_script:
        yield "install=package.install\n"


def _array(name: str, words: Iterable[str]) -> str:
    return f"{name}=({' '.join(map(shlex.quote, dict.fromkeys(words)))})\n"


def _relations(relations: Iterable[Relation]) -> Iterator[str]:
    """Relations as pacman writes them, without those to files and to what only rpm knows."""
    for relation in relations:
        if relation.name.startswith("/") or "(" in relation.name:
            continue
        if relation.version is None:
            yield relation.name
            continue
        version = relation.version
        pkgver, pkgrel = _numbers(version)
        epoch = f"{version.epoch}:" if version.epoch else ""
        exact = f"-{pkgrel}" if version.revision.isdigit() else ""
        any_above = relation.operator == ">" and not version.revision
        yield f"{relation.name}{'>=' if any_above else relation.operator}{epoch}{pkgver}{exact}"


def _numbers(version: Version) -> tuple[str, str]:
    """The version and the release, which has to be a number."""
    upstream = version.upstream.replace("-", "_")
    if version.revision.isdigit():
        return upstream, version.revision
    return f"{upstream}_{version.revision}" if version.revision else upstream, "1"
