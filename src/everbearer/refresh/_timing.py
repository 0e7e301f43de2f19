"""How long things may take: the L, D, X and G of the refresh protocol."""

from __future__ import annotations

import math

from attrs import fields, frozen

from everbearer.errors import ConfigurationError

__all__ = ["Timing"]


@frozen(kw_only=True)
class Timing:
    """Deadlines of a refresh, all in seconds.

    Attributes:
        lease: L, the term of a lease.  It is renewed at a third while its holder
            lives, so it bounds how long others wait for a holder that died.

        deadline: D, how long a flight makes its waiters wait for an answer.

        linger: X, the longest time that a sent request may still be processed, or
            its answer still arrive.  The socket stays open that long.

        grace: G, the least pause before an unfinished refresh token is presented
            again.  Longer than any other process pauses between two tries to save.

        connect: Waiting for a connection to the token endpoint, TLS included.

        back_off: The first pause after a failure; it doubles up to five minutes.

    Raises:
        ConfigurationError: One is not a positive number, or deadline + grace is not
            above linger: then a second presentation could overtake the first one's
            answer (docs/explanation/exactly-once.md).
    """

    lease: float = 10.0
    deadline: float = 60.0
    linger: float = 60.0
    grace: float = 10.0
    connect: float = 10.0
    back_off: float = 1.0

    def __attrs_post_init__(self) -> None:
        for attribute in fields(Timing):
            value = getattr(self, attribute.name)
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ConfigurationError(
                    f"Timing.{attribute.name} is {value!r}: give seconds above 0"
                )
        if self.deadline + self.grace <= self.linger:
            raise ConfigurationError(
                f"Timing: deadline + grace ({self.deadline} + {self.grace}) must be "
                f"more than linger ({self.linger}); lower linger only if the provider "
                "is known to answer faster"
            )

    @property
    def patience(self) -> float:
        """How long a flight may wait for others: L + G + D (rule 21)."""
        return self.lease + self.grace + self.deadline
