"""The clock of a SQLite store, which nobody can set.

Leases and graces are times that several processes compare.  By the wall clock, a step
forward (a time service after a suspended virtual machine wakes) would end a lease that
is held, and two processes would spend one refresh token; a step back would keep a dead
holder's lease for as long.  So the store counts on the machine's uptime, from a wall
time that the first process after a start of the machine writes into the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everbearer.stores._sqlite_schema import SQL, transaction

if TYPE_CHECKING:
    import sqlite3

    from everbearer._clock import Clock

__all__ = ["SqliteClock"]


class SqliteClock:
    """Seconds since the epoch, as all processes of one file count them.

    Where starts of the machine cannot be told apart (not Linux), the wall clock.
    """

    __slots__ = ("_ahead", "_clock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: float | None = None

    def now(self) -> float:
        """The time."""
        if self._ahead is None:
            return self._clock.wall()
        return self._clock.elapsed() + self._ahead

    def agree(self, connection: sqlite3.Connection) -> None:
        """Read what others count from, or be the first since the machine started."""
        boot = self._clock.boot()
        if boot is None:
            return
        with transaction(connection):
            row = connection.execute(SQL["read_meta"], {"name": "clock"}).fetchone()
            noted, _, ahead = str(row["value"]).partition(" ") if row else ("", "", "")
            if noted != boot:
                ahead = repr(self._clock.wall() - self._clock.elapsed())
                told = {"name": "clock", "value": f"{boot} {ahead}"}
                connection.execute(SQL["move_meta"], told)
        self._ahead = float(ahead)
