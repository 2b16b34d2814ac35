"""``kiwinb checkpoints``: look at the store, and keep it small and sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.table import Table

from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.logs import failed_logs
from kiwinb.checkpoints.store import Store, open_store
from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import print_json
from kiwinb.errors import StoreError
from kiwinb.settings import load_settings
from kiwinb.sizes import binary, parse_size


@click.group("checkpoints")
def group() -> None:
    """List, show, evict and verify checkpoints."""


def _open() -> Store:
    return open_store(load_settings())


def _find(store: Store, prefix: str) -> Checkpoint:
    found = [item for item in store.list() if item.key.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    raise StoreError(
        f"{'no' if not found else len(found)} checkpoints have a key that starts with {prefix}",
        remedy="See `kiwinb checkpoints list`, and give more digits of the key.",
    )


@group.command("list")
@pass_options
def list_(options: GlobalOptions) -> None:
    """List all checkpoints, the least recently used first."""
    store = _open()
    found = store.list()
    if options.json:
        print_json([asdict(item) for item in found])
        return
    table = Table("key", "step", "output", "size", "seconds", "last used", box=None)
    for item in found:
        used = datetime.fromtimestamp(store.last_used(item.key), UTC)
        table.add_row(
            item.key[:12],
            item.name,
            item.output,
            binary(item.bytes),
            f"{item.seconds:.1f}",
            f"{used:%Y-%m-%d %H:%M}",
        )
    total = binary(sum(item.bytes for item in found))
    table.add_row("", f"{len(found)} checkpoints", store.backend, total, "", "")
    click.echo(_text(table), nl=False)


@group.command()
@click.argument("key")
@pass_options
def show(options: GlobalOptions, key: str) -> None:
    """Show the checkpoint whose key begins with KEY, and what the step read."""
    item = _find(_open(), key)
    if options.json:
        print_json(asdict(item))
        return
    for name, value in asdict(item).items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for label, digest in value.items():
                click.echo(f"  {label}: {digest}")
        else:
            click.echo(f"{name}: {value}")


@group.command()
@click.argument("key")
@pass_options
def log(options: GlobalOptions, key: str) -> None:
    """Print all that the step printed whose key begins with KEY, also when it failed last."""
    store = _open()
    failed = failed_logs(store.failed_logs, key)
    if failed and not any(item.key.startswith(key) for item in store.list()):
        text = failed[-1].read_text(encoding="utf-8", errors="replace")
    else:
        text = store.log(_find(store, key))
    if options.json:
        print_json(text.splitlines())
    else:
        click.echo(text, nl=False)


@group.command()
@click.option("--limit", help="Size to come below, for example 20G; the setting when not given.")
@pass_options
def gc(options: GlobalOptions, limit: str | None) -> None:
    """Evict the least recently used checkpoints, and what builds that died left behind."""
    store = _open()
    size = store.limit if limit is None else parse_size(limit)
    if limit is not None and size is None:
        raise click.BadParameter(f"{limit!r} is no size such as 20G", param_hint="--limit")
    _show_removed(options, "evicted", store.gc(size))


@group.command()
@pass_options
def verify(options: GlobalOptions) -> None:
    """Read every checkpoint again and say which are damaged."""
    damage = _open().verify_all()
    if options.json:
        print_json(dict(damage))
    for key, problems in damage.items():
        for problem in problems:
            click.echo(f"{key[:12]}: {problem}", err=True)
    if damage:
        raise StoreError(
            f"{len(damage)} checkpoints are damaged",
            remedy="They are made again when a build needs them, once `kiwinb checkpoints "
            "remove KEY` has removed them.",
        )


@group.command()
@click.argument("keys", nargs=-1, required=True)
@pass_options
def remove(options: GlobalOptions, keys: tuple[str, ...]) -> None:
    """Remove checkpoints by what their KEYS begin with, and those that build on them."""
    store = _open()
    _show_removed(options, "removed", store.remove([_find(store, key).key for key in keys]))


def _show_removed(options: GlobalOptions, what: str, items: Sequence[Checkpoint]) -> None:
    if options.json:
        print_json([asdict(item) for item in items])
        return
    for item in items:
        click.echo(f"{what} {item.key[:12]} {item.name} ({binary(item.bytes)})")


def _text(table: Table) -> str:
    from io import StringIO

    from rich.console import Console

    page = StringIO()
    Console(file=page, width=120).print(table)
    return page.getvalue()
