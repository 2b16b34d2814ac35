"""Let the clock of this Python say what a file wants; the clock for durations stays as it is."""

import os
import time
from pathlib import Path

_file = Path(os.environ["JUMPING_CLOCK"])
_right = time.time_ns


def _time_ns() -> int:
    return _right() + int(_file.read_text()) * 10**9


time.time_ns = _time_ns
time.time = lambda: _time_ns() / 1e9
