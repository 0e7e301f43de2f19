"""A record as one process last saw it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from everbearer.refresh._decision import leeway_of, lifetime_of

if TYPE_CHECKING:
    from everbearer.providers import Provider
    from everbearer.tokens import TokenRecord

__all__ = ["Held", "Moment", "spans_of"]


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


@frozen
class Moment:
    """Now, by every clock that a token's life is measured with.

    Attributes:
        elapsed: In this process.

        wall: The provider's.

        store: The store's.
    """

    elapsed: float
    wall: float
    store: float

    @property
    def ahead(self) -> float:
        """Seconds by which the provider is ahead of the store."""
        return self.wall - self.store


def spans_of(
    record: TokenRecord, provider: Provider, at: Moment
) -> tuple[float, float, float]:
    """Until when the access token is fresh, and usable; and half of its lifetime.

    The instants are on the elapsed clock, so that a wall clock that is set later does
    not move them.
    """
    ends = record.token.expires_at
    if ends is None:
        return math.inf, math.inf, math.inf
    usable_until = at.elapsed + ends.timestamp() - at.wall
    half_life = lifetime_of(record, at.ahead) / 2
    return usable_until - leeway_of(provider, record, at.ahead), usable_until, half_life
