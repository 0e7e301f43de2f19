"""What goes wrong when: a seed and a duration make a list.  Pure."""

from __future__ import annotations

import random

from attrs import frozen

__all__ = ["KINDS", "LONGEST_SPELL", "SERVER_KINDS", "Kind", "Planned", "schedule"]


@frozen
class Kind:
    """One kind of fault.

    Attributes:
        name: In the table at the end.

        every: Seconds from one to the next, on average.

        hits: What it is done to: a ``worker``, an ``account``, or ``all``.

        least, most: Seconds that it lasts, where it lasts.
    """

    name: str
    every: float
    hits: str
    least: float = 0.0
    most: float = 0.0


_ANYWHERE = (
    Kind("kill", 2.0, "worker"),
    Kind("stop", 1.2, "worker", 0.2, 4.0),
    # Between a client and the token endpoint.
    Kind("reset-unforwarded", 6.0, "account"),
    Kind("reset-answer", 6.0, "account"),
    Kind("cut-answer", 8.0, "account"),
    Kind("swallow-answer", 16.0, "account"),
    Kind("late-answer", 3.0, "account", 0.2, 1.5),
    # The token endpoint itself.
    Kind("html-for-json", 12.0, "account"),
    Kind("status-500", 12.0, "account"),
    # Its user, and its API.
    Kind("revoke", 6.0, "account"),
    Kind("expire", 2.0, "account"),
    # Rare, because a fault of everything excuses everything for a while.
    Kind("unreachable", 45.0, "all", 0.5, 2.0),
    Kind("busy-503", 45.0, "all", 0.5, 2.0),
)
KINDS = (
    *_ANYWHERE,
    Kind("store-locked", 45.0, "all", 0.5, 2.0),
    Kind("store-down", 45.0, "all", 0.5, 2.0),
    Kind("store-deaf", 45.0, "all", 0.2, 1.0),
)
SERVER_KINDS = (
    *_ANYWHERE,
    Kind("store-locked", 90.0, "all", 0.5, 2.0),
    Kind("store-deaf", 90.0, "all", 0.2, 1.0),
    Kind("store-restarted", 45.0, "all", 0.0, 1.0),
    # Also for longer than a statement may take.
    Kind("store-frozen", 45.0, "all", 0.5, 6.5),
    Kind("store-cut", 30.0, "all"),
)
LONGEST_SPELL = max(kind.most for kind in KINDS if kind.hits == "all")


@frozen
class Planned:
    """One fault: *at* seconds from the beginning, of *seconds*, to number *target*."""

    at: float
    kind: str
    target: int
    seconds: float


def schedule(
    seed: int,
    seconds: float,
    *,
    workers: int,
    accounts: int,
    kinds: tuple[Kind, ...] = KINDS,
) -> tuple[Planned, ...]:
    """Every fault of a run, in order; none outlasts *seconds*.

    The kinds have random numbers of their own, so that the rate of one does not
    move the others.
    """
    counts = {"worker": workers, "account": accounts, "all": 1}
    planned = [
        fault for kind in kinds for fault in _of(kind, seed, seconds, counts[kind.hits])
    ]
    return tuple(sorted(planned, key=lambda fault: fault.at))


def _of(kind: Kind, seed: int, seconds: float, targets: int) -> list[Planned]:
    dice = random.Random(f"{seed} {kind.name}")
    planned = []
    at = dice.uniform(0.0, min(kind.every, seconds))
    while True:
        lasts = dice.uniform(kind.least, kind.most)
        if at + lasts > seconds:
            return planned
        planned.append(Planned(at, kind.name, dice.randrange(targets), lasts))
        at += kind.every * dice.uniform(0.4, 1.6)
