"""A sandbox for any test: in a thread of its own, with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from everbearer._clock import SystemClock
from everbearer.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["served_sandbox"]


@contextmanager
def served_sandbox(**options: Any) -> Iterator[Sandbox]:  # noqa: ANN401 - of Sandbox
    """Run a `Sandbox` until the block ends; *options* are its own.

    It serves from another thread, so that it suits synchronous tests and every plugin
    for asynchronous ones.  Settings, script and ledger may be used from the test.

    Raises:
        OSError: It cannot listen.
    """
    options.setdefault("clock", SystemClock().wall)
    sandbox = Sandbox(**options)
    ready: Future[Callable[[], object]] = Future()
    thread = threading.Thread(
        target=asyncio.run, args=(_serve(sandbox, ready),), name="everbearer-sandbox"
    )
    thread.start()
    try:
        stop = ready.result()
    except BaseException:
        thread.join()
        raise
    try:
        yield sandbox
    finally:
        stop()
        thread.join()


async def _serve(sandbox: Sandbox, ready: Future[Callable[[], object]]) -> None:
    """Serve until what *ready* is given is called, from any thread."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    try:
        async with sandbox:
            ready.set_result(partial(loop.call_soon_threadsafe, stopped.set))
            await stopped.wait()
    except OSError as error:
        if ready.done():
            raise
        ready.set_exception(error)
