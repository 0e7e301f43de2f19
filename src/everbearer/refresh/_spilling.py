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
    except EverbearerError as error:
        _log.error(
            "%s/%s: the unsaved token is not spilled either, it ends with this "
            "process: %s",
            *key,
            error,
            extra=extra,
        )
        refresher.hooks(SpillFailed(*key, str(error)))
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
    spills = account.refresher.spills
    moved = False
    if spills is not None and account.unsaved is None:
        for found in await spills.find(account.key):
            if isinstance(found, Spill):
                moved |= await _adopt(account, store, found, flight)
            else:
                tell_unreadable(account.refresher, found)
    return moved


async def recover(refresher: Refresher, store: TokenStore) -> None:
    """Offer the store whatever processes of this host have left behind."""
    if refresher.spills is None:
        return
    for found in await refresher.spills.find():
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
        why = error if isinstance(error, EverbearerError) else type(error).__name__
        _log.warning(
            "%s/%s: %s is not adopted yet: %s", *key, found.place, why, extra=extra
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
    except EverbearerError as error:
        _log.warning(
            "%s/%s: %s",
            *account.key,
            error,
            extra={"provider": account.key.provider, "account": account.key.account},
        )


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
