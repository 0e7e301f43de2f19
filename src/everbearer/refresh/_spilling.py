"""Rotations that a store did not take, and the files of this host that keep them.

Rule 17: a spill is adopted by compare and swap, as its process would have saved it,
and never put back blindly: what the store has may be newer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import evolve

from everbearer.errors import EverbearerError
from everbearer.events import SpillAdopted, Spilled, SpillFailed, SpillUnreadable
from everbearer.refresh._outcome import is_stored, lost, settled
from everbearer.stores import Replacement, Spill

if TYPE_CHECKING:
    from pathlib import Path

    from everbearer.refresh._account import AccountTokens
    from everbearer.refresh._refresher import Refresher
    from everbearer.stores import Rotation, TokenStore, UnreadableSpill
    from everbearer.tokens import AccountKey

__all__ = ["adopt_spills", "drop_spill", "recover", "spill"]

_log = logging.getLogger("everbearer.refresh")


async def spill(account: AccountTokens, rotation: Rotation) -> Path | None:
    """Put *rotation* where it survives this process; return where, or None."""
    refresher, key = account.refresher, account.key
    if refresher.spills is None:
        return None
    extra = {"provider": key.provider, "account": key.account}
    try:
        place = await refresher.spills.write(key, rotation, refresher.clock.wall())
    except Exception as error:  # noqa: BLE001 - or the save is not tried again
        why = _why(error)
        _log.error(
            "%s/%s: the unsaved token is not spilled either, it ends with this "
            "process: %s",
            *key,
            why,
            extra=extra,
        )
        refresher.hooks(SpillFailed(*key, why))
        return None
    _log.warning("%s/%s: unsaved token spilled to %s", *key, place, extra=extra)
    refresher.hooks(Spilled(*key, str(place)))
    return place


async def adopt_spills(
    account: AccountTokens, store: TokenStore, flight: str = ""
) -> bool:
    """Offer the store what this host has spilled of *account*.

    Args:
        account: Whose.

        store: Where to.

        flight: The lease that is given back by the same write.

    Returns:
        Whether the record, or its lease, is another one now.
    """
    moved = False
    if account.unsaved is None:
        for found in await _find(account.refresher, account.key):
            if isinstance(found, Spill):
                moved |= await _adopt(account, store, found, flight)
            else:
                tell_unreadable(account.refresher, found)
    return moved


async def recover(refresher: Refresher, store: TokenStore) -> None:
    """Offer the store whatever processes of this host have left behind."""
    for found in await _find(refresher, None):
        if not isinstance(found, Spill):
            tell_unreadable(refresher, found)
        elif found.key.provider in refresher.registrations:
            account = refresher.account(found.key)
            if account.unsaved is None:
                await _adopt(account, store, found, "")


async def _adopt(
    account: AccountTokens, store: TokenStore, found: Spill, flight: str
) -> bool:
    key, rotation = account.key, evolve(found.rotation, flight=flight)
    extra = {"provider": key.provider, "account": key.account}
    try:
        replaced = await store.replace(key, rotation)
    except Exception as error:  # noqa: BLE001 - whatever it is, the file stays
        _log.warning(
            "%s/%s: %s is not adopted yet: %s",
            *key,
            found.place,
            _why(error),
            extra=extra,
        )
        return False
    account.refresher.learn_store_clock(replaced.now)
    if replaced.outcome is Replacement.SIBLING:
        replaced = await settled(account, store, replaced, rotation)
    if is_stored(replaced) and replaced.record is not None:
        _log.warning("%s/%s: adopted %s", *key, found.place, extra=extra)
        account.refresher.hooks(SpillAdopted(*key, replaced.record.version))
    else:
        lost(account, replaced, rotation)
    await drop_spill(account, found.place)
    return replaced.record is not None


async def drop_spill(account: AccountTokens, place: Path) -> None:
    """The store has it, or better."""
    spills = account.refresher.spills
    if spills is None:
        return
    try:
        await spills.drop(place)
    except Exception as error:  # noqa: BLE001 - `Spills.drop` says what comes of it
        _log.warning(
            "%s/%s: %s",
            *account.key,
            _why(error),
            extra={"provider": account.key.provider, "account": account.key.account},
        )


async def _find(
    refresher: Refresher, key: AccountKey | None
) -> tuple[Spill | UnreadableSpill, ...]:
    """What is spilled; nothing, if that cannot be found out."""
    if refresher.spills is None:
        return ()
    try:
        return await refresher.spills.find(key)
    except Exception as error:  # noqa: BLE001 - a flight goes on without
        provider, account = key or ("", "")
        _log.warning(
            "%s/%s: spills were not looked for: %s",
            provider,
            account,
            _why(error),
            extra={"provider": provider, "account": account},
        )
        return ()


def _why(error: Exception) -> str:
    """For people: only our own texts are known to hold no secret."""
    return str(error) if isinstance(error, EverbearerError) else type(error).__name__


def tell_unreadable(refresher: Refresher, found: UnreadableSpill) -> None:
    """Say once for each file that it does not open."""
    if found.place in refresher.unreadable:
        return
    refresher.unreadable.add(found.place)
    _log.error(
        "the spill %s cannot be used and is left in place: %s",
        found.place,
        found.why,
        extra={"provider": found.key.provider, "account": found.key.account},
    )
    refresher.hooks(SpillUnreadable(*found.key, str(found.place), found.why))
