"""The script: which faults are planned, and what is done to grants right now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from attrs import define

if TYPE_CHECKING:
    from everbearer.sandbox._connection import Connection
    from everbearer.sandbox._grants import Grants, Pair, RefreshToken
    from everbearer.sandbox._ledger import Ledger
    from everbearer.sandbox.faults import Fault

__all__ = ["Script"]

_REMEMBERED: Final = 1000


@define(eq=False)
class _Planned:
    id: int
    fault: Fault
    left: int | None


@define(eq=False)
class _Answered:
    """A pair that was written to a connection, and may have died with its reader."""

    connection: Connection
    token: RefreshToken
    pair: Pair


class Script:
    """Faults in the order they were added: the first that matches fires.

    The methods that act on grants take effect at once, each as the provider or its
    user might do it in the real world.
    """

    def __init__(self, grants: Grants, ledger: Ledger) -> None:
        self._grants = grants
        self._ledger = ledger
        self._planned: list[_Planned] = []
        self._answered: deque[_Answered] = deque(maxlen=_REMEMBERED)
        self._last_id = 0

    def __repr__(self) -> str:
        return f"<Script: {[each.fault.kind for each in self._planned]}>"

    @property
    def planned(self) -> list[Fault]:
        """The faults that have yet to fire, or fire on."""
        return [each.fault for each in self._planned]

    def add(self, fault: Fault) -> int:
        """Plan *fault*; what comes back is for `remove`."""
        self._last_id += 1
        self._planned.append(_Planned(self._last_id, fault, fault.times))
        return self._last_id

    def remove(self, id: int) -> None:  # noqa: A002 - the name it has over HTTP
        """Forget a fault.  Nothing happens if it has fired its last."""
        self._planned = [each for each in self._planned if each.id != id]

    def clear(self) -> None:
        """Forget all faults."""
        self._planned.clear()

    def take(
        self,
        at: str,
        company: str | None,
        *,
        grant_type: str | None = None,
        method: str | None = None,
        path: str = "",
    ) -> Fault | None:
        """The fault that fires for a request like that; the ledger has it then."""
        for each in self._planned:
            if each.fault.matches(
                at, company, grant_type=grant_type, method=method, path=path
            ):
                self._fire(each)
                self._ledger.fault_fired(each.fault.kind, company)
                return each.fault
        return None

    def expire_now(self, company: str | None = None) -> None:
        """Let the access tokens of *company* (None: of all) be expired."""
        self._grants.expire(company)
        self._ledger.fault_fired("expire_now", company)

    def invalidate_now(self, company: str | None = None) -> None:
        """Let the API not know the access tokens of *company* (None: of all)."""
        self._grants.invalidate(company)
        self._ledger.fault_fired("invalidate_now", company)

    def revoke(self, company: str) -> None:
        """Let the user of *company* withdraw every grant; that is no lost grant."""
        for grant in self._grants.of(company):
            self._grants.end(grant, "script")
        self._ledger.fault_fired("revoke", company)

    def killed(self, what: str) -> int:
        """Declare that a client process has just been killed; say how many pairs.

        The sandbox cannot see whether a process died before it stored the pair that
        was written to it.  After this call, every answer whose connection is closed
        and whose pair nobody was seen to use is in doubt: one more presentation of
        the refresh token that bought it is a last resort, caused by *what*.  Call it
        when the process is gone and the event loop had a turn to notice.
        """
        self._ledger.fault_fired(f"killed: {what}", None)
        count = 0
        over = [each for each in self._answered if each.connection.closed]
        for each in over:
            # Once: the next process to be killed is no excuse for this answer.
            self._answered.remove(each)
            if not each.pair.used and each.token.doubt is None:
                each.token.doubt = f"{what} was killed"
                count += 1
        return count

    def answered(self, connection: Connection, token: RefreshToken, pair: Pair) -> None:
        """Remember what was written where, for `killed`."""
        self._answered.append(_Answered(connection, token, pair))

    def _fire(self, planned: _Planned) -> None:
        if planned.left is None:
            return
        planned.left -= 1
        if planned.left == 0:
            self._planned.remove(planned)
