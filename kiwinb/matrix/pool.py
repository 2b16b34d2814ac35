"""Run the cells of a matrix in local processes, or on the workers of a Dask cluster.

Both are a :class:`concurrent.futures.Executor`, and both repeat a call in another process if its
process dies.
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
from typing import Any, TypeVar, cast

from kiwinb.errors import HostError, MatrixError
from kiwinb.sandbox.failures import Failure, error_of, failure_of
from kiwinb.typed_json import WrongData, from_json, pack, return_type, split

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 4
"""Number of times that a call is tried if its process dies, as with Dask."""

_MOST = 64 << 20
"""Largest number of bytes that the process of a cell answers."""

_PRELOADED = ["kiwinb.matrix.cell", "kiwinb.headless.report"]


class LocalPool(Executor):
    """An executor that runs each call in a separate process.

    If a process dies, other calls are not affected.

    Args:
        processes: Number of processes that run at the same time.
    """

    def __init__(self, processes: int) -> None:
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="kiwinb-matrix")

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call ``fn`` in a new process.

        Function and arguments are pickled. What comes back is data of the type that the function
        declares to return (:mod:`kiwinb.typed_json`).
        """
        return self._threads.submit(_call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls; see :meth:`concurrent.futures.Executor.shutdown`."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def open_pool(processes: int, scheduler: str | None) -> Iterator[Executor]:
    """Open an executor for cells.

    Args:
        processes: Number of local processes that run at the same time.
        scheduler: Address of the scheduler of a Dask cluster; ``None`` to use local processes.

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
            problem, value = _answer(receiver.recv_bytes(_MOST), return_type(fn))
        except WrongData as error:
            raise HostError(f"its process answered nonsense: {error}") from None
        except (EOFError, OSError):  # OSError: in the middle of the answer, or it is too long
            process.join()
            if process.exitcode is None or process.exitcode >= 0:  # it could not even start
                raise HostError(f"its process ended with status {process.exitcode}") from None
            log.warning("Process %s that ran a cell was killed.", process.pid)
            continue
        finally:
            process.join()
            receiver.close()
        if problem is not None:
            raise error_of(problem)
        return cast(T, value)
    raise HostError(
        f"the process that ran it was killed {ATTEMPTS} times",
        remedy="Most likely, the host ran out of memory; run fewer cells at once with -j.",
    )


def _answer(packed: bytes, returns: Any) -> tuple[Failure | None, Any]:
    """Return the error and the result of a call, one of which is ``None``."""
    parts = split(packed)
    problem, value = parts.read(tuple[Failure | None, object])
    return problem, from_json(value, None if problem else returns, parts.blobs)


# --- in the new process ---


def _child(
    sender: Connection,
    fn: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    signal.signal(signal.SIGINT, lambda _number, _frame: None)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = pack((None, fn(*args, **kwargs)))
    except Exception as error:
        answer = pack((failure_of(error), None))
    with suppress(BrokenPipeError):
        sender.send_bytes(answer)


def _end_with_parent() -> None:
    """Make this process clean up and end when its parent process ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
