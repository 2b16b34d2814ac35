"""Where the cells of a matrix run: in processes here, or on the workers of a Dask cluster.

Both are an :class:`concurrent.futures.Executor`, and both run a call again elsewhere when the
process that ran it dies.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from kiwinb.errors import HostError, MatrixError

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 4
"""How often a call is begun when its process dies each time: as often as Dask does."""

_PRELOADED = ["kiwinb.matrix.cell", "kiwinb.headless.report"]


class LocalPool(Executor):
    """Runs each call in a process of its own, so that the death of one harms no other.

    Args:
        processes: How many run at once.
    """

    def __init__(self, processes: int) -> None:
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="kiwinb-matrix")

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have ``fn(*args)`` called in a new process; all of it is pickled."""
        return self._threads.submit(_call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; see :meth:`concurrent.futures.Executor.shutdown`."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def open_pool(processes: int, scheduler: str | None) -> Iterator[Executor]:
    """The place to run: a Dask cluster when its scheduler is named, else processes here.

    Raises:
        HostError: Dask is not installed.
        MatrixError: The scheduler does not answer.
    """
    if scheduler is None:
        with LocalPool(processes) as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError:
        raise HostError(
            "Dask distributed is not installed", remedy="Install kiwinb with the extra 'dask'."
        ) from None
    try:
        client = Client(scheduler, timeout=20)
    except (OSError, ValueError) as error:
        raise MatrixError(
            f"the Dask scheduler at {scheduler} does not answer: {error}",
            remedy="Start one with `dask scheduler`, and workers with `dask worker`.",
        ) from None
    with client, client.get_executor(pure=False) as executor:
        yield executor


def _call(fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    for _attempt in range(ATTEMPTS):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(sender, fn, args, kwargs))
        process.start()
        sender.close()
        try:
            kind, value = receiver.recv()
        except EOFError:
            process.join()
            if process.exitcode is None or process.exitcode >= 0:  # it could not even start
                raise HostError(f"its process ended with status {process.exitcode}") from None
            log.warning("Process %s that ran a cell was killed.", process.pid)
            continue
        finally:
            process.join()
            receiver.close()
        if kind == "error":
            raise value
        result: T = value
        return result
    raise HostError(
        f"the process that ran it was killed {ATTEMPTS} times",
        remedy="The host ran out of memory, most likely; run fewer cells at once with -j.",
    )


# --- in the new process ---


def _child(
    sender: Connection,
    fn: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    signal.signal(signal.SIGINT, lambda _number, _frame: None)  # the parent says when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer: tuple[str, object] = ("result", fn(*args, **kwargs))
    except Exception as error:
        answer = ("error", error)
    with suppress(BrokenPipeError):
        sender.send(answer)


def _end_with_parent() -> None:
    """Have this process clean up and end when the one that wants its result is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
