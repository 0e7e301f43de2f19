"""What became of a rotation that was offered to the store (rules 14 and 19)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from everbearer.errors import StoreError
from everbearer.events import RefreshConflict
from everbearer.refresh._revoking import revoking
from everbearer.refresh._siblings import choose
from everbearer.stores import Replacement

if TYPE_CHECKING:
    from everbearer.refresh._account import AccountTokens
    from everbearer.stores import Replaced, Rotation, TokenStore
    from everbearer.tokens import TokenRecord

__all__ = ["is_stored", "lost", "settled", "until_alone"]

_log = logging.getLogger("everbearer.refresh")


_LOST: Final = {
    Replacement.GONE: ("dropped", "the account was disconnected or authorized anew"),
    Replacement.CONFLICT: ("adopted", "another is"),
    Replacement.SIBLING: ("kept", "another is, ours is kept beside it"),
}


def is_stored(replaced: Replaced) -> bool:
    """Whether the store has the pair, by this write or by one that came before."""
    return replaced.outcome in {Replacement.STORED, Replacement.SAME}


def lost(account: AccountTokens, replaced: Replaced, rotation: Rotation) -> None:
    """Rule 14: another grant or another successor is stored: say what comes of ours."""
    key, gone = account.key, replaced.outcome is Replacement.GONE
    resolution, why = _LOST.get(replaced.outcome, _LOST[Replacement.CONFLICT])
    _log.log(
        logging.INFO if gone else logging.WARNING,
        "%s/%s: rotated token not stored: %s",
        *key,
        why,
        extra={"provider": key.provider, "account": key.account},
    )
    account.refresher.hooks(RefreshConflict(*key, resolution))
    if gone:
        account.forget()
        # A grant that nobody holds any more should not live on.
        revoking(account, rotation.token)


async def settled(
    account: AccountTokens, store: TokenStore, replaced: Replaced, rotation: Rotation
) -> Replaced:
    """What became of *rotation* when everything is taken into account.

    It may take as long as another process holds the lease (rule 19).
    """
    if account.registration.provider.replay_window and replaced.record is not None:
        await until_alone(account, store, replaced.record, rotation.flight)
    return await choose(account, store, replaced, rotation)


async def until_alone(
    account: AccountTokens, store: TokenStore, record: TokenRecord, flight: str
) -> None:
    """Rule 19: using the new token may close the window that a replay relies on.

    So while another process holds the lease, and may have sent its replay, nobody
    uses what was stored over its head.
    """
    latest: TokenRecord | None = record
    while (
        latest is not None
        and latest.version == record.version
        and latest.lease is not None
        and latest.lease.id != flight
    ):
        left = latest.lease.until - account.refresher.store_now()
        if left <= 0:
            return
        try:
            await store.changed(account.key, latest, left)
            latest = await store.load(account.key)
        except StoreError:
            await asyncio.sleep(left)
