"""Execute the cells of a notebook one by one in a kernel that can be stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from kiwinb.errors import NotebookError

GRACE = 20.0
"""Time in seconds that an interrupted cell has to clean up before its kernel is killed."""

_POLL = 0.5
_SOCKET_PATH = 90
"""Largest length in bytes of the path of a socket, without the number at its end; see unix(7)."""

_NUMBER = re.compile(r"-?[0-9]+")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Ending:
    """The reason why a cell did not run to its end.

    Attributes:
        kind: Kind, as in :class:`~kiwinb.headless.result.Failure`. ``exit`` is a failure only if
            the status is not 0.
        problem: Description; empty if the kind is sufficient.
        status: Exit status that the cell asked for, from 0 to 255; ``None`` for other kinds.
    """

    kind: Literal["error", "exit", "timeout", "died", "interrupted"]
    problem: str = ""
    status: int | None = None

    @property
    def is_good(self) -> bool:
        """Whether the cell ended the run on purpose and without a failure."""
        return self.status == 0


def exit_by_text(value: str) -> Ending:
    """Return the ending of a cell that raised ``SystemExit``, by the text of the exception.

    As in Python, a number is the status of the exit, nothing is the status 0, and any other text
    is a message for the user, with the status 1. Systems keep only the low eight bits of a status;
    a status that they would thereby turn into 0 becomes 1.
    """
    if value in ("", "None", "False"):
        return Ending("exit", status=0)
    if value == "True":
        return _exit_with(1)
    if _NUMBER.fullmatch(value):
        return _exit_with(int(value))
    return Ending("exit", value, status=1)


def _exit_by_value(keep_kernel: object) -> Ending:
    """Return the ending of a cell that called ``exit(keep_kernel)`` of IPython.

    Its argument is whether to keep the kernel. Who passes a number or a text means a status.
    """
    return exit_by_text("" if isinstance(keep_kernel, bool) else str(keep_kernel))


def _exit_with(number: int) -> Ending:
    status = number and (number & 0xFF or 1)
    return Ending("exit", f"it ended the run with status {status}", status)


class StopRequest:
    """A request to stop the run, and the signal that caused it.

    Attributes:
        signal: Number of the first signal; ``None`` if there was none.
        asked: Set when the run should stop.
        at_once: Set when the run should stop without cleaning up.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self, number: int | None = None) -> None:
        """Request to stop; a second request means to stop without cleaning up.

        Args:
            number: Number of the signal that causes the request.
        """
        if self.asked.is_set():
            self.at_once.set()
        self.signal = self.signal or number
        self.asked.set()

    @asynccontextmanager
    async def by_file(self, file: Path | None) -> AsyncIterator[None]:
        """Request to stop when a file appears, until the context ends."""
        if file is None:
            yield
            return
        watching = asyncio.ensure_future(self._wait_for(file))
        try:
            yield
        finally:
            watching.cancel()

    async def _wait_for(self, file: Path) -> None:
        while not file.exists():
            await asyncio.sleep(_POLL)
        self.ask()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Request to stop on SIGINT, SIGTERM and SIGHUP, until the context ends.

        Outside the main thread, this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        taken = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]
        for number in taken:
            loop.add_signal_handler(number, self.ask, number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])


class Kernel:
    """The kernel of a run; an asynchronous context manager.

    Args:
        notebook: The notebook; outputs are stored in its cells.
        directory: Working directory of the kernel.
        environment: Environment variables of the kernel.
        scratch: An empty directory for its sockets, to which only this user has access.
        stop: Request that interrupts a running cell.
        name: Name of the kernel; ``None`` for the one that the notebook names.
        on_output: Called with the text when a cell prints or displays something, and with whether
            it printed it.

    Raises:
        NotebookError: The kernel cannot be started.
    """

    def __init__(
        self,
        notebook: nbformat.NotebookNode,
        *,
        directory: Path,
        environment: Mapping[str, str],
        scratch: Path,
        stop: StopRequest,
        name: str | None = None,
        on_output: Callable[[str, bool], None] = lambda text, is_printed: None,
    ) -> None:
        self._client = _Client(
            notebook,
            kernel_name=name or "",
            record_timing=True,
            coalesce_streams=True,
            resources={"metadata": {"path": str(directory)}},
            on_cell_executed=self._note_exit,
        )
        self._exit: Ending | None = None
        self._client.on_output = on_output
        self._notebook = notebook
        self._scratch = scratch
        self._environment = dict(environment)
        self._stop = stop
        self._widgets: dict[str, Any] = _widget_state(notebook)

    async def __aenter__(self) -> Kernel:
        client = self._client
        try:
            manager = client.create_kernel_manager()
            connection = self._scratch / "kernel.json"
            manager.connection_file = str(connection)
            if len(os.fsencode(connection)) < _SOCKET_PATH:
                manager.transport = "ipc"  # other users have no access to it
            await client.async_start_new_kernel(env=self._environment)
            await client.async_start_new_kernel_client()
        except NoSuchKernel as error:
            raise NotebookError(
                f"there is no kernel named {error.name}",
                remedy="Install it, or name another with --kernel, for example python3.",
            ) from None
        except (RuntimeError, OSError) as error:
            await self._end()
            raise NotebookError(f"the kernel does not start: {error}") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._end()

    async def _end(self) -> None:
        client = self._client
        manager, channels = client.km, client.kc
        if channels is not None:
            channels.stop_channels()
        if manager is not None and manager.has_kernel:
            with suppress(RuntimeError):  # it has ended by itself
                await ensure_async(manager.shutdown_kernel(now=True))
            await ensure_async(manager.cleanup_resources())
        client.kc = client.km = None

    async def execute(self, index: int, number: int, timeout: float | None) -> Ending | None:
        """Execute a cell of the notebook.

        Args:
            index: Index of the cell in the notebook.
            number: Execution count of the cell.
            timeout: Time limit in seconds; ``None`` for no limit.

        Returns:
            Why the cell did not run to its end; ``None`` if it did.
        """
        cell = self._notebook.cells[index]
        self._exit = None
        running = asyncio.ensure_future(
            self._client.async_execute_cell(cell, index, execution_count=number)
        )
        asked = asyncio.ensure_future(self._stop.asked.wait())
        try:
            await asyncio.wait(
                {running, asked}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if not running.done():
                kind: Literal["interrupted", "timeout"] = (
                    "interrupted" if self._stop.asked.is_set() else "timeout"
                )
                await self._interrupt(running)
                return Ending(kind)
            running.result()
        except CellExecutionError as error:
            if error.ename == "SystemExit":
                return exit_by_text(error.evalue)
            return Ending("error", f"{error.ename}: {error.evalue}")
        except DeadKernelError:
            return Ending("died")
        finally:
            asked.cancel()
            self._client.tell_displays()
            self._keep_widgets()
        return self._exit

    def _note_exit(self, execute_reply: dict[str, Any], **_where: object) -> None:
        """Note that the cell called ``exit()`` of IPython, which ends the kernel after the cell."""
        for item in execute_reply["content"].get("payload", ()):
            if item.get("source") == "ask_exit":
                self._exit = _exit_by_value(item.get("keepkernel"))

    async def _interrupt(self, running: asyncio.Future[Any]) -> None:
        manager = self._client.km
        assert manager is not None
        at_once = asyncio.ensure_future(self._stop.at_once.wait())
        try:
            await ensure_async(manager.interrupt_kernel())
            await asyncio.wait(
                {running, at_once}, timeout=GRACE, return_when=asyncio.FIRST_COMPLETED
            )
            if not running.done():
                await ensure_async(manager.shutdown_kernel(now=True))
                running.cancel()
            await asyncio.wait({running}, timeout=5.0)
            if running.done() and not running.cancelled():
                running.exception()  # a KeyboardInterrupt, as intended
        finally:
            at_once.cancel()

    def _keep_widgets(self) -> None:
        """Add the state of widgets to that of the former run in the notebook."""
        self._client.set_widgets_metadata()
        state = _widget_state(self._notebook)
        merged = {**self._widgets, **state}
        if merged:
            self._notebook.metadata["widgets"] = {
                _WIDGETS: {"state": merged, "version_major": 2, "version_minor": 0}
            }


_WIDGETS = "application/vnd.jupyter.widget-state+json"


def _widget_state(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    widgets = notebook.metadata.get("widgets", {}).get(_WIDGETS, {})
    return dict(widgets.get("state", {}))


class _Client(NotebookClient):
    """nbclient's client, extended to tell what a cell prints and displays while it runs."""

    on_output: Callable[[str, bool], None]
    _updated: tuple[nbformat.NotebookNode, ...] = ()

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        content = msg["content"]
        made = super().process_message(msg, cell, cell_index)
        match msg["msg_type"]:
            case "stream":
                self.on_output(content["text"], True)
            case "display_data" if content.get("transient", {}).get("display_id") and made:
                self._updated = (*self._updated, made)
            case "display_data" | "execute_result":
                self._tell_display(content["data"])
            case "error":
                self.on_output("\n".join((*content["traceback"], "")), False)
        return made

    def tell_displays(self) -> None:
        """Tell the last form of each display that the cell may have updated."""
        for output in self._updated:
            self._tell_display(output["data"])
        self._updated = ()

    def _tell_display(self, data: Mapping[str, Any]) -> None:
        if text := data.get("text/plain"):
            self.on_output(f"{text}\n", False)
