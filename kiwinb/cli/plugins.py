"""The reference of the plug-ins, from their registries: ``docs/plugins.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.cli.proofs import Proof, read_proofs
from kiwinb.distributions import DISTRIBUTIONS
from kiwinb.distributions.distribution import Distribution
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.formats import FORMATS
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.packages import MANAGERS
from kiwinb.steps.registry import Registry
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.spec import FilesystemMaker

Row = tuple[str, ...]

_INTRODUCTION = """\
# Plug-ins

<!-- Written by python -m kiwinb.cli.documents from the registries and the tests. -->

What `kiwinb` can build with, and what each plug-in honours of a description. The numbers name the
tests that prove it; they are listed under each table. A test says what it proves with the marker
`proves` of pytest; see `kiwinb/cli/proofs.py`.
"""


@dataclass(frozen=True)
class _Table:
    """The table of one registry.

    Attributes:
        title: Its heading.
        registry: The plug-ins.
        heads: Heads of the first columns; the name comes first.
        cells: The cells of a plug-in below them, but for the name.
        honours: Head of the column with what it honours; empty for no such column.
    """

    title: str
    registry: Registry[Any]
    heads: Row
    cells: Callable[[Any], Row]
    honours: str = ""


def _distribution_cells(item: Distribution) -> Row:
    return (
        _listed(item.ids),
        _listed(item.managers),
        f"`{item.initrd_name('VERSION')}`",
        f"`{item.grub_directory}`",
    )


def _filesystem_cells(item: FilesystemMaker) -> Row:
    facts = (item.makes_images, item.read_only, item.growth, item.grub_module)
    return (*(_said(bool(fact)) for fact in facts), _listed(item.tools))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _said(holds: bool) -> str:
    return "yes" if holds else "no"


_TABLES = (
    _Table(
        "Package managers",
        MANAGERS,
        ("`<packagemanager>`", "Tools of the host"),
        lambda item: (_listed(item.tools),),
        "Honours, of `<packages>` and `<repository>`",
    ),
    _Table(
        "Distributions",
        DISTRIBUTIONS,
        ("Distribution", "Found by `ID` in os-release", "Package managers", "Initrd", "GRUB"),
        _distribution_cells,
    ),
    _Table(
        "Image kinds",
        IMAGE_KINDS,
        ("`image`", "Is a", "Boots"),
        lambda item: (item.form, _said(item.boots)),
        "Honours, of `<type>`",
    ),
    _Table(
        "Disk formats",
        FORMATS,
        ("`format`", "Suffix", "Tools of the host"),
        lambda item: (f"`.{item.suffix}`", _listed(item.tools)),
        "Honours, of `<type>`",
    ),
    _Table(
        "File systems",
        FILESYSTEMS,
        ("File system", "Image of its own", "Read-only", "Grows", "GRUB reads it", "Tools"),
        _filesystem_cells,
        "Honours, of `<type>`, as an image of its own",
    ),
    _Table(
        "Bootloaders",
        BOOTLOADERS,
        ("`name`", "Boots with a BIOS"),
        lambda item: (_said(item.boots_bios),),
        "Honours, of `<bootloader>`",
    ),
    _Table(
        "Initrd tools",
        INITRD_TOOLS,
        ("Tool", "`initrd_system`"),
        lambda item: (_listed(sorted(name for name in item.systems if name)),),
        "Honours, of `<dracut>` in `<initrd>`",
    ),
)


def markdown() -> str:
    """The text of ``docs/plugins.md``."""
    proofs = read_proofs()
    lines = [_INTRODUCTION]
    for table in _TABLES:
        about = [proof for proof in proofs if proof.sort == table.registry.sort]
        lines += [f"## {table.title}", "", *_table(table, about), ""]
    return "\n".join(lines)


def honoured(sort: str, name: str) -> frozenset[str]:
    """What a plug-in honours of a description.

    Args:
        sort: The sort of plug-in: ``file system``.
        name: The plug-in.
    """
    registry: Registry[Any] = next(
        table.registry for table in _TABLES if table.registry.sort == sort
    )
    if registry is FILESYSTEMS:
        registry = IMAGE_KINDS
    found: frozenset[str] = getattr(registry.get(name), "honours", frozenset())
    return found


def _table(table: _Table, proofs: Sequence[Proof]) -> Iterator[str]:
    tests = list(dict.fromkeys(proof.test for proof in proofs))
    heads = (*table.heads, *filter(None, [table.honours]), "Proven by")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for name, plugin in table.registry.items():
        about = [proof for proof in proofs if proof.is_about(table.registry.sort, name)]
        cells = [name, *table.cells(plugin)]
        if table.honours:
            parts = sorted(honoured(table.registry.sort, name))
            said = (f"`{part}` {_numbers(about, tests, part)}".strip() for part in parts)
            cells.append(", ".join(said) or "nothing")
        yield f"| {' | '.join((*cells, _numbers(about, tests)))} |"
    yield ""
    yield from (f"{number}. `{test}`" for number, test in enumerate(tests, 1))


def _numbers(proofs: Iterable[Proof], tests: Sequence[str], part: str | None = None) -> str:
    """The numbers of the tests that prove something of a plug-in, for example ``(1, 3)``.

    Args:
        proofs: Those about the plug-in.
        tests: The numbered tests.
        part: What of the description it honours; ``None`` for the plug-in itself.
    """
    about = {proof.test for proof in proofs if part is None or proof.is_of(part)}
    numbers = [str(number) for number, test in enumerate(tests, 1) if test in about]
    return f"({', '.join(numbers)})" if numbers else ""
