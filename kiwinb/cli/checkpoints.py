"""``kiwinb checkpoints``: show, clean up and verify the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeVar

import click
from rich.table import Table

from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.housekeeping import damaged
from kiwinb.checkpoints.logs import failed_logs
from kiwinb.checkpoints.store import Store, open_store
from kiwinb.cli.context import GlobalOptions, pass_options
from kiwinb.cli.terminal import Terminal, emit, print_json, say, say_each
from kiwinb.errors import StoreError
from kiwinb.settings import load_settings
from kiwinb.sizes import binary, parse_size

T = TypeVar("T")


@click.group("checkpoints")
def group() -> None:
    """List, show, evict and verify checkpoints."""


def _open() -> Store:
    return open_store(load_settings())


def _find(store: Store, prefix: str) -> Checkpoint:
    return _only([item for item in store.list() if item.key.startswith(prefix)], prefix)


def _find_key(store: Store, prefix: str) -> str:
    """The key that begins so, of a checkpoint that may be damaged."""
    keys = (*(item.key for item in store.list()), *damaged(store))
    return _only([key for key in keys if key.startswith(prefix)], prefix)


def _only(found: Sequence[T], prefix: str) -> T:
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
    Terminal(width=120).print(table)


@group.command()
@click.argument("key")
@pass_options
def show(options: GlobalOptions, key: str) -> None:
    """Show the checkpoint whose key begins with KEY, and the inputs of its step."""
    item = _find(_open(), key)
    if options.json:
        print_json(asdict(item))
        return
    for name, value in asdict(item).items():
        if isinstance(value, dict):
            say_each(f"{name}:")
            for label, digest in value.items():
                say_each(f"  {label}: {digest}")
        else:
            say_each(f"{name}: {value}")


@group.command()
@click.argument("key")
@pass_options
def log(options: GlobalOptions, key: str) -> None:
    """Print the whole log of the step whose key begins with KEY, even if the step failed."""
    store = _open()
    failed = failed_logs(store.failed_logs, key)
    if failed and not any(item.key.startswith(key) for item in store.list()):
        text = failed[-1].read_text(encoding="utf-8", errors="replace")
    else:
        text = store.log(_find(store, key))
    if options.json:
        print_json(text.splitlines())
    else:
        emit(text, end="")


@group.command()
@click.option(
    "--limit",
    help="Shrink the store to this size, for example 20G; by default to the setting store-limit.",
)
@pass_options
def gc(options: GlobalOptions, limit: str | None) -> None:
    """Evict the least recently used checkpoints, and remove leftovers of builds that died."""
    store = _open()
    size = store.limit if limit is None else parse_size(limit)
    if limit is not None and size is None:
        raise click.BadParameter(f"{limit!r} is not a size such as 20G", param_hint="--limit")
    _show_removed(options, "evicted", store.gc(size))


@group.command()
@pass_options
def verify(options: GlobalOptions) -> None:
    """Read all checkpoints and report those that are damaged; no build uses these any more."""
    damage = _open().verify_all()
    if options.json:
        print_json(dict(damage))
    for key, problems in damage.items():
        for problem in problems:
            say(f"{key[:12]}: {problem}", err=True)
    if damage:
        raise StoreError(
            f"{len(damage)} checkpoints are damaged",
            remedy="No build uses them any more; the next one that needs them makes them again. "
            "`kiwinb checkpoints gc` removes them.",
        )


@group.command()
@click.argument("keys", nargs=-1, required=True)
@pass_options
def remove(options: GlobalOptions, keys: tuple[str, ...]) -> None:
    """Remove the checkpoints whose keys begin with KEYS, and those that build on them."""
    store = _open()
    doomed = [_find_key(store, key) for key in keys]
    _show_removed(options, "removed", store.remove(doomed))


def _show_removed(options: GlobalOptions, what: str, items: Sequence[Checkpoint]) -> None:
    if options.json:
        print_json([asdict(item) for item in items])
        return
    for item in items:
        say_each(f"{what} {item.key[:12]} {item.name} ({binary(item.bytes)})")
