"""How a command that runs until it is told to stop learns of it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

__all__ = ["asked_to_stop"]


async def asked_to_stop() -> None:
    """Wait for Ctrl+C, or for what a service manager sends."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl+C ends the program.
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
