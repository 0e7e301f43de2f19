"""The worker processes: started, stopped, killed, and listened to.

Only processes that were started here are ever sent a signal, through their handles.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

__all__ = ["Worker"]

ROOT = Path(__file__).parents[3]
_LONGEST_LINE = 1 << 20
_GOODBYE = 20.0


@define(eq=False)
class Worker:
    """The process of one *slot*; a killed one is followed by another.

    Attributes:
        order: What it is told at its start.

        heard: Called with (slot, line) for each line that it says.

        crashes: Every end that nobody asked for, and whatever was said on stderr.
    """

    slot: int
    order: dict[str, Any]
    folder: Path
    heard: Callable[[int, dict[str, Any]], None]
    crashes: list[str] = field(factory=list)
    process: asyncio.subprocess.Process | None = None
    stopped: bool = False
    _lives: int = 0
    _listening: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process of now."""
        return self.process.pid if self.process else 0

    async def start(self) -> None:
        """Begin a life."""
        self._lives += 1
        order = {
            **self.order,
            "seed": f"{self.order['seed']} {self.slot} {self._lives}",
        }
        self.stopped = False
        with self._stderr.open("ab") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.failures.chaos._worker", json.dumps(order)),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=_LONGEST_LINE,
            )
        self._listening = asyncio.create_task(self._listen(self.process))

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        while line := await process.stdout.readline():
            # The last line of a killed process may be half of one.
            with suppress(json.JSONDecodeError):
                self.heard(self.slot, json.loads(line))

    async def kill(self) -> None:
        """End it with -9, and wait until it is gone and all it said is heard."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.kill()
        await process.wait()
        await self._listening

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)
        self.stopped = True

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
        self.stopped = False

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    def look(self) -> None:
        """Note whether it ended although nobody ended it."""
        if self.process is not None and self.process.returncode is not None:
            self.crashes.append(f"worker {self.slot}: ended by itself")

    async def finish(self) -> None:
        """Ask it to close its Client and go."""
        process = self.process
        process.stdin.write(b"\n")
        await process.stdin.drain()
        try:
            await asyncio.wait_for(process.wait(), _GOODBYE)
        except TimeoutError:
            self.crashes.append(f"worker {self.slot}: did not end when it was asked to")
            await self.kill()
        await self._listening
        if process.returncode:
            self.crashes.append(f"worker {self.slot}: exit {process.returncode}")

    def complaints(self) -> list[str]:
        """What was written on stderr, which should be nothing."""
        said = self._stderr.read_text() if self._stderr.exists() else ""
        return self.crashes + [f"worker {self.slot}: {said[-2000:]}"] * bool(said)

    @property
    def _stderr(self) -> Path:
        return self.folder / f"worker-{self.slot}.stderr"
