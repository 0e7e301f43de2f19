"""A store that lost its newest writes gets back what this process has of them.

A replica that took over, or a backup that was put back, may hold a version that is
older than the one in memory here.  Its refresh token is spent: presenting it would end
the grant where reuse is detected.  Versions of one incarnation never start again
(rule 13), so that an older one can mean nothing else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from everbearer.events import RefreshConflict
from everbearer.refresh._outcome import is_stored
from everbearer.stores import Rotation

if TYPE_CHECKING:
    from everbearer.refresh._account import AccountTokens
    from everbearer.stores import TokenStore
    from everbearer.tokens import TokenRecord

__all__ = ["put_back"]

_log = logging.getLogger("everbearer.refresh")


async def put_back(
    account: AccountTokens, store: TokenStore, stored: TokenRecord | None
) -> bool:
    """Store the token that is served here, if *stored* is a version before it.

    By compare and swap (rule 12): of several processes the one with the newest wins,
    in whatever order they come.  One that is not saved yet is left to its own save.

    Returns:
        Whether the record must be looked at again.

    Raises:
        StoreError: The store failed.
    """
    held = account.served
    if (
        held is None
        or stored is None
        or account.unsaved is not None
        or held.incarnation != stored.incarnation
        or held.version <= stored.version
    ):
        return False
    replaced = await store.replace(
        account.key,
        Rotation(
            held.incarnation,
            held.version - 1,
            held.token,
            flight="",
            rejections=held.rejections,
            spent=held.parent,
            age=account.refresher.store_now() - held.minted_at,
        ),
    )
    account.refresher.learn_store_clock(replaced.now)
    if is_stored(replaced):
        _log.warning(
            "%s/%s: the store had lost version %d and all since %d: put back",
            *account.key,
            held.version,
            stored.version,
            extra={"provider": account.key.provider, "account": account.key.account},
        )
        account.refresher.hooks(RefreshConflict(*account.key, "restored"))
    return True
