"""Find the line at which a bash script failed, without changing what the script does.

bash reads the file that ``BASH_ENV`` names before it runs a script. kiwinb's file records the line
of each command that the script itself runs (for a function, the line that calls it), and writes it
to another file if the exit status of the script is not 0. Options, output, exit status, ``$0``,
``$?`` and ``$_`` do not change, and programs that the script starts do not notice anything. If the
script sets its own traps for ``EXIT`` or ``DEBUG``, the line remains unknown. Other shells, and
bash as ``sh``, do not read the file.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from kiwinb.files import read_regular

_LONGEST = 20  # bytes of a line number

VARIABLE = "BASH_ENV"
"""Environment variable that names the file with :func:`watch_text`."""


def watch_text(result: str) -> str:
    """Return the text that bash has to read before a script.

    Args:
        result: Path, in the script's view, of the file to write the line to; its directory exists.
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
    """Read the number of the failing line, from 1; ``None`` if it is unknown."""
    try:
        return int(read_regular(result, _LONGEST)) or None
    except (OSError, ValueError):
        return None
