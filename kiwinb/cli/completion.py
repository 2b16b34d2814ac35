"""Completion of commands and options in the user's shell."""

from __future__ import annotations

import os
from pathlib import Path

import click

from kiwinb.cli.terminal import emit, say

_VARIABLE = "_KIWINB_COMPLETE"
_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/kiwinb",
    "fish": "~/.config/fish/completions/kiwinb.fish",
    "zsh": "~/.zfunc/_kiwinb",
}
_HINTS = {
    "zsh": "Put `fpath+=~/.zfunc` before `autoload -Uz compinit; compinit` in ~/.zshrc.",
}


def show(context: click.Context, _parameter: click.Parameter, shell: str | None) -> None:
    """Print the completion script, for ``--show-completion``."""
    if shell is not None:
        emit(_script(context, shell))
        context.exit()


def install(context: click.Context, _parameter: click.Parameter, shell: str | None) -> None:
    """Write the completion script to where the shell looks for it, for ``--install-completion``."""
    if shell is None:
        return
    text = _script(context, shell)
    name = shell or _own_shell()
    place = Path(_PLACES[name]).expanduser()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    say(f"Completion for {name} is in {place}; it works in new shells.")
    if name in _HINTS:
        say(_HINTS[name])
    context.exit()


def _script(context: click.Context, shell: str) -> str:
    from click.shell_completion import get_completion_class  # commands do not need it

    kind = get_completion_class(shell or _own_shell())
    assert kind is not None, "the option takes these shells only"
    return kind(context.find_root().command, {}, "kiwinb", _VARIABLE).source()


def _own_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in _PLACES:
        raise click.UsageError(f"the shell {name or 'is not known'}: name one of {_known()}")
    return name


def _known() -> str:
    return ", ".join(_PLACES)


def shells() -> click.Choice[str]:
    """The shells that the options accept; an empty string stands for the user's own."""
    return click.Choice([*_PLACES, ""])
