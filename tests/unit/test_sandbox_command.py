from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from kiwinb.errors import CommandError, HostError
from kiwinb.sandbox.command import execute, run
from kiwinb.sandbox.lines import LONGEST_LINE, MOST_LINES
from kiwinb.sandbox.tools import TOOLS, find_tool


def test_returns_stdout_and_logs_both_streams() -> None:
    lines: list[str] = []
    out = run(["sh", "-c", "echo one; echo two >&2; printf three"], log=lines.append)
    assert out == "one\nthree"
    assert sorted(lines) == ["one", "three", "two"]


def test_progress_lines_are_logged_as_they_end_up() -> None:
    lines: list[str] = []
    run(["printf", r"10%%\r100%%\n\033[1mbold\033[0m\r\n"], log=lines.append)
    assert lines == ["100%", "bold"]


def test_input_larger_than_a_pipe() -> None:
    text = "x" * 1_000_000
    assert run(["cat"], input=text) == text


def test_input_that_is_not_read() -> None:
    assert run(["true"], input=b"x" * 1_000_000) == ""


def test_environment_and_directory(tmp_path: Path) -> None:
    out = run(["sh", "-c", "pwd; echo $MINE $LC_ALL"], env={"MINE": "yes"}, cwd=tmp_path)
    assert out == f"{tmp_path}\nyes C.UTF-8\n"


def test_failure_shows_the_tail() -> None:
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "seq 100; echo why >&2; exit 3"])
    assert caught.value.status == 3
    assert len(caught.value.tail) == 20
    assert "why" in str(caught.value)


def test_failure_can_be_allowed() -> None:
    assert run(["sh", "-c", "echo out; exit 3"], check=False) == "out\n"


def test_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("kiwinb.sandbox.tools._SYSTEM_DIRECTORIES", ())
    tool, package = next(iter(TOOLS.items()))
    with pytest.raises(HostError, match=f"apt-get install {package}"):
        find_tool(tool)


def test_bytes_that_are_no_utf8_come_through() -> None:
    assert os.fsencode(run(["printf", r"\377\n"])) == b"\xff\n"


def test_a_daemon_does_not_hold_us_up() -> None:
    began = time.monotonic()
    pid = int(run(["sh", "-c", "sleep 600 & echo $!"]))
    os.kill(pid, signal.SIGKILL)
    assert time.monotonic() - began < 300


def test_interrupt_ends_all_the_command_started() -> None:
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", "sleep 60 & echo $!; wait"], log=stop)
    deadline = time.monotonic() + 60
    while _is_running(pids[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(pids[0])


def _is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()  # an orphan of init
    except OSError:
        return False


@pytest.mark.parametrize("stream", ["", " >&2"])
def test_a_flood_without_line_ends_is_one_short_line(stream: str) -> None:
    lines: list[str] = []
    began = time.process_time()
    with pytest.raises(CommandError) as caught:
        words = f"(head -c 50000000 /dev/zero | tr '\\0' x; exit 3){stream}; exit 3"
        execute_quietly(["sh", "-c", words], lines.append)
    assert time.process_time() - began < 10
    (line,) = lines
    assert line.startswith("xxx")
    assert line.endswith(f"x [{50_000_000 - LONGEST_LINE:,} bytes of this line are left out]")
    assert len(str(caught.value)) < 3000


def test_a_flood_of_lines_ends_with_its_last_ones() -> None:
    lines: list[str] = []
    words = "seq 60000000 60700000; echo its last words; exit 3"
    with pytest.raises(CommandError, match="its last words"):
        execute_quietly(["sh", "-c", words], lines.append)
    assert lines[0] == "60000000"
    assert MOST_LINES < len(lines) < MOST_LINES + 50
    (note,) = (line for line in lines if "left out" in line)
    kept = sum(len(line) + 1 for line in lines if line != note)
    left = len("60000000\n") * 700_001 + len("its last words\n") - kept
    assert note == f"[{left:,} bytes of output are left out here]"
    assert lines[-2:] == ["60700000", "its last words"]


def test_a_line_that_is_redrawn_forever_keeps_its_last_state() -> None:
    lines: list[str] = []
    words = r"seq 1 50000 | tr '\n' '\r'; echo"
    execute_quietly(["sh", "-c", words], lines.append)
    assert lines == ["50000"]


def test_output_that_is_needed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kiwinb.sandbox.command.MOST_OUTPUT", 1 << 20)
    with pytest.raises(CommandError, match="yes printed more than 1 MiB, and was ended"):
        run(["yes"])


@pytest.mark.timeout(300)
def test_a_daemon_that_prints_does_not_hold_us_up() -> None:
    words = "yes & echo $! >&2"
    lines: list[str] = []
    execute_quietly(["sh", "-c", words], lines.append)
    with suppress(ProcessLookupError):  # SIGPIPE ends it when nobody reads any more
        os.kill(next(int(line) for line in lines if line.isdecimal()), signal.SIGKILL)


def execute_quietly(argv: list[str], log: Callable[[str], None]) -> None:
    """Run a command of which nobody needs the output, as scripts are run."""
    execute(
        argv,
        executable=None,
        log=log,
        env=dict(os.environ),
        cwd=None,
        input=None,
        check=True,
        keep_output=False,
    )
