"""What is learned of an account after its grant was stored, added to what is kept."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from everbearer.errors import EverbearerError, StoreError
from everbearer.stores import Asked, Replacement, Rotation, Settlement
from everbearer.tokens import Standing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from everbearer.refresh._account import AccountTokens
    from everbearer.stores import Acquired, TokenStore
    from everbearer.tokens import TokenRecord

__all__ = ["learn"]

_log = logging.getLogger("everbearer.refresh")

LONGEST_WAIT: Final = 2.0
"""Seconds to wait for a refresh that is under way elsewhere."""


async def learn(
    account: AccountTokens,
    record: TokenRecord,
    asking: Awaitable[Mapping[str, Any]],
) -> TokenRecord:
    """Add what *asking* brings to the kept members of *record*'s token.

    Best effort, after the grant is stored: neither a crash nor a cancelled wait here
    loses it.  A rotation that happens meanwhile is kept: the write is made under the
    lease, so that no refresh token is spent beside it.

    Returns:
        The record with it; or *record* itself, if there was nothing or no way to
        add it.  Never raises an Everbearer error, nor CancelledError: the task is the
        Client's, and what it was for is done.
    """
    try:
        learned = await asking
        return (await _add(account, record, learned) if learned else None) or record
    except EverbearerError as error:
        _log.warning(
            "%s/%s: connected, but what its API told was not stored: %s",
            *account.key,
            error,
            extra={"provider": account.key.provider, "account": account.key.account},
        )
    except asyncio.CancelledError:
        _log.debug("closed before the account's API had told anything")
    return record


async def _add(
    account: AccountTokens, stored: TokenRecord, learned: Mapping[str, Any]
) -> TokenRecord | None:
    refresher = account.refresher
    store = await refresher.open_store()
    asked = Asked(secrets.token_hex(16), refresher.holder, refresher.timing.lease)
    until = refresher.clock.elapsed() + LONGEST_WAIT
    while (acquired := await store.acquire(account.key, asked)) is not None:
        refresher.learn_store_clock(acquired.now)
        if acquired.granted:
            return await _add_leased(account, store, asked, acquired, stored, learned)
        left = until - refresher.clock.elapsed()
        if left <= 0:
            break
        await store.changed(account.key, acquired.record, left)
    return None


async def _add_leased(
    account: AccountTokens,
    store: TokenStore,
    asked: Asked,
    acquired: Acquired,
    stored: TokenRecord,
    learned: Mapping[str, Any],
) -> TokenRecord | None:
    """Write under the lease, which the same write gives back.

    Not where an unfinished refresh was found: its answer may still come, and would
    meet another version than it expects (rule 12).  Nor over a refusal, which a
    rotation voids (rule 15).
    """
    found, record = acquired.found, acquired.record
    settlement = Settlement(found, restore=True)
    if (
        found is not None
        or record.incarnation != stored.incarnation
        or record.standing is not Standing.CONNECTED
    ):
        await store.release(account.key, asked, settlement)
        return None
    token = evolve(record.token, extra={**record.token.extra, **learned})
    rotation = Rotation(
        record.incarnation, record.version, token, asked.id, record.rejections
    )
    try:
        replaced = await store.replace(account.key, rotation)
    except StoreError:
        # Else the intent would look like a refresh that was never finished.
        with suppress(StoreError):
            await store.release(account.key, asked, settlement)
        raise
    # Or a rejection a moment later would seem to come before the token was stored.
    account.refresher.learn_store_clock(replaced.now)
    if replaced.outcome is not Replacement.STORED or replaced.record is None:
        return None
    account.adopt(replaced.record)
    return replaced.record
