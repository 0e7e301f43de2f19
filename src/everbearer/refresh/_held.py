"""A record as one process last saw it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from everbearer.refresh._decision import leeway_of, lifetime_of
from everbearer.tokens import Standing

if TYPE_CHECKING:
    from everbearer.providers import Provider
    from everbearer.stores import Change
    from everbearer.tokens import TokenRecord

__all__ = ["Held", "Moment", "held_of"]


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

    def is_newer_than(self, record: TokenRecord) -> bool:
        """Whether it is a later version of the same authorization."""
        mine = self.record
        return mine.incarnation == record.incarnation and mine.version > record.version

    def is_ended_by(self, change: Change, provider: Provider) -> bool:
        """Whether the token is of no use any more, as *change* tells.

        An unsaved one finds out when it is saved (rule 11).
        """
        if self.unsaved:
            return False
        if (change.incarnation, change.standing) != (
            self.record.incarnation,
            Standing.CONNECTED,
        ):
            return True
        return provider.old_access_dies and change.version > self.record.version

    def withhold(self) -> None:
        """Do not serve it: whoever needs a token looks into the store."""
        self.fresh_until = self.usable_until = -math.inf

    @property
    def withheld(self) -> bool:
        """Whether it is not served, however long it may live."""
        return self.usable_until == -math.inf


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


def held_of(
    record: TokenRecord,
    access_token: str,
    provider: Provider,
    at: Moment,
    *,
    rejected: bool,
    accepted: bool,
    unsaved: bool,
) -> Held:
    """*record* as it is to be served, with *access_token*, which is its own.

    Where the provider has a replay window, an unsaved one is held and not served: its
    use may close the window that others rely on (rule 19).
    """
    held = Held(
        record,
        access_token,
        *_spans_of(record, provider, at),
        accepted=accepted,
        unsaved=unsaved,
    )
    if rejected:
        held.fresh_until = -math.inf
    if unsaved and provider.replay_window:
        held.withhold()
    return held


def _spans_of(
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
