"""Store before use: what happens between a token response and its first use."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import evolve

from everbearer.errors import EverbearerError, StoreError, TemporarilyUnavailable
from everbearer.events import (
    RefreshConflict,
    RefreshSucceeded,
    SavedLate,
    SaveFailed,
)
from everbearer.refresh._attempt import Landing
from everbearer.stores import Replacement, Rotation
from everbearer.token_endpoint import Revocation
from everbearer.tokens import Standing

if TYPE_CHECKING:
    from everbearer.refresh._account import AccountTokens
    from everbearer.stores import Asked, Replaced, TokenStore
    from everbearer.tokens import Token, TokenRecord

__all__ = ["save"]

_log = logging.getLogger("everbearer.refresh")

_FIRST_PAUSE = 0.05


async def save(
    account: AccountTokens,
    store: TokenStore,
    answered: Token,
    spent: TokenRecord,
    asked: Asked,
    started: float,
    *,
    late: bool = False,
) -> Landing | None:
    """Store *answered*, the successor of *spent*, and serve it.

    A store that fails now gets the token later: until then this process serves it
    from memory, and says so loudly.

    Returns:
        The landing, or None where another token is stored and must be looked at.
    """
    rotation = Rotation(
        spent.incarnation,
        spent.version,
        answered.following(spent.token),
        asked.id,
        rejections=account.rejections(spent),
    )
    try:
        replaced = await store.replace(account.key, rotation)
    except Exception as error:  # noqa: BLE001 - whatever it is, the pair must live on
        return _serve_unsaved(account, store, rotation, spent, asked, error)
    account.refresher.learn_store_clock(replaced.now)
    await _until_alone(account, store, replaced)
    return _landed(account, replaced, rotation, started, late=late)


async def _until_alone(
    account: AccountTokens, store: TokenStore, replaced: Replaced
) -> None:
    """Rule 19: using the new token may close the window that a replay relies on.

    So while another process holds the lease, and may have sent its replay, nobody
    uses what was stored over its head.
    """
    record = latest = replaced.record
    if record is None or not account.registration.provider.replay_window:
        return
    while latest is not None and latest.version == record.version and latest.lease:
        left = latest.lease.until - account.refresher.store_now()
        if left <= 0:
            return
        try:
            await store.changed(account.key, latest, left)
            latest = await store.load(account.key)
        except StoreError:
            await asyncio.sleep(left)


def _landed(
    account: AccountTokens,
    replaced: Replaced,
    rotation: Rotation,
    started: float,
    *,
    late: bool,
) -> Landing | None:
    refresher, key = account.refresher, account.key
    extra = {"provider": key.provider, "account": key.account}
    record = replaced.record
    if replaced.outcome in {Replacement.STORED, Replacement.SAME} and record:
        account.adopt(record)
        seconds = refresher.clock.elapsed() - started
        _log.debug("refreshed, version %d", record.version, extra=extra)
        refresher.hooks(
            SavedLate(*key, record.version)
            if late
            else RefreshSucceeded(*key, record.version, seconds)
        )
        return Landing(record.token.access_token)
    gone = replaced.outcome is Replacement.GONE
    _log.log(
        logging.INFO if gone else logging.WARNING,
        "%s/%s: rotated token not stored: %s",
        *key,
        "the account was disconnected or authorized anew" if gone else "another is",
        extra=extra,
    )
    refresher.hooks(RefreshConflict(*key, "dropped" if gone else "adopted"))
    if gone:
        account.forget()
        _revoke(account, rotation.token)
    if record is not None:
        account.adopt(record)  # Ours may be the one that is served from memory.
    return None


def _revoke(account: AccountTokens, token: Token) -> None:
    """Rule 14, best effort: a grant that nobody holds any more should not live on."""
    refresher, provider = account.refresher, account.registration.provider
    ending = Revocation.of(provider, token)
    if provider.revoke is None or ending is None:
        return
    if ending.token not in {token.access_token, token.refresh_token}:
        return  # What names a company, not a grant, would end the new one too.
    refresher.spawn(
        account.key,
        refresher.endpoint.ask(
            account.registration,
            ending,
            total=refresher.timing.deadline,
            connect=refresher.timing.connect,
            account=account.key.account,
        ),
        "revoke",
    )


def _serve_unsaved(
    account: AccountTokens,
    store: TokenStore,
    rotation: Rotation,
    spent: TokenRecord,
    asked: Asked,
    error: Exception,
) -> Landing | None:
    key = account.key
    _log.error(
        "%s/%s: rotated token could not be stored, only this process has it: %s",
        *key,
        error if isinstance(error, EverbearerError) else type(error).__name__,
        extra={"provider": key.provider, "account": key.account},
    )
    account.refresher.hooks(SaveFailed(*key, attempts=1))
    account.refresher.spawn(
        key, _save_until_stored(account, store, rotation, asked), "save-again"
    )
    if account.serves_another(spent.incarnation):
        return None  # Authorized anew meanwhile: the flight looks there.
    account.adopt(
        evolve(
            spent,
            version=spent.version + 1,
            token=rotation.token,
            minted_at=account.refresher.store_now(),
            standing=Standing.CONNECTED,
            lease=None,
            intent=None,
        ),
        unsaved=True,
    )
    if account.current() is not None:
        return Landing(rotation.token.access_token)
    pause = account.refresher.timing.back_off
    return Landing(
        error=TemporarilyUnavailable(
            *key, "the token store has not taken the last rotation", retry_after=pause
        ),
        quiet=pause,
    )


async def _keep_lease(
    account: AccountTokens, store: TokenStore, rotation: Rotation, asked: Asked
) -> None:
    """Hold the lease; an answer that came late finds it given back, and takes it."""
    renewed = await store.renew(account.key, asked)
    if (
        renewed is not None
        and not renewed.granted
        and renewed.record.incarnation == rotation.incarnation
        and renewed.record.version == rotation.version
    ):
        await store.acquire(account.key, asked)


async def _save_until_stored(
    account: AccountTokens, store: TokenStore, rotation: Rotation, asked: Asked
) -> None:
    """Try until the store answers; pauses stay below everybody's grace (rule 5)."""
    pause, attempts = _FIRST_PAUSE, 1
    timing = account.refresher.timing
    longest = min(timing.grace / 2, timing.lease / 3)
    while True:
        await asyncio.sleep(pause)
        attempts += 1
        try:
            replaced = await store.replace(account.key, rotation)
        except Exception:  # noqa: BLE001 - giving up would lose the pair
            # While this process lives and has the pair, nobody should take over.
            with suppress(Exception):
                await _keep_lease(account, store, rotation, asked)
            account.refresher.hooks(SaveFailed(*account.key, attempts=attempts))
            pause = min(pause * 2, longest)
            continue
        account.refresher.learn_store_clock(replaced.now)
        await _until_alone(account, store, replaced)
        account.saved()
        _landed(
            account,
            replaced,
            rotation,
            account.refresher.clock.elapsed(),
            late=True,
        )
        return
