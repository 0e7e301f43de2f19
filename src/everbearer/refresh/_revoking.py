"""The end of a grant that is not wanted any more (RFC 7009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everbearer.token_endpoint import Revocation

if TYPE_CHECKING:
    import asyncio

    from everbearer.refresh._account import AccountTokens
    from everbearer.token_endpoint import Outcome
    from everbearer.tokens import Token

__all__ = ["revoking"]


def revoking(
    account: AccountTokens, token: Token, *, whole: bool = False
) -> asyncio.Task[Outcome] | None:
    """Revoke *token*, best effort; the task that does, or None.

    Args:
        account: Whose it was.

        token: The pair.

        whole: Also where what is sent names a company and not a grant: that would
            end a grant that has come after this one, too.
    """
    refresher, provider = account.refresher, account.registration.provider
    ending = Revocation.of(provider, token)
    if provider.revoke is None or ending is None:
        return None
    if not whole and ending.token not in {token.access_token, token.refresh_token}:
        return None
    return refresher.spawn(
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
