"""Find out at which line a bash script failed, without changing what the script does.

bash reads the file that ``BASH_ENV`` names before it runs a script. Ours notes the line of each
command that the script itself runs (of a function, the line that calls it) and writes it to a
file when the script ends with another status than 0. Options, output, exit status, ``$0``,
``$?`` and ``$_`` stay as they are, and nothing of it reaches the programs that the script starts.
A script that sets traps of its own for ``EXIT`` or ``DEBUG`` is left alone: its line is unknown.
Other shells, and bash as ``sh``, do not read the file.
"""

from __future__ import annotations

import shlex
from pathlib import Path

VARIABLE = "BASH_ENV"
"""Environment variable that names the file with :func:`watch_text`."""


def watch_text(result: str) -> str:
    """What bash is to read before a script.

    Args:
        result: File that the line is written to, as the script sees it; its directory exists.
    """
    return f"""\
unset {VARIABLE}
trap '{{ _kiwinb_last=$_; _kiwinb_before=$_kiwinb_line; _kiwinb_line=$LINENO
: "$_kiwinb_last"; }} 2>/dev/null' DEBUG
_kiwinb_err='{{ _kiwinb_last=$_; [[ ${{#BASH_SOURCE[@]}} -gt 1 ]] ||'
_kiwinb_err+=' _kiwinb_line=$LINENO; : "$_kiwinb_last"; }} 2>/dev/null'
trap "$_kiwinb_err" ERR
trap '{{ _kiwinb_status=$? _kiwinb_at=$_kiwinb_line _kiwinb_was=$_kiwinb_before
if [ "$_kiwinb_status" != 0 ]; then
[ "$_kiwinb_at" != 1 ] || _kiwinb_at=${{_kiwinb_was:-1}}
echo "$_kiwinb_at" >"$_kiwinb_file"; fi; }} 2>/dev/null' EXIT
_kiwinb_line= _kiwinb_before= _kiwinb_file={shlex.quote(result)}
"""


def failing_line(result: Path) -> int | None:
    """The line that was written, counted from 1; ``None`` when there is none."""
    try:
        return int(result.read_text()) or None
    except (OSError, ValueError):
        return None
