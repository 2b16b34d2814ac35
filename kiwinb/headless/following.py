"""Follow what another process writes, while waiting for that process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

_POLL = 0.2


@asynccontextmanager
async def following(
    read: Callable[[], Iterable[T]], tell: Callable[[T], None]
) -> AsyncIterator[None]:
    """Until the context ends, and once more then, pass on what is new.

    Args:
        read: Returns what is new since the last call.
        tell: Called with each new item.
    """

    def pass_on() -> None:
        for item in read():
            tell(item)

    async def follow() -> None:
        while True:
            await asyncio.sleep(_POLL)
            pass_on()

    task = asyncio.ensure_future(follow())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        pass_on()
