"""The only file that asks what time it is.

Two clocks, because they answer two questions.  `Clock.wall` says what date it is and
is written into records; an operator or NTP may move it.  `Clock.elapsed` only ever
counts up and counts suspended time too, so it decides everything inside one process:
freshness, deadlines, how much of a lease is left (the refresh protocol, rule 9).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, Protocol

__all__ = ["COUNTS_SUSPENDS", "Clock", "SystemClock", "instant", "seconds"]

# CLOCK_MONOTONIC stands still while a laptop or a virtual machine sleeps, a lease
# does not.  Where there is no boot clock (macOS, BSD) monotonic has to do.
COUNTS_SUSPENDS: Final = hasattr(time, "CLOCK_BOOTTIME")
_ELAPSED: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@cache
def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None


class Clock(Protocol):
    """What the rest of the package asks for the time."""

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed moment, suspended time included."""
        ...

    def boot(self) -> str | None:
        """What all processes share whose `elapsed` counts from one moment, if known."""
        ...


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def elapsed(self) -> float:
        """Seconds since the machine started, suspended time included."""
        return time.clock_gettime(_ELAPSED)

    def boot(self) -> str | None:
        """The kernel's id of this start of the machine (Linux)."""
        return _boot_id()


def instant(epoch: float | None) -> datetime | None:
    """Turn seconds since the epoch into an aware datetime in UTC."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def seconds(moment: datetime | None) -> float | None:
    """Turn an aware datetime into seconds since the epoch."""
    return None if moment is None else moment.timestamp()
