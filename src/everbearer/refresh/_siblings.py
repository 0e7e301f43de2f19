"""Two successors of one refresh token: which of them lives (rule 14).

At a provider whose replay window mints a new pair, the pair that was stored first may
be the one that ended when the other was minted.  What finds out is an access token,
presented to the API; a refresh token is never presented only to see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import evolve

from everbearer.errors import StoreError
from everbearer.events import RefreshConflict
from everbearer.stores import Asked, Replacement, Settlement
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from everbearer.refresh._account import AccountTokens
    from everbearer.stores import Replaced, Rotation, TokenStore

__all__ = ["Probe", "choose"]

_log = logging.getLogger("everbearer.refresh")

Probe = Callable[[AccountKey, str], Awaitable[bool | None]]
"""Whether the API takes an access token; None where that cannot be told."""


async def choose(
    account: AccountTokens, store: TokenStore, replaced: Replaced, rotation: Rotation
) -> Replaced:
    """Put ours in the place of the stored one if the API takes only ours.

    Ours is the record's alternate already.  Nothing else is done with it here: it is
    tried before a refusal of the stored one is marked.

    Its lease, if *rotation* has one, lasts until that is done: who took it before would
    spend the stored refresh token, which may be the one that ended.

    Returns:
        What became of *rotation*: *replaced* as it was, or the answer to a second
        `replace`.
    """
    record = replaced.record
    if replaced.outcome is not Replacement.SIBLING or record is None:
        return replaced
    ours, theirs = await asyncio.gather(
        _lives(account, rotation.token.access_token),
        _lives(account, record.token.access_token),
    )
    if not (ours is True and theirs is False):
        return await _given_back(account, store, replaced, rotation.flight)
    try:
        second = await store.replace(
            account.key, evolve(rotation, version=record.version)
        )
    except StoreError:
        return replaced
    account.refresher.learn_store_clock(second.now)
    if second.outcome is Replacement.STORED:
        key = account.key
        _log.warning(
            "%s/%s: of two rotated tokens the API took the second: stored in place of "
            "the first",
            *key,
            extra={"provider": key.provider, "account": key.account},
        )
        account.refresher.hooks(RefreshConflict(*key, "replaced"))
    return await _given_back(account, store, second, rotation.flight)


async def _given_back(
    account: AccountTokens, store: TokenStore, replaced: Replaced, flight: str
) -> Replaced:
    """Give back the lease, under which nobody could spend the stored one meanwhile."""
    lease = replaced.record.lease if replaced.record else None
    if lease is None or lease.id != flight:
        return replaced
    asked = Asked(flight, lease.holder, account.refresher.timing.lease)
    try:
        released = await store.release(account.key, asked, Settlement())
    except StoreError:
        return replaced  # It ends by itself.
    return evolve(replaced, record=released.record) if released else replaced


async def _lives(account: AccountTokens, access_token: str | None) -> bool | None:
    probe = account.refresher.probe
    if probe is None or access_token is None:
        return None
    return await probe(account.key, access_token)
