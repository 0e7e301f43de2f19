"""A record as one process last saw it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define, field

from everbearer.refresh._decision import leeway_of

if TYPE_CHECKING:
    from everbearer._clock import Clock
    from everbearer.providers import Provider
    from everbearer.tokens import TokenRecord

__all__ = ["Held", "spans_of"]


@define(eq=False)
class Held:
    """The record as this process last saw it, with instants on the elapsed clock."""

    record: TokenRecord
    access_token: str = field(repr=False)
    fresh_until: float
    usable_until: float
    half_life: float
    accepted: bool = False
    unsaved: bool = False


def spans_of(
    record: TokenRecord, provider: Provider, clock: Clock
) -> tuple[float, float, float]:
    """Until when the access token is fresh, and usable; and half of its lifetime.

    The instants are on the elapsed clock, so that a wall clock that is set later does
    not move them.
    """
    ends = record.token.expires_at
    if ends is None:
        return math.inf, math.inf, math.inf
    usable_until = clock.elapsed() + ends.timestamp() - clock.wall()
    half_life = max(0.0, ends.timestamp() - record.minted_at) / 2
    return usable_until - leeway_of(provider, record), usable_until, half_life
