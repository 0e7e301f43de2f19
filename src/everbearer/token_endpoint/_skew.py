"""How far this host's date is from each provider's, as the provider's answers tell.

Expiries are instants: the provider writes some (epoch, ISO, a JWT's ``exp``), and other
hosts store all of them.  A host whose date is wrong would misread them, and what it
stores itself would mislead the others.  So the ``Date`` header of each token answer
(RFC 9110 section 6.6.1) is compared with this host's date, and what is compared with
an expiry, or stored as one, is the corrected time.  Answers of APIs are not looked at:
a call with a fresh token may cost nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from everbearer import vocabulary as v
from everbearer._clock import COUNTS_SUSPENDS
from everbearer.token_endpoint._spans import header, http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from everbearer._clock import Clock

__all__ = ["Skews"]

_log = logging.getLogger("everbearer.token_endpoint")

# Below that, leeways and graces cover it; network and servers are not exact either.
_TOLERATED: Final = 60.0
# A Date has whole seconds.
_GRANULARITY: Final = 1.0
# Nobody whose date is further off has verified the certificate of the server that says
# so: none is valid for longer (CA/Browser Forum baseline requirements, 6.3.2).  So it
# is the server that is wrong.
_LONGEST: Final = 398 * 86400.0


class Skews:
    """The time by each registration's provider.

    The date is read once and then counted on, where the machine has a clock that
    counts through suspends: setting the date must not make living tokens look expired,
    nor dead ones alive.  Elsewhere it is read each time.

    Args:
        clock: This host's.
    """

    __slots__ = ("_behind", "_clock", "_listener", "_started")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.wall() - clock.elapsed()
        self._behind: dict[str, float] = {}
        self._listener: Callable[[str], None] | None = None

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have *listener* called with a registration's name when its time moves."""
        self._listener = listener

    def now(self, name: str) -> float:
        """Seconds since the epoch, by the provider of registration *name*."""
        return self.at(name, self._clock.elapsed())

    def at(self, name: str, elapsed: float) -> float:
        """The same at a moment of the elapsed clock."""
        return elapsed + self._ahead + self._behind.get(name, 0.0)

    @property
    def _ahead(self) -> float:
        if COUNTS_SUSPENDS:
            return self._started
        return self._clock.wall() - self._clock.elapsed()

    def heard(
        self,
        name: str,
        headers: Mapping[str, str],
        sent: float,
        came: float,
        *,
        account: str = "",
    ) -> None:
        """Learn from an answer, if its date is surely more than a minute off.

        Args:
            name: Of the registration.

            headers: Of the answer.  One from a cache (Age) tells nothing, nor does a
                date that cannot be read, or that is more than 398 days off.

            sent, came: Between which the answer was made, on the elapsed clock.

            account: For the log.
        """
        date = http_date(header(headers, v.DATE))
        if date is None or header(headers, v.AGE):
            return
        known = self._behind.get(name, 0.0)
        measured = date - (sent + came) / 2 - self._ahead
        uncertain = came - sent + _GRANULARITY
        if abs(measured) > _LONGEST or abs(measured - known) - uncertain <= _TOLERATED:
            return
        behind = measured if abs(measured) - uncertain > _TOLERATED else 0.0
        _log.log(
            logging.DEBUG if known else logging.WARNING,
            "%s: this host's clock is %.0f s %s the provider's, which counts for "
            "expiries; correct the date",
            name,
            abs(behind),
            "ahead of" if behind < 0 else "behind",
            extra={"provider": name, "account": account},
        )
        self._behind[name] = behind
        if self._listener is not None:
            self._listener(name)
