"""A clock that a test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from everbearer._clock import SystemClock

if TYPE_CHECKING:
    from datetime import timedelta

    import pytest

__all__ = ["MovableClock"]


@define(eq=False)
class MovableClock:
    """The machine's clocks, as everything in this process sees them, moved ahead.

    Freshness of tokens, leases and back-offs go by it, in every Client, store and
    sandbox of the process, those made before included.  Waiting is real: what sleeps
    or times out does not do so earlier.

    Attributes:
        ahead: Seconds by which the clocks are ahead of the machine's.
    """

    ahead: float = 0.0

    def advance(self, by: timedelta | float) -> None:
        """Move on, *by* seconds or a timedelta.

        Raises:
            ValueError: It would move back, which no clock of leases may do.
        """
        seconds = by if isinstance(by, (int, float)) else by.total_seconds()
        if seconds < 0:
            raise ValueError("a clock is not moved back")
        self.ahead += seconds

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the machine's clocks while *monkeypatch* lasts."""
        for name in ("wall", "elapsed"):
            real = getattr(SystemClock, name)
            monkeypatch.setattr(
                SystemClock, name, lambda its, real=real: real(its) + self.ahead
            )
