"""How long a failure is remembered: doubling with jitter, Retry-After respected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from everbearer.tokens import BackOff

if TYPE_CHECKING:
    from everbearer.tokens import BackOffKind

__all__ = ["LONGEST", "next_back_off"]

LONGEST: Final = 300.0


def next_back_off(
    previous: BackOff | None,
    kind: BackOffKind,
    *,
    about: str,
    now: float,
    first: float,
    retry_after: float | None,
    message: str,
    jitter: float,
) -> BackOff:
    """The back-off after one more failure; instants are seconds from now.

    Args:
        previous: What was remembered before; it counts on if it is of the same kind
            and about the same thing.

        kind, about: Of this failure.

        now: The store's clock.

        first: The first pause in seconds.

        retry_after: What the provider asked for, a lower bound, or None.

        message: For callers.

        jitter: From 0 to 1; pauses are 75 to 100 % of the doubled one, so that hosts
            do not come back in step and the number of attempts stays bounded.
    """
    attempts, first_at = 1, 0.0
    if previous and previous.kind is kind and previous.fingerprint == about:
        attempts = previous.attempts + 1
        first_at = previous.first_at - now
    pause = min(first * 2.0 ** min(attempts - 1, 30), LONGEST) * (0.75 + jitter / 4)
    return BackOff(
        kind=kind,
        until=max(pause, retry_after or 0.0),
        fingerprint=about,
        attempts=attempts,
        first_at=first_at,
        message=message,
    )
