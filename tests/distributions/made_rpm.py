"""Build rpm packages with rpmbuild, and repositories of them with createrepo_c."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from made_packages import EPOCH, Alternatives, Entry, Package, Relation, Version
from made_signer import NAME, Signer
from made_table import GROUP, GROUP_MEMBERS
from made_tar import write_tar
from made_tools import run_tool

_MACROS = {
    "_buildhost": "build.example.org",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "__os_install_post": "%{nil}",
    "debug_package": "%{nil}",
    "_build_id_links": "none",
    "_unpackaged_files_terminate_build": "1",
}
_REQUIRED = "".join(
    f'<packagereq type="{kind}">{name}</packagereq>' for name, kind in GROUP_MEMBERS.items()
)
_COMPS = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
  <group>
    <id>{GROUP}</id>
    <name>Base</name>
    <description>What every system has</description>
    <default>true</default>
    <uservisible>true</uservisible>
    <packagelist>
      {_REQUIRED}
      <packagereq type="optional">test-doc</packagereq>
    </packagelist>
  </group>
  <environment>
    <id>test-environment</id>
    <name>Environment</name>
    <description>A whole system</description>
    <grouplist><groupid>{GROUP}</groupid></grouplist>
  </environment>
</comps>
"""
_NAMED = """\
<{kind}>
  <name>{name}</name>
  <arch>noarch</arch>
  <version epoch="0" ver="1.0" rel="1"/>
  <summary>The {kind} {name}</summary>
  <description>The {kind} {name}.</description>
  <uservisible/>
  <format>
    <rpm:provides>
      <rpm:entry name="{kind}:{name}" flags="EQ" epoch="0" ver="1.0" rel="1"/>
    </rpm:provides>
    <rpm:requires><rpm:entry name="{package}"/></rpm:requires>
  </format>
</{kind}>
"""


def build(packages: Iterable[Package], directory: Path, work: Path) -> list[Path]:
    """Build packages.

    Args:
        packages: The packages.
        directory: Where the files go.
        work: A directory for what rpmbuild needs in between.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return [_build(package, directory, work) for package in packages]


def sign(files: Sequence[Path], signer: Signer) -> None:
    """Sign package files, in place."""
    macros = {
        "__gpg": str(shutil.which("gpg")),
        "_gpg_name": NAME,
    }
    run_tool(["rpmsign", *_defined(macros), "--addsign", *files], signer.environment)


def make_repository(
    files: Sequence[Path], root: Path, signer: Signer, named: Sequence[tuple[str, str, str]] = ()
) -> None:
    """Make a signed repository of package files, which are linked into it.

    Args:
        files: The package files.
        root: The directory, which is made.
        signer: Signs its metadata.
        named: For zypper: ``pattern`` or ``product``, its name, and the package that it stands for.
    """
    (root / "Packages").mkdir(parents=True)
    for file in files:
        os.utime(file, (EPOCH, EPOCH))
        os.link(file, root / "Packages" / file.name)
    comps = root.parent / "comps.xml"
    comps.write_text(_COMPS)
    os.utime(comps, (EPOCH, EPOCH))
    options = ("--quiet", "--general-compress-type=gz", "--no-database", "--workers=2")
    dated = (f"--revision={EPOCH}", "--set-timestamp-to-revision")
    run_tool(["createrepo_c", *options, *dated, f"--groupfile={comps}", root])
    comps.unlink()
    if named:
        _add_named(root / "repodata", named)
    signer.sign(root / "repodata/repomd.xml", armor=True)
    (root / "repodata/repomd.xml.key").write_bytes(signer.key)


def _add_named(repodata: Path, named: Sequence[tuple[str, str, str]]) -> None:
    """Add patterns and products to the list of packages.

    On openSUSE, libsolv makes them of what packages such as ``patterns-…`` provide. That of Debian
    does not, but it reads them.
    """
    (compressed,) = repodata.glob("*-primary.xml.gz")
    text = gzip.decompress(compressed.read_bytes()).decode()
    more = "".join(
        _NAMED.format(kind=kind, name=name, package=package) for kind, name, package in named
    )
    primary = repodata.parent / "primary.xml"
    primary.write_text(text.replace("</metadata>", f"{more}</metadata>"))
    run_tool(["modifyrepo_c", "--remove", "primary", repodata])
    run_tool(["modifyrepo_c", "--mdtype=primary", "--compress-type=gz", primary, repodata])
    primary.unlink()
    index = repodata / "repomd.xml"
    dated = re.sub(r"<timestamp>\d+<", f"<timestamp>{EPOCH}<", index.read_text())
    index.write_text(dated)


def _build(package: Package, directory: Path, work: Path) -> Path:
    payload, spec = work / "payload.tar", work / "package.spec"
    write_tar(package.entries, payload, {}, {})
    spec.write_text("\n".join(_spec(package, payload)) + "\n")
    compressed = "w3.zstdio" if package.arch == "x86_64" else "w6.xzdio"
    name = f"{package.name}-{_written(package.version, epoch=False)}.{package.arch}.rpm"
    macros = {
        **_MACROS,
        "_topdir": str(work / "top"),
        "_tmppath": str(work),
        "_rpmdir": str(directory),
        "_rpmfilename": name,
        "_dbpath": str(work / "db"),
        "_binary_payload": compressed,
    }
    argv: list[str | Path] = ["rpmbuild", "-bb", "--quiet", "--nodeps", *_defined(macros), spec]
    run_tool(argv, {"HOME": str(work)})
    return directory / name


def _defined(macros: dict[str, str]) -> Iterator[str]:
    for name, value in macros.items():
        yield from ("--define", f"{name} {value}")


def _spec(package: Package, payload: Path) -> Iterator[str]:
    version = package.version
    yield f"Name: {package.name}"
    if version.epoch:
        yield f"Epoch: {version.epoch}"
    yield f"Version: {_plain(version.upstream)}"
    yield f"Release: {version.revision or '0'}"
    yield f"Summary: {package.summary.replace('%', '%%')}"
    yield "License: MIT"
    yield "Vendor: kiwinb"
    yield "AutoReqProv: no"
    if package.arch == "noarch":
        yield "BuildArch: noarch"
    yield from (f"Requires: {_rich(group)}" for group in package.requires)
    yield from (f"Requires(pre): {name}" for name in package.scripts.needs)
    yield from (f"Recommends: {_rich(group)}" for group in package.recommends)
    yield from (f"Provides: {_relation(relation)}" for relation in package.provides)
    yield from (f"Conflicts: {_relation(relation)}" for relation in package.conflicts)
    yield from (f"Obsoletes: {_relation(relation)}" for relation in package.obsoletes)
    yield f"%description\n{package.summary.replace('%', '%%')}."
    yield f"%prep\n%build\n%install\nmkdir -p %{{buildroot}}\ntar -xpf {payload} -C %{{buildroot}}"
    yield from _scripts(package)
    yield "%files"
    yield from map(_listed, package.entries)


def _scripts(package: Package) -> Iterator[str]:
    scripts = package.scripts
    for name in ("pre", "post", "preun", "postun"):
        if body := getattr(scripts, name):
            yield f"%{name}\n{body.replace('%', '%%')}"
    if scripts.lua_post:
        yield f"%post -p <lua>\n{scripts.lua_post.replace('%', '%%')}"
    if scripts.watched:
        body = scripts.triggered.replace("%", "%%")
        yield f"%transfiletriggerin -- {scripts.watched}\n{body}"


def _listed(entry: Entry) -> str:
    """A line of ``%files``."""
    mode = "-" if entry.kind == "symlink" else f"{entry.mode:04o}"
    words = [f"%attr({mode}, {entry.owner}, {entry.group})"]
    if entry.kind == "directory":
        words.append("%dir")
    if entry.config:
        words.append("%config(noreplace)")
    if entry.capability:
        words.append(f"%caps({entry.capability})")
    if entry.doc:
        words.append("%doc")
    if entry.lang:
        words.append(f"%lang({entry.lang})")
    if entry.ghost:
        words.append("%ghost")
    return f'{" ".join(words)} "/{_literal(entry.path)}"'


def _literal(path: str) -> str:
    """A path in which nothing is a pattern or a macro."""
    if not _quotes_are_literal():  # then rpm keeps backslashes before ``[``
        path = "".join(f"[{char}]" if char in "*?[" else char for char in path)
    return path.replace("%", "%%")


@cache
def _quotes_are_literal() -> bool:
    """Whether rpmbuild takes paths in quotes as they are, as it does from 4.20 on."""
    version = run_tool(["rpmbuild", "--version"]).split()[-1].decode()
    return tuple(map(int, version.split(".")[:2])) >= (4, 20)


def _rich(group: Alternatives) -> str:
    first, *rest = map(_relation, group)
    return f"({' or '.join([first, *rest])})" if rest else first


def _relation(relation: Relation) -> str:
    if relation.version is None:
        return relation.name
    # To rpm, 1.0-1 is no more than 1.0, which is any 1.0; to dpkg it is.
    any_above = relation.operator == ">" and not relation.version.revision
    operator = ">=" if any_above else relation.operator
    return f"{relation.name} {operator} {_written(relation.version)}"


def _written(version: Version, *, epoch: bool = True) -> str:
    before = f"{version.epoch}:" if epoch and version.epoch else ""
    after = f"-{version.revision}" if version.revision else "" if epoch else "-0"
    return f"{before}{_plain(version.upstream)}{after}"


def _plain(upstream: str) -> str:
    """An upstream version without hyphens, which stand before the release in rpm."""
    return upstream.replace("-", ".")
