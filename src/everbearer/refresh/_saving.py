"""Store before use: what happens between a token response and its first use."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import evolve

from everbearer.errors import EverbearerError, TemporarilyUnavailable
from everbearer.events import RefreshSucceeded, SavedLate, SaveFailed
from everbearer.refresh._attempt import Landing
from everbearer.refresh._outcome import is_stored, lost, settled
from everbearer.refresh._spilling import drop_spill, spill
from everbearer.stores import Rotation
from everbearer.tokens import Standing

if TYPE_CHECKING:
    from pathlib import Path

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
        spent=spent.refresh_fingerprint,
    )
    try:
        replaced = await store.replace(account.key, rotation)
    except Exception as error:  # noqa: BLE001 - whatever it is, the pair must live on
        return await _serve_unsaved(account, store, rotation, spent, asked, error)
    account.refresher.learn_store_clock(replaced.now)
    replaced = await settled(account, store, replaced, rotation)
    return _landed(account, replaced, rotation, started, late=late)


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
    if is_stored(replaced) and record is not None:
        account.adopt(record)
        seconds = refresher.clock.elapsed() - started
        _log.debug("refreshed, version %d", record.version, extra=extra)
        refresher.hooks(
            SavedLate(*key, record.version)
            if late
            else RefreshSucceeded(*key, record.version, seconds)
        )
        return Landing(record.token.access_token)
    lost(account, replaced, rotation)
    if record is not None:
        account.adopt(record)  # Ours may be the one that is served from memory.
    return None


async def _serve_unsaved(
    account: AccountTokens,
    store: TokenStore,
    rotation: Rotation,
    spent: TokenRecord,
    asked: Asked,
    error: Exception,
) -> Landing | None:
    key, refresher = account.key, account.refresher
    _log.error(
        "%s/%s: rotated token could not be stored, only this process has it: %s",
        *key,
        error if isinstance(error, EverbearerError) else type(error).__name__,
        extra={"provider": key.provider, "account": key.account},
    )
    refresher.hooks(SaveFailed(*key, attempts=1))
    if not account.serves_another(spent.incarnation):
        account.adopt(
            evolve(
                spent,
                version=spent.version + 1,
                token=rotation.token,
                minted_at=refresher.store_now(),
                standing=Standing.CONNECTED,
                lease=None,
                intent=None,
            ),
            unsaved=True,
        )
    # Tasks of their own: a disk that hangs must not keep the store from being tried.
    spilling = refresher.spawn(key, spill(account, rotation), "spill")
    refresher.spawn(
        key, _save_until_stored(account, store, rotation, asked, spilling), "save-again"
    )
    await asyncio.wait({spilling}, timeout=refresher.timing.lease / 3)
    if account.serves_another(spent.incarnation):
        return None  # Authorized anew meanwhile: the flight looks there.
    if account.current() is not None:
        return Landing(rotation.token.access_token)
    pause = refresher.timing.back_off
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
    account: AccountTokens,
    store: TokenStore,
    rotation: Rotation,
    asked: Asked,
    spilling: asyncio.Task[Path | None],
) -> None:
    """Try until the store answers; pauses stay below everybody's grace (rule 5)."""
    refresher, key = account.refresher, account.key
    pause, attempts = _FIRST_PAUSE, 1
    longest = min(refresher.timing.grace / 2, refresher.timing.lease / 3)
    while True:
        await asyncio.sleep(pause)
        attempts += 1
        try:
            replaced = await store.replace(key, rotation)
        except Exception:  # noqa: BLE001 - giving up would lose the pair
            # While this process lives and has the pair, nobody should take over.
            with suppress(Exception):
                await _keep_lease(account, store, rotation, asked)
            refresher.hooks(SaveFailed(*key, attempts=attempts))
            pause = min(pause * 2, longest)
            if spilling.done() and not spilling.cancelled() and not spilling.result():
                spilling = refresher.spawn(key, spill(account, rotation), "spill")
            continue
        refresher.learn_store_clock(replaced.now)
        replaced = await settled(account, store, replaced, rotation)
        account.saved()
        _landed(account, replaced, rotation, refresher.clock.elapsed(), late=True)
        if (place := await spilling) is not None:
            await drop_spill(account, place)
        return
